"""What the rows of inspected models say: attention distance by depth, structure learned over training, the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vitlab.report.families import in_order, matched_pairs
from vitlab.report.intervals import Interval, bootstrap_mean, paired_values
from vitlab.report.style import GREY, look, new_figure, series_styles
from vitlab.report.tables import Table
from vitlab.report.verdict import Verdict, judge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOCAL = 0.25  # a head that looks less far than this share of the image's shorter side is local
GLOBAL = 0.8  # a head that looks at least this share as far as uniform attention would is global


def final(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """Rows of one part ("attention", "positions", "receptive_field") of the weights that count."""
    return rows[(rows["part"] == part) & (rows["stage"] == "selected")]


def by_seed(rows: pd.DataFrame, value: Callable[[pd.DataFrame], float]) -> dict[Hashable, float]:
    """`value` of the rows of each seed."""
    return {int(seed): value(group) for seed, group in rows.groupby("seed")}


def local_share(heads: pd.DataFrame) -> float:
    """Which share of these heads is local."""
    return float((heads["distance_px"] < LOCAL * heads["side_px"]).mean())


def depth_slope(heads: pd.DataFrame) -> float:
    """Least-squares slope of a layer's mean attention distance against its number, as a share of the image a layer."""
    layers = (heads["distance_px"] / heads["side_px"]).groupby(heads["layer"]).mean()
    return float(np.polyfit(layers.index, layers, 1)[0]) if len(layers) > 1 else float("nan")


def first_layer(heads: pd.DataFrame) -> pd.DataFrame:
    """Heads of the lowest layer."""
    return heads[heads["layer"] == heads["layer"].min()]


def widest_head(heads: pd.DataFrame) -> float:
    """Distance of the most global head of the first layer over that of uniform attention."""
    first = first_layer(heads)
    return float((first["distance_px"] / first["uniform_px"]).max())


def nearness(positions: pd.DataFrame) -> float:
    """By how much neighbouring position embeddings are more alike (cosine) than others."""
    return float((positions["near_cosine"] - positions["other_cosine"]).mean())


def _judged(statement: str, seeds: Mapping[Hashable, float], source: str, **how) -> Verdict:
    values = list(seeds.values())
    return judge(statement, values, "above", source=source, interval=bootstrap_mean(values), **how)


def verdicts(rows: pd.DataFrame) -> list[Verdict]:
    """The statements of section 4.5 for every ViT and hybrid and for matched pairs, with intervals over seeds."""
    found: list[Verdict] = []
    attention, positions = final(rows, "attention"), final(rows, "positions")
    for model in in_order(attention["model"]):
        heads, places = attention[attention["model"] == model], positions[positions["model"] == model]
        found += _position_verdicts(model, places, rows) + _attention_verdicts(model, heads)
    for vit, hybrid in matched_pairs(attention["model"], "ViT", "HybridViT"):
        found += _hybrid_verdicts(attention, vit, hybrid)
    return found


def _position_verdicts(model: str, places: pd.DataFrame, rows: pd.DataFrame) -> list[Verdict]:
    if places.empty:
        return []
    statement = f"{model}: the position embeddings of neighbouring patches are more alike than those of others"
    found = [_judged(statement, by_seed(places, nearness), "section 4.5, Figure 7 centre", unit="points of cosine")]
    start = rows[(rows["part"] == "positions") & (rows["model"] == model) & (rows["stage"] == "snapshot")]
    start = start[start["step"] == 0]
    if not start.empty:
        end, begin = (by_seed(part, row_column) for part in (places, start))
        gained = {seed: end[seed] - begin[seed] for seed in end if seed in begin}
        statement = f"{model}: row and column explain more of the similarity of positions than before training"
        found.append(_judged(statement, gained, "section 4.5, Figure 7 centre", unit="points of R²"))
    return found


def _attention_verdicts(model: str, heads: pd.DataFrame) -> list[Verdict]:
    statement = (
        f"{model}: some head of the first layer is global (at least {100 * GLOBAL:.0f}% as far as uniform attention)"
    )
    found = [
        _judged(statement, by_seed(heads, widest_head), "section 4.5, Figure 7 right", unit="% of uniform", null=GLOBAL)
    ]
    if heads["layer"].nunique() > 1:
        statement = f"{model}: attention distance grows with depth"
        unit = "% of the image a layer"
        found.append(_judged(statement, by_seed(heads, depth_slope), "section 4.5, Figure 7 right", unit=unit))
    return found


