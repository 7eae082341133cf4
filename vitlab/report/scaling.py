"""The figure of data scaling: accuracy against the number of images, a column per model size, and the gaps below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vitlab.report.curves import PERCENT, _check, _limits, _series, _value_ticks
from vitlab.report.families import family, in_order, matched_pairs, size
from vitlab.report.gaps import PAIR, gap_values
from vitlab.report.intervals import bootstrap_mean
from vitlab.report.style import DASHES, GREY, INK, MARKERS, OTHERS, entitle, legend_beside, look, new_figure
from vitlab.report.tables import ACCURACY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pairs = Sequence[tuple[str, str]]


def accuracy_against_size(
    rows: pd.DataFrame,
    *,
    x: str = "train_size",
    value: str = "test_best",
    data: str | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    xlabel: str = "training images (log scale)",
    ylabel: str = "test accuracy (%)",
    pairs: Pairs | None = None,
    unit: Sequence[str] = (),
) -> Figure:
    """Accuracy against train size per model, and below it the gap of each pair (ViT - ResNet) in points.

    Several families in several sizes get a column per size, on one scale. Bands and bars are 95% intervals over seeds,
    dots single seeds. `data` is the data set's name in the title (from the rows otherwise); `pairs` as in
    `tables.scaling_table`. Raises ValueError for missing columns and for no rows.
    """
    _check(rows, x, value, "model", *unit)
    rows = rows.dropna(subset=[value])
    _check(rows, x)
    models = in_order(rows["model"])
    pairs = matched_pairs(models) if pairs is None else pairs
    columns = _columns(models, pairs)
    named = data or (", ".join(sorted(set(rows["data"]))) if "data" in rows.columns else "")
    with look():
        width = 3.0 * len(columns) + 1.2 if len(columns) > 1 else 6.8
        figure = new_figure(width, 5.2 if pairs else 3.8)
        ratios = [2.1, 1] if pairs else [1]
        grid = figure.subplots(len(ratios), len(columns), sharex=True, height_ratios=ratios, squeeze=False)
        for (heading, shown), panels in zip(columns, grid.T, strict=True):
            some = rows[rows["model"].isin(shown)]
            _curves(panels[0], some, x, value, heading, shown, unit)
            if pairs:
                own = [pair for pair in pairs if set(pair) <= set(shown)]
                _gaps(panels[1], some, x, value, own, tuple(unit) or PAIR)
            _value_ticks(panels[-1], sorted(rows[x].unique()), log=True, inches=width / len(columns) - 1.2)
        if len(columns) > 1:
            figure.supxlabel(xlabel, fontsize=9)
        else:
            grid[-1, 0].set_xlabel(xlabel)
        for panels in grid:
            _on_one_scale(panels)
        grid[0, 0].set_ylabel(ylabel)
        if pairs:
            _name_gaps(grid[1, 0], pairs)
        legend_beside(grid[0, -1])
        entitle(
            figure,
            grid[0, 0],
            title or f"Test accuracy against the number of training images{f': {named}' if named else ''}",
            _seeds_line(rows) if subtitle is None else subtitle,
        )
    return figure


def _curves(
    axes: Axes, rows: pd.DataFrame, x: str, value: str, heading: str, models: Sequence[str], unit: Sequence[str]
) -> None:
    """An upper panel: a curve per model, called by its family where a heading names the size, else in full."""
    labels = {model: family(model) if heading else _with_parameters(rows, model) for model in models}
    style: dict[str, Any] = {"series": "model", "scale": PERCENT, "bounds": ACCURACY}
    _series(axes, rows, x=x, y=value, unit=unit, labels=labels, names=models, **style)
    if heading:
        words = f"{heading}, {_millions(rows)}"
        axes.text(0.03, 0.97, words, transform=axes.transAxes, va="top", weight="bold", fontsize=8.5)


def _columns(models: Sequence[str], pairs: Pairs) -> list[tuple[str, list[str]]]:
    """Heading and models of each column: one per size where each size has a pair, else a single one without heading.

    A pair across sizes needs both of its models in one panel.
    """
    sizes = list(dict.fromkeys(size(model) for model in models))
    across = any(size(first) != size(second) for first, second in pairs)
    if len(sizes) == 1 or across or {size(first) for first, _ in pairs} != set(sizes):
        return [("", list(models))]
    return [(name, [model for model in models if size(model) == name]) for name in sizes]


def _on_one_scale(panels: Sequence[Axes]) -> None:
    """The panels of a row with the same limits, and their numbers on the first alone."""
    limits = [axes.get_ylim() for axes in panels]
    for i, axes in enumerate(panels):
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        axes.tick_params(labelleft=i == 0)


def _millions(rows: pd.DataFrame) -> str:
    """`0.35 to 0.36 M parameters`: the range over the models of the rows."""
    if "parameters" not in rows.columns or rows["parameters"].isna().all():
        return "parameters unknown"
    low, high = (f"{value / 1e6:.2g}" for value in (rows["parameters"].min(), rows["parameters"].max()))
    return f"{low} M parameters" if low == high else f"{low} to {high} M parameters"


def _with_parameters(rows: pd.DataFrame, model: str) -> str:
    """`ViT-Micro/4, 1.2 M`: the name with its parameters if the rows have one number of them."""
    if "parameters" not in rows.columns:
        return model
    values = rows.loc[rows["model"] == model, "parameters"].dropna().unique()
    if len(values) != 1:
        return model
    millions = float(values[0]) / 1e6
    return f"{model} ({millions:.2g} M)" if millions < 10 else f"{model} ({millions:.0f} M)"


def _seeds_line(rows: pd.DataFrame) -> str:
    n = rows["seed"].nunique() if "seed" in rows.columns else 0
    if n < 2:
        return "one seed per point: no intervals"
    return f"mean of {n} seeds, band: 95% interval, dots: single seeds"


def _gaps(axes: Axes, rows: pd.DataFrame, x: str, value: str, pairs: Pairs, pair: Sequence[str]) -> None:
    """The lower panel: mean gap with interval bars, single seeds as dots, a line at zero."""
    ends: list[float] = [0.0]
    values: list[float] = [0.0]
    for i, (first, second) in enumerate(pairs):
        gaps = gap_values(rows, first, second, x=x, value=value, pair=pair) * PERCENT
        cells = [bootstrap_mean(gaps[column].to_numpy()) for column in gaps.columns]
        mean, low, high = (np.array([getattr(cell, part) for cell in cells]) for part in ("mean", "low", "high"))
        colour = (INK, GREY, OTHERS[0], OTHERS[4])[i % 4]
        label = size(first) if size(first) and size(first) == size(second) else f"{first} − {second}"
        xs = np.array(gaps.columns, dtype=float) * 1.03**i  # beside each other, since bars of two pairs would coincide
        axes.plot(
            xs,
            mean,
            color=colour,
            linestyle=DASHES[i % len(DASHES)],
            marker=MARKERS[i % len(MARKERS)],
            label=label,
            zorder=3,
        )
        bars = np.nan_to_num(np.stack([mean - low, high - mean]))
        axes.errorbar(xs, mean, yerr=bars, fmt="none", ecolor=colour, elinewidth=1.1, capsize=2.5, zorder=3)
        for seed in gaps.to_numpy():
            axes.scatter(xs, seed, s=8, color=colour, alpha=0.4, linewidths=0, zorder=2)
        ends += [*low, *high]
        values += list(gaps.to_numpy().ravel())
    axes.axhline(0, color="#888888", linewidth=0.9, zorder=1)
    _limits(axes, np.array(values), np.array(ends), None)
    if len(pairs) > 1:
        legend_beside(axes)


def _name_gaps(axes: Axes, pairs: Pairs) -> None:
    """What is subtracted from what, above the panels of the gaps."""
    words = " − ".join(pairs[0] if len(pairs) == 1 else map(family, pairs[0]))
    axes.set_title(f"gap: {words}", loc="left", color=GREY, fontsize=8)
    axes.set_ylabel("gap (points)")
