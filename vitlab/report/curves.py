"""Curves over runs: mean and 95% interval per point, single seeds shown, real values as ticks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vitlab.report.families import in_order
from vitlab.report.intervals import Bounds, Interval, bootstrap_mean
from vitlab.report.style import (
    GREY,
    SeriesStyle,
    entitle,
    legend_beside,
    look,
    new_figure,
    series_styles,
)
from vitlab.report.tables import ACCURACY, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PERCENT = 100.0


def _draw(
    axes: Axes, label: str, xs: Sequence[float], cells: Sequence[Interval], style: SeriesStyle, scale: float
) -> None:
    """Mean line with markers and the band of its interval; of a single point, a bar."""
    mean, low, high = (np.array([getattr(cell, part) * scale for cell in cells]) for part in ("mean", "low", "high"))
    if len(xs) == 1:
        axes.vlines(xs, low, high, color=style.colour, alpha=0.5, linewidth=2)
    axes.fill_between(xs, low, high, color=style.colour, alpha=0.16, linewidth=0)
    axes.plot(xs, mean, color=style.colour, linestyle=style.dash, marker=style.marker, label=label, zorder=3)


def _dots(axes: Axes, rows: pd.DataFrame, x: str, y: str, colour: str, scale: float) -> None:
    """Every single run as a faint dot."""
    axes.scatter(rows[x], rows[y] * scale, s=9, color=colour, alpha=0.45, linewidths=0, zorder=2)


def _limits(axes: Axes, values: np.ndarray, ends: np.ndarray, bounds: Bounds | None) -> None:
    """Show all runs, and of the bands as much as leaves the runs legible (two seeds give bands of many points)."""
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(most - least, 1e-9 + abs(most) * 0.02)
    ends = ends[~np.isnan(ends)]
    low = max(least - room, min(least, float(ends.min()) if len(ends) else least))
    high = min(most + room, max(most, float(ends.max()) if len(ends) else most))
    low, high = low - 0.05 * room, high + 0.05 * room
    if bounds:
        low, high = max(low, bounds[0] - 0.01 * room), min(high, bounds[1] + 0.01 * room)
    axes.set_ylim(low, high)


def _value_ticks(axes: Axes, values: Sequence[float], *, log: bool, inches: float = 4.5) -> None:
    """A tick at every value that occurs; its label left out where it would touch the one before."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    if log:
        axes.set_xscale("log")
    places = [math.log(value) if log else float(value) for value in values]
    span = (places[-1] - places[0]) or 1.0
    labels, last = [], -math.inf
    for i, (place, value) in enumerate(zip(places, values, strict=True)):
        text = number(value)
        width = 0.075 * (len(text) + 1.5)  # inches of a label of 8 points
        reaches_last = i < len(places) - 1 and (places[-1] - place) / span * inches < 0.075 * (
            len(number(values[-1])) + 1.5
        )
        shown = (place - last) / span * inches >= width and not reaches_last
        labels.append(text if shown or i == 0 else "")
        last = place if labels[-1] else last
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(FixedFormatter(labels))
    axes.xaxis.set_minor_locator(NullLocator())


def _cells(
    rows: pd.DataFrame, x: str, y: str, unit: Sequence[str], bounds: Bounds | None
) -> tuple[list[float], list[Interval], pd.DataFrame]:
    """x values, their intervals, and the rows averaged by `unit`, which are the dots."""
    rows = rows.dropna(subset=[y])
    runs = rows.groupby([x, *unit], dropna=False)[y].mean().reset_index() if unit else rows[[x, y]]
    groups = {value: group.to_numpy() for value, group in runs.groupby(x)[y]}
    return list(groups), [bootstrap_mean(group, bounds=bounds) for group in groups.values()], runs


def _series(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    series: str,
    scale: float,
    bounds: Bounds | None,
    unit: Sequence[str],
    labels: Mapping[str, str],
    names: Sequence[str],
) -> None:
    """All series of one panel, with its limits."""
    styles = series_styles(names)
    ends: list[float] = []
    values: list[float] = []
    for name in names:
        xs, cells, runs = _cells(rows[rows[series] == name], x, y, unit, bounds)
        _dots(axes, runs, x, y, styles[name].colour, scale)
        _draw(axes, labels.get(name, name), xs, cells, styles[name], scale)
        ends += [end * scale for cell in cells for end in (cell.low, cell.high)]
        values += list(runs[y] * scale)
    _limits(axes, np.array(values), np.array(ends), (bounds[0] * scale, bounds[1] * scale) if bounds else None)


def _check(rows: pd.DataFrame, *columns: str) -> None:
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise ValueError(f"The rows have no column {', '.join(missing)}; they have {', '.join(rows.columns)}.")
    if rows.empty:
        raise ValueError("There are no finished runs to draw.")


def lines(
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    series: str = "model",
    xlabel: str,
    ylabel: str,
    title: str,
    subtitle: str = "",
    log_x: bool = False,
    percent: bool = True,
    unit: Sequence[str] = (),
    references: Mapping[str, float] | None = None,
    names: Sequence[str] | None = None,
    width: float = 6.8,
    height: float = 3.6,
) -> Figure:
    """`y` against `x`, a curve per `series`: mean over runs, band of the 95% interval, every run as a dot.

    `percent` shows fractions as percent and keeps them in [0, 1]; `unit` names columns whose equal rows are one run
    (draws of a seed are averaged first); `references` draws horizontal lines by label, in the unit of `y`; `names`
    chooses and orders the series. Raises ValueError for missing columns and for no rows.
    """
    _check(rows, x, y, series, *unit)
    rows = rows.dropna(subset=[y])
    _check(rows, x)
    shown = list(names) if names else in_order(rows[series].astype(str))
    rows = rows.assign(**{series: rows[series].astype(str)})
    scale, bounds = (PERCENT, ACCURACY) if percent else (1.0, None)
    with look():
        figure = new_figure(width, height)
        axes = figure.subplots()
        _series(axes, rows, x=x, y=y, series=series, scale=scale, bounds=bounds, unit=unit, labels={}, names=shown)
        for label, level in (references or {}).items():
            axes.axhline(level * scale, color=GREY, linewidth=1.0, linestyle=(0, (2, 2)), label=label, zorder=1)
        for level in (references or {}).values():
            low, high = axes.get_ylim()
            axes.set_ylim(min(low, level * scale - 0.03 * (high - low)), max(high, level * scale + 0.03 * (high - low)))
        _value_ticks(axes, sorted(rows[x].unique()), log=log_x, inches=width - 2.4)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        if len(shown) + len(references or {}) > 1:
            legend_beside(axes)
        entitle(figure, axes, title, subtitle)
    return figure