def _hybrid_verdicts(attention: pd.DataFrame, vit: str, hybrid: str) -> list[Verdict]:
    heads = [first_layer(attention[attention["model"] == name]) for name in (vit, hybrid)]
    local, reach = ([by_seed(part, value) for part in heads] for value in (local_share, _distance))
    fewer, further = paired_values(local[0], local[1]), paired_values(reach[1], reach[0])
    if not fewer:
        return []
    source = "section 4.5; D.7, Figure 11"
    words = f"{hybrid} has fewer local heads in its first layer than {vit}"
    more = f"the heads in the first layer of {hybrid} look further than those of {vit}"
    return [
        _judged(words, fewer, source, unit="points of the heads"),
        _judged(more, further, source, unit="% of the image"),
    ]


def summary_table(rows: pd.DataFrame) -> Table:
    """A row for each model: positions, attention distance of first and last layer, local heads, over seeds."""
    attention, positions = final(rows, "attention"), final(rows, "positions")
    cells = []
    for model in in_order(attention["model"]):
        heads, places = attention[attention["model"] == model], positions[positions["model"] == model]
        last = heads[heads["layer"] == heads["layer"].max()]
        cells.append(
            (
                model,
                str(heads["seed"].nunique()),
                _cell(places, nearness, 2, 1.0),
                _cell(places, lambda p: float(p["distance_r2"].mean())),
                _cell(places, row_column),
                _cell(first_layer(heads), _distance),
                _cell(last, _distance),
                _cell(first_layer(heads), local_share, 0),
            )
        )
    titles = (
        "model",
        "seeds",
        "neighbours",
        "R² distance",
        "R² row, column",
        "first layer",
        "last layer",
        "local heads",
    )
    caption = (
        "Mean and 95% interval over seeds. Neighbours: cosine of position embeddings of adjacent patches minus that "
        "of others. R² (%): how much of the similarity of positions their distance explains, and how much rows and "
        "columns apart. First and last layer: mean attention distance in % of the image's shorter side. Local heads "
        "(%): those of the first layer that look less far than a quarter of it."
    )
    return Table(titles, tuple(cells), caption)


def _distance(heads: pd.DataFrame) -> float:
    return float((heads["distance_px"] / heads["side_px"]).mean())


def _cell(rows: pd.DataFrame, value: Callable[[pd.DataFrame], float], digits: int = 1, scale: float = 100.0) -> str:
    if rows.empty:
        return "–"
    interval: Interval = bootstrap_mean(list(by_seed(rows, value).values()))
    return interval.format(digits=digits, scale=scale)


def distance_by_depth(rows: pd.DataFrame) -> Figure:
    """Attention distance of every head against its layer, a panel for each model; a ResNet's receptive field beside."""
    attention, fields = final(rows, "attention"), final(rows, "receptive_field")
    panels = [*in_order(attention["model"]), *in_order(fields["model"])]
    styles = series_styles(panels)
    with look():
        figure = new_figure(max(4.6, 2.5 * len(panels) + 0.6), 3.5)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for panel, model in zip(axes, panels, strict=True):
            chosen = attention[attention["model"] == model]
            draw = _field if chosen.empty else _heads
            draw(panel, fields[fields["model"] == model] if chosen.empty else chosen, styles[model].colour)
            panel.set_title(model, fontsize=9)
        axes[0].set_ylabel("mean attention distance (px)")
        axes[0].set_ylim(bottom=0)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4 if len(panels) > 1 else 2)
        figure.suptitle("How far heads look, by depth", x=0.012, ha="left")
    return figure


def _heads(axes: Axes, heads: pd.DataFrame, colour: str) -> None:
    jitter = heads["head"].rank(method="dense")
    jitter = 0.24 * ((jitter - 1) / max(jitter.max() - 1, 1) - 0.5)
    axes.scatter(
        heads["layer"] + jitter, heads["distance_px"], s=11, color=colour, alpha=0.55, linewidths=0, label="a head"
    )
    layers = heads.groupby("layer")["distance_px"].mean()
    axes.plot(layers.index, layers, color=colour, marker="_", markersize=12, label="mean of the layer")
    reference = heads.iloc[0]
    axes.axhline(reference["uniform_px"], color=GREY, linestyle="--", linewidth=1, label="uniform attention")
    axes.axhline(LOCAL * reference["side_px"], color=GREY, linestyle=":", linewidth=1, label="heads below are local")
    axes.set_xlim(0.5, heads["layer"].max() + 0.5)
    _layer_ticks(axes, int(heads["layer"].max()))
    axes.set_xlabel("layer")


