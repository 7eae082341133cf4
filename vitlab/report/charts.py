"""Bars, waterfalls, scatters and heat maps in the one look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from vitlab.report.families import family, in_order
from vitlab.report.intervals import Bounds, Interval, bootstrap_mean
from vitlab.report.style import (
    BLUE,
    DIVERGING,
    FAMILY_COLOURS,
    GREEN,
    GREY,
    INK,
    OTHERS,
    SEQUENTIAL,
    VERMILION,
    entitle,
    legend_beside,
    look,
    new_figure,
    series_styles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _whisker(axes: Axes, cell: Interval, at: float, scale: float) -> None:
    """The interval of a horizontal bar, if there is one."""
    if not math.isnan(cell.low):
        ends = np.array([[cell.mean - cell.low], [cell.high - cell.mean]]) * scale
        axes.errorbar(cell.mean * scale, at, xerr=ends, fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5, zorder=4)


def _bar_label(axes: Axes, cell: Interval, at: float, scale: float, digits: int) -> None:
    """The mean beside the bar, clear of its whisker."""
    end = max(part for part in (cell.mean, cell.high, 0.0) if not math.isnan(part)) * scale
    text = f"{cell.mean * scale:,.{digits}f}"
    axes.annotate(text, (end, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)


def bars(
    rows: pd.DataFrame,
    *,
    category: str,
    value: str,
    series: str | None = None,
    xlabel: str,
    title: str,
    subtitle: str = "",
    scale: float = 1.0,
    digits: int = 0,
    unit: Sequence[str] = (),
    bounds: Bounds | None = None,
    order: Sequence[str] | None = None,
    width: float = 6.8,
) -> Figure:
    """Horizontal bars of the mean of `value` per `category`, side by side per `series`, with 95% intervals.

    `scale` multiplies the values (100: percent), `digits` are those of the numbers beside the bars; `unit` as in
    `tables.pivot`. Categories come in the order of `order`, or of their first row. Raises ValueError for no rows.
    """
    rows = rows.dropna(subset=[value])
    if rows.empty:
        raise ValueError("There are no finished runs to draw.")
    categories = list(order or dict.fromkeys(rows[category].astype(str)))
    names = in_order(rows[series].astype(str)) if series else [""]
    styles = series_styles(names)
    thick = 0.8 / len(names)
    with look():
        figure = new_figure(width, 1.1 + len(categories) * max(0.3, 0.24 * len(names)))
        axes = figure.subplots()
        for i, name in enumerate(names):
            chosen = rows[rows[series].astype(str) == name] if series else rows
            for j, of in enumerate(categories):
                values = chosen[chosen[category].astype(str) == of]
                runs = values.groupby(list(unit), dropna=False)[value].mean() if unit else values[value]
                cell = bootstrap_mean(runs.to_numpy(), bounds=bounds)
                if cell.n == 0:
                    continue
                at = j + (i - (len(names) - 1) / 2) * thick
                colour = styles[name].colour if series else FAMILY_COLOURS.get(family(of), OTHERS[0])
                axes.barh(at, cell.mean * scale, height=thick * 0.9, color=colour, label=name if j == 0 else None)
                _whisker(axes, cell, at, scale)
                _bar_label(axes, cell, at, scale, digits)
        axes.set_yticks(range(len(categories)), categories)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.margins(x=0.14)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]) if float(rows[value].min()) < 0 else 0.0)
        axes.set_xlabel(xlabel)
        if series:
            legend_beside(axes)
        entitle(figure, axes, title, subtitle)
    return figure


def waterfall(
    steps: Sequence[tuple[str, Interval]],
    *,
    xlabel: str,
    title: str,
    subtitle: str = "",
    scale: float = 100.0,
    digits: int = 1,
    reference: tuple[str, float] | None = None,
    width: float = 6.8,
) -> Figure:
    """A recipe taken apart: each step's value as an interval, and a bar from the step before, green up, red down.

    `reference` is a named value to hold beside it (dotted line), in the unit of the intervals.
    Raises ValueError for no steps.
    """
    if not steps:
        raise ValueError("There are no steps to draw.")
    with look():
        figure = new_figure(width, 1.2 + 0.34 * len(steps))
        axes = figure.subplots()
        before = steps[0][1].mean
        for at, (_, cell) in enumerate(steps):
            change = cell.mean - before
            colour = BLUE if at == 0 else GREEN if change >= 0 else VERMILION
            axes.barh(at, change * scale, left=before * scale, height=0.62, color=colour, alpha=0.85)
            axes.plot(
                [cell.mean * scale] * 2, [at - 0.31, at + (0.31 if at == len(steps) - 1 else 1.31)], color=GREY, lw=0.8
            )
            axes.plot(cell.mean * scale, at, "o", color=INK, zorder=5)
            _whisker(axes, cell, at, scale)
            text = f"{cell.mean * scale:.{digits}f}" + (f"  ({change * scale:+.{digits}f})" if at else "")
            end = max(part for part in (cell.mean, cell.high, before) if not math.isnan(part)) * scale
            axes.annotate(text, (end, at), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
            before = cell.mean
        if reference:
            axes.axvline(
                reference[1] * scale,
                color=GREY,
                linestyle=(0, (2, 2)),
                linewidth=1.0,
                label=f"{reference[0]} ({reference[1] * scale:.{digits}f})",
            )
            legend_beside(axes)
        axes.set_yticks(range(len(steps)), [label for label, _ in steps])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + 0.16 * (high - low))
        axes.set_xlabel(xlabel)
        entitle(figure, axes, title, subtitle)
    return figure


def scatter(
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    series: str | None = None,
    xlabel: str,
    ylabel: str,
    title: str,
    subtitle: str = "",
    mean_line: bool = False,
    log_x: bool = False,
    references: Sequence[tuple[str, float]] = (),
    integer_x: bool = False,
    width: float = 6.8,
    height: float = 3.6,
) -> Figure:
    """A dot per row; `mean_line` joins the means at each `x` (attention distance of every head, against depth).

    `references` are labelled horizontal lines in the unit of `y`. Raises ValueError for no rows.
    """
    rows = rows.dropna(subset=[x, y])
    if rows.empty:
        raise ValueError("There are no rows to draw.")
    from matplotlib.ticker import MaxNLocator

    names = in_order(rows[series].astype(str)) if series else [""]
    styles = series_styles(names)
    with look():
        figure = new_figure(width, height)
        axes = figure.subplots()
        for name in names:
            chosen = rows[rows[series].astype(str) == name] if series else rows
            style = styles[name]
            colour = style.colour if series else BLUE
            label = name if name and not mean_line else "_nolegend_"
            axes.scatter(
                chosen[x], chosen[y], s=16, color=colour, marker=style.marker, alpha=0.65, lw=0, label=label, zorder=3
            )
            if mean_line:
                means = chosen.groupby(x)[y].mean()
                label = f"{name} (line: mean)" if series else "mean"
                drawn = {"color": colour, "linestyle": style.dash, "marker": style.marker, "markevery": []}
                axes.plot(means.index, means, **drawn, linewidth=1.3, alpha=0.9, label=label)
        for label, level in references:
            axes.axhline(level, color=GREY, linewidth=1.0, linestyle=(0, (2, 2)), label=label)
        if log_x:
            axes.set_xscale("log")
        if integer_x:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0 if float(rows[y].min()) >= 0 else None)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        if series or references or mean_line:
            legend_beside(axes)
        entitle(figure, axes, title, subtitle)
    return figure


def heatmap(
    matrix: ArrayLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    xlabel: str,
    ylabel: str,
    colour_label: str,
    title: str,
    subtitle: str = "",
    digits: int | None = 1,
    centre: float | None = None,
    width: float | None = None,
) -> Figure:
    """A matrix (rows, columns) as colours with a colour bar; `digits` prints the numbers too (None: does not).

    `centre` chooses a diverging map around that value. Raises ValueError when labels and matrix do not match.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"A matrix of {values.shape} cannot have {len(rows)} row and {len(columns)} column labels.")
    limits: dict[str, Any] = {"cmap": SEQUENTIAL}
    if centre is not None:
        reach = float(np.nanmax(np.abs(values - centre))) or 1.0
        limits = {"cmap": DIVERGING, "vmin": centre - reach, "vmax": centre + reach}
    with look():
        figure = new_figure(width or 2.6 + 0.62 * len(columns), 1.5 + 0.36 * len(rows))
        axes = figure.subplots()
        axes.grid(False)
        image = axes.imshow(values, aspect="auto", **limits)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, label=colour_label, fraction=0.05)
        bar.outline.set_visible(False)  # type: ignore[operator]
        for (i, j), value in np.ndenumerate(values):
            if digits is not None and not np.isnan(value):
                red, green, blue, _ = image.to_rgba(np.array([value]))[0]
                ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK
                axes.text(
                    j,
                    i,
                    f"{round(float(value), digits) + 0.0:.{digits}f}",
                    ha="center",
                    va="center",
                    color=ink,
                    fontsize=7.5,
                )
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        entitle(figure, axes, title, subtitle)
    return figure
