"""Small multiples: one panel per data set, for curves over runs and for two measures of the same weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vitlab.report.curves import PERCENT, _check, _series, _value_ticks
from vitlab.report.families import in_order
from vitlab.report.style import entitle, look, new_figure, series_styles
from vitlab.report.tables import ACCURACY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3


def curve_panels(
    rows: pd.DataFrame,
    *,
    panel: str,
    x: str,
    y: str,
    xlabel: str,
    ylabel: str,
    title: str,
    series: str = "model",
    unit: Sequence[str] = (),
    log_x: bool = False,
    first: str = "",
) -> Figure:
    """`y` (fractions, shown in %) against `x`, a panel per value of `panel`, a curve per `series`.

    Each curve is the mean over runs with the band of its 95% interval and every run as a dot; `unit` names the columns
    that make a run (draws of a seed are averaged first). The panel called `first` comes first. Raises ValueError for
    missing columns and for no rows.
    """
    _check(rows, panel, x, y, series, *unit)
    rows = rows.dropna(subset=[y])
    _check(rows, x)
    names = in_order(rows[series])
    with look():
        figure, panels = _grid(sorted(rows[panel].unique(), key=lambda name: (name != first, name)))
        for name, axes in panels.items():
            some = rows[rows[panel] == name]
            shown = [label for label in names if label in set(some[series])]
            _series(
                axes, some, x=x, y=y, series=series, scale=PERCENT, bounds=ACCURACY, unit=unit, labels={}, names=shown
            )
            _value_ticks(axes, sorted(some[x].unique()), log=log_x, inches=1.9 if len(panels) > 1 else 4.0)
        _finish(figure, panels, xlabel, ylabel, title)
    return figure


def dot_panels(
    rows: pd.DataFrame, *, panel: str, x: str, y: str, xlabel: str, ylabel: str, title: str, series: str = "model"
) -> Figure:
    """A dot for each row, at two accuracies (fractions, shown in %), a panel per value of `panel`.

    Raises ValueError for missing columns and for no rows.
    """
    _check(rows, panel, x, y, series)
    styles = series_styles(in_order(rows[series]))
    with look():
        figure, panels = _grid(sorted(rows[panel].unique()))
        for name, axes in panels.items():
            for model, style in styles.items():
                some = rows[(rows[panel] == name) & (rows[series] == model)]
                axes.scatter(
                    some[x] * PERCENT, some[y] * PERCENT, s=22, color=style.colour, marker=style.marker, label=model
                )
        _finish(figure, panels, xlabel, ylabel, title)
    return figure


def _grid(names: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a titled panel for each name, at most `ACROSS` in a row."""
    across = 2 if len(names) == 4 else min(ACROSS, len(names))
    down = math.ceil(len(names) / across)
    figure = new_figure(max(2.5 * across + 1.7, 6.8), 0.9 + 2.3 * down)
    every = np.ravel(figure.subplots(down, across, squeeze=False))
    for axes in every[len(names) :]:
        axes.set_axis_off()
    panels = dict(zip(names, every, strict=False))
    for name, axes in panels.items():
        axes.set_title(name, loc="left", fontsize=8.5)
    return figure, panels


def _finish(figure: Figure, panels: dict[str, Axes], xlabel: str, ylabel: str, title: str) -> None:
    """Axis labels once, one legend beside all panels, and the title."""
    handles = {label: h for axes in panels.values() for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    figure.legend(handles.values(), handles.keys(), loc="outside right center")
    entitle(figure, next(iter(panels.values())), title)