def _field(axes: Axes, fields: pd.DataFrame, colour: str) -> None:
    means = fields.groupby("layer")[["distance_px", "radius_95_px"]].mean()
    axes.plot(means.index, means["distance_px"], color=colour, marker="s", label="mean distance")
    axes.plot(means.index, means["radius_95_px"], color=colour, marker="s", linestyle=":", label="radius of 95%")
    axes.set_xlim(0.5, fields["layer"].max() + 0.5)
    _layer_ticks(axes, int(fields["layer"].max()))
    axes.set_xlabel("end of stage")
    axes.legend(loc="best", title="effective\nreceptive field", fontsize=7, title_fontsize=7)


def _layer_ticks(axes: Axes, last: int) -> None:
    step = 1 if last <= 8 else 2 if last <= 16 else 4
    ticks = list(range(1, last + 1)) if step == 1 else [1, *range(step, last + 1, step)]
    axes.set_xticks(ticks)


def row_column(positions: pd.DataFrame) -> float:
    """How much of the similarity of positions rows and columns explain."""
    return float(positions["row_column_r2"].mean())


PANELS: tuple[tuple[str, str, str, Callable[[pd.DataFrame], float], float], ...] = (
    ("positions", "are neighbouring positions alike?", "cosine: neighbours − others", nearness, 1.0),
    ("positions", "do rows and columns appear?", "R² of row and column (%)", row_column, 100.0),
    (
        "attention",
        "how far does the first layer look?",
        "distance (% of the image)",
        lambda a: _distance(first_layer(a)),
        100.0,
    ),
    ("attention", "how many heads are local?", "share of all heads (%)", local_share, 100.0),
)


def over_training(rows: pd.DataFrame) -> Figure:
    """The summaries at every snapshot: a thin line for each seed, a thick one for the mean of a model."""
    snapshots = rows[rows["stage"] == "snapshot"]
    models = in_order(snapshots[snapshots["part"] == "attention"]["model"])
    styles = series_styles(models)
    with look():
        figure = new_figure(7.4, 5.2)
        grid = figure.subplots(2, 2, sharex=True)
        for axes, (part, title, label, value, scale) in zip(grid.flat, PANELS, strict=True):
            for model in models:
                chosen = snapshots[(snapshots["part"] == part) & (snapshots["model"] == model)]
                _course(axes, chosen, value, scale, model, styles[model])
            axes.set_title(title, loc="left", fontsize=9)
            axes.set_ylabel(label)
        for axes in grid[1]:
            axes.set_xlabel("training step")
        grid[1, 1].set_ylim(-1.0, max(20.0, grid[1, 1].get_ylim()[1]))
        handles, labels = grid[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(models))
        figure.suptitle("What the models learn while they train", x=0.012, ha="left")
    return figure


def _course(
    axes: Axes, rows: pd.DataFrame, value: Callable[[pd.DataFrame], float], scale: float, model: str, style
) -> None:
    if rows.empty:
        return
    points = pd.DataFrame(
        [(step, seed, scale * value(group)) for (step, seed), group in rows.groupby(["step", "seed"])],
        columns=["step", "seed", "value"],
    )
    for _, one in points.groupby("seed"):
        axes.plot(one["step"], one["value"], color=style.colour, linewidth=0.7, alpha=0.5)
    mean = points.groupby("step")["value"].mean()
    axes.plot(mean.index, mean, color=style.colour, linestyle=style.dash, marker=style.marker, label=model)


def has_course(rows: pd.DataFrame) -> bool:
    """Whether there are snapshots of at least two steps."""
    return bool(rows[rows["stage"] == "snapshot"]["step"].nunique() > 1)


def answer(found: list[Verdict]) -> str:
    """Which statements hold, do not, or stay undecided, in one line each."""
    words = {"yes": "Holds here", "no": "Does not hold here", "undecided": "Undecided here"}
    groups = {holds: [verdict.statement for verdict in found if verdict.holds == holds] for holds in words}
    return "\n".join(f"{words[holds]}: {'; '.join(group)}." for holds, group in groups.items() if group)
