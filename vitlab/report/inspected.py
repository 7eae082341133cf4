"""What the rows of inspected models say: tables, attention distance by depth, the course of training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vitlab.claims.inspected import (
    LOCAL,
    Statistic,
    by_seed,
    final,
    first_layer,
    local_share,
    mean_distance,
    nearness,
    row_column,
)
from vitlab.claims.interval import mean_interval
from vitlab.report.evidence import Chart, Format, Panel, Point, Series, Table
from vitlab.report.families import in_order


def summary_table(rows: pd.DataFrame) -> Table:
    """A row for each model: positions, attention distance of first and last layer, local heads, over seeds."""
    attention, positions = final(rows, "attention"), final(rows, "positions")
    models, body = in_order(attention["model"]), []
    for model in models:
        heads, embeddings = attention[attention["model"] == model], positions[positions["model"] == model]
        last, first = heads[heads["layer"] == heads["layer"].max()], first_layer(heads)
        found = {
            "neighbours": by_seed(embeddings, nearness),
            "R² distance": by_seed(embeddings, lambda part: float(part["distance_r2"].mean())),
            "R² row, column": by_seed(embeddings, row_column),
            "first layer": by_seed(first, mean_distance),
            "last layer": by_seed(last, mean_distance),
            "local heads": by_seed(first, local_share),
        }
        cells = {title: mean_interval(list(values.values())) for title, values in found.items()}
        body.append({"seeds": heads["seed"].nunique(), **cells})
    caption = (
        "Mean and 95% interval over seeds. Neighbours: cosine of position embeddings of adjacent patches minus that "
        "of others. R² (%): how much of the similarity of positions their distance explains, and how much rows and "
        "columns apart. First and last layer: mean attention distance in % of the image's shorter side. Local heads "
        "(%): those of the first layer that look less than half as far as uniform attention would."
    )
    frame = pd.DataFrame(body, index=pd.Index(models, name="model"))
    formats = {"neighbours": Format(2, 1.0), "local heads": Format(0)}
    return Table("attention and positions", frame, caption, formats=formats)


def shapes_table(rows: pd.DataFrame, model: str) -> Table:
    """The shape of the data at every step of `model`, image to logits."""
    chosen = rows[(rows["part"] == "shape") & (rows["model"] == model)].drop_duplicates("what", keep="first")
    frame = chosen[["what", "shape", "note"]].astype(str).set_axis(["step", "shape", "what happens"], axis="columns")
    caption = f"One image on its way through {model}; shapes without the batch dimension."
    return Table("shapes", frame.reset_index(drop=True), caption)


def course(rows: pd.DataFrame, along: str, statistic: Statistic, scale: float = 1.0) -> tuple[Point, ...]:
    """The statistic, times `scale`, at each value of the column `along` ("layer", "step"), over seeds."""
    found = []
    for x, part in rows.groupby(along):
        values = {f"seed {seed}": scale * value for seed, value in by_seed(part, statistic).items()}
        found.append(Point(float(x), mean_interval(list(values.values())), tuple(values.items())))
    return tuple(found)


def distance_by_depth(rows: pd.DataFrame) -> Chart:
    """Attention distance of every head against depth, a panel for each model; of CNNs the effective receptive field."""
    attention, fields = final(rows, "attention"), final(rows, "receptive_field")
    panels = [_heads(model, attention[attention["model"] == model]) for model in in_order(attention["model"])]
    for model in in_order(fields["model"]):
        own = fields[fields["model"] == model]
        measures = {"mean distance": "distance_px", "radius of 95%": "radius_95_px"}
        series = [Series(f"{model}, {name}", course(own, "layer", _mean(of))) for name, of in measures.items()]
        panels.append(Panel(tuple(series), f"{model}: receptive field"))
    seeds = attention["seed"].nunique()
    subtitle = f"mean of {seeds} seeds, 95% interval; dots: single heads" if seeds > 1 else "line: mean; dots: heads"
    labels = ("layer, or stage of a CNN", "mean attention distance (px)", subtitle)
    return Chart("How far heads look, by depth", (tuple(panels),), *labels, scale=1.0, same_y=True)


def _heads(model: str, heads: pd.DataFrame) -> Panel:
    """The means of layers with a dot for each head, and what uniform attention would do."""
    points = []
    for point in course(heads, "layer", _mean("distance_px")):
        own = heads[heads["layer"] == point.x]
        labels = [f"seed {seed:g}, head {head:g}" for seed, head in zip(own["seed"], own["head"], strict=True)]
        points.append(Point(point.x, point.interval, tuple(zip(labels, own["distance_px"].map(float), strict=True))))
    uniform = float(heads["uniform_px"].iloc[0])
    references = (("uniform attention", uniform), ("heads below are local", LOCAL * uniform))
    return Panel((Series(model, tuple(points)),), model, references=references)


def _mean(column: str) -> Statistic:
    return lambda rows: float(rows[column].mean())


COURSES: Sequence[tuple[str, str, str, Statistic, float]] = (
    ("positions", "are neighbouring positions alike?", "cosine: neighbours − others", nearness, 1.0),
    ("positions", "do rows and columns appear?", "R² of row and column (%)", row_column, 100.0),
    (
        "attention",
        "how far does the first layer look?",
        "distance (% of the image)",
        lambda heads: mean_distance(first_layer(heads)),
        100.0,
    ),
    ("attention", "how many heads are local?", "share of all heads (%)", local_share, 100.0),
)


def over_training(rows: pd.DataFrame) -> Chart:
    """The summaries of every model at every snapshot; all seeds, and their mean."""
    snapshots = rows[rows["stage"] == "snapshot"]
    models = in_order(snapshots[snapshots["part"] == "attention"]["model"])
    panels = []
    for part, title, ylabel, statistic, scale in COURSES:
        chosen = snapshots[snapshots["part"] == part]
        own = [(model, chosen[chosen["model"] == model]) for model in models if (chosen["model"] == model).any()]
        panels.append(
            Panel(tuple(Series(model, course(of, "step", statistic, scale)) for model, of in own), title, ylabel)
        )
    grid = (tuple(panels[:2]), tuple(panels[2:]))
    subtitle = f"mean of {snapshots['seed'].nunique()} seeds, 95% interval; dots: single seeds"
    learner = f"{models[0]} learns while it trains" if len(models) == 1 else "the models learn while they train"
    return Chart(f"What {learner}", grid, "training step", "", subtitle, scale=1.0)


def has_course(rows: pd.DataFrame) -> bool:
    """Whether there are snapshots of at least two steps."""
    return bool(rows[rows["stage"] == "snapshot"]["step"].nunique() > 1)
