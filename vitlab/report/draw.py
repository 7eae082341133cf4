"""A Chart as a matplotlib figure, and as PNG or PDF: means, bands of 95% intervals, single seeds, real ticks."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from vitlab.report.evidence import Chart, Panel, Point
from vitlab.report.places import drawn_at, has_band
from vitlab.report.plain import tick_labels, tick_values
from vitlab.report.style import (
    COLUMN,
    GREY,
    INK,
    SeriesStyle,
    bar_colour,
    chart_styles,
    entitled,
    look,
    new_figure,
    render,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

DOTTED = (0, (2, 2))
HEADING = 32  # letters of a panel's title in a line
WIDE = 6.8  # inches of a figure of one panel with its legend beside it
LETTER = 0.075  # inches that a letter of a tick's label takes


def draw(chart: Chart, width: float | None = None) -> Figure:
    """The figure; `width` in inches (by default by the number of panels). Below 5 inches the legend goes below."""
    down, across = len(chart.panels), max(map(len, chart.panels))
    narrow = width is not None and width < 5
    inches = width or max(WIDE, 3.0 * across + 1.2)
    one = (inches - (0.2 if narrow else 1.4)) / across  # width of a panel with its labels
    styles = chart_styles(chart)
    with look():
        figure = new_figure(inches, _height(chart, one, narrow))
        body = entitled(figure, chart.title, chart.subtitle)
        ratios = [1.0 if row[0].gap or not _has_gaps(chart) else 2.1 for row in chart.panels]
        if chart.kind == "bar":
            ratios = [float(_bar_count(row)) + 1 for row in chart.panels]
        grid = body.subplots(
            down, across, squeeze=False, height_ratios=ratios, sharex="col" if _has_gaps(chart) else "none"
        )
        for row, cells in zip(chart.panels, grid, strict=True):
            for axes in cells[len(row) :]:
                axes.set_axis_off()
            for panel, axes in zip(row, cells, strict=False):
                {"line": _lines, "bar": _bars, "dots": _dots}[chart.kind](axes, chart, panel, styles, one - 0.6)
                axes.set_title(fill(panel.title, HEADING), loc="left", **_heading(panel))
            if chart.same_y:
                _on_one_scale(cells[: len(row)])
        _label(body, grid, chart)
        _legend(body, grid, chart, narrow)
    return figure


def for_column(chart: Chart) -> bytes:
    """PDF at the width of a paper's column; of two columns for several panels side by side."""
    width = COLUMN if max(map(len, chart.panels)) == 1 else 2 * COLUMN
    return render(draw(chart, width), "pdf")


def _has_gaps(chart: Chart) -> bool:
    return any(panel.gap for row in chart.panels for panel in row)


def _bar_count(row: Sequence[Panel]) -> float:
    """Bars of the fullest panel, thinner ones side by side counted less."""
    return max(len(_categories(panel)) * max(1.0, 0.75 * len(panel.series)) for panel in row)


def _height(chart: Chart, one: float, narrow: bool) -> float:
    """Inches: bars by their number, panels of curves in a pleasant proportion; room for title and legend."""
    words = 0.75 + 0.16 * chart.subtitle.count("\n") + _legend_height(chart) * narrow
    if chart.kind == "bar":
        return words + sum(0.35 + 0.32 * _bar_count(row) for row in chart.panels) + 0.4
    upper = float(np.clip(0.62 * one, 1.9, 2.8))
    return words + sum(0.62 * upper if row[0].gap else upper for row in chart.panels) + 0.3


def _legend_height(chart: Chart) -> float:
    """Inches of a legend below the panels."""
    names = {series.name for series in chart.series if series.name}
    return 0.2 * math.ceil(len(names) / _beside(names)) if len(names) > 1 else 0.0


def _heading(panel: Panel) -> dict[str, Any]:
    return {"color": GREY, "fontsize": 8} if panel.gap else {"fontsize": 8.5, "weight": "bold"}


def _parts(points: Sequence[Point], scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, and lower and upper ends of intervals (NaN where there are none), as shown."""
    cells = np.array([[point.interval.mean, point.interval.low, point.interval.high] for point in points])
    return tuple(cells.reshape(-1, 3).T * scale)  # type: ignore[return-value]


def _lines(axes: Axes, chart: Chart, panel: Panel, styles: Mapping[str, SeriesStyle], inches: float) -> None:
    """Curves with bands, or differences with bars of their interval above a line at zero."""
    ends: list[float] = [0.0] if panel.gap else []
    values: list[float] = list(ends)
    for series, along in zip(panel.series, drawn_at(chart, panel), strict=True):
        style, xs = styles[series.name], np.array(along)
        mean, low, high = _parts(series.points, chart.scale)
        if has_band(panel, series):
            axes.fill_between(xs, low, high, color=style.colour, alpha=0.16, linewidth=0)
        else:
            _whiskers(axes, xs, mean, low, high, style.colour)
        label = "" if panel.gap and len(panel.series) == 1 else series.name  # then the panel's title says it
        axes.plot(xs, mean, color=style.colour, linestyle=style.dash, marker=style.marker, label=label, zorder=3)
        dots = [(x, value * chart.scale) for x, p in zip(xs, series.points, strict=True) for _, value in p.seeds]
        if len(dots) > len(xs):  # a single seed is its own mean
            places, up = zip(*dots, strict=True)
            axes.scatter(places, up, s=9, color=style.colour, alpha=0.45, linewidths=0, zorder=2)
        values += [*mean, *(value for _, value in dots)]
        ends += [*low, *high]
    if panel.gap:
        axes.axhline(0, color="#888888", linewidth=0.9, zorder=1)
    _references(axes, chart, panel)
    _limits(axes, [*values, *(level * chart.scale for _, level in panel.references)], ends)
    _value_ticks(axes, chart, [point.x for series in panel.series for point in series.points], inches)


def _whiskers(axes: Axes, xs: np.ndarray, mean: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
    known = ~np.isnan(low)
    ends = np.stack([mean - low, high - mean])[:, known]
    axes.errorbar(xs[known], mean[known], yerr=ends, fmt="none", ecolor=colour, elinewidth=1.1, capsize=2.5, zorder=3)


def _references(axes: Axes, chart: Chart, panel: Panel) -> None:
    line = axes.axvline if chart.kind == "bar" else axes.axhline
    for i, (label, level) in enumerate(panel.references):
        dash = (DOTTED, (0, (6, 2)), (0, (6, 2, 1.5, 2)))[i % 3]
        line(level * chart.scale, color=GREY, linewidth=1.0, linestyle=dash, label=label, zorder=1)


def _limits(axes: Axes, values: Sequence[float], ends: Sequence[float]) -> None:
    """Show all values, and of the bands as much as leaves the values legible (two seeds give bands of many points)."""
    if not values:
        return
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    room = max(most - least, abs(most) * 0.02)
    known = [end for end in ends if not math.isnan(end)]
    low = max(least - room, min([least, *known]))
    high = min(most + room, max([most, *known]))
    margin = 0.05 * room or 1.0  # nothing but zeros
    axes.set_ylim(low - margin, high + margin)


def _value_ticks(axes: Axes, chart: Chart, found: Sequence[float | str], inches: float) -> None:
    """Ticks at the values that were chosen, or at round ones."""
    if chart.log_x:
        axes.set_xscale("log")
    if not found:
        return
    values = tick_values([float(x) * chart.x_scale for x in found], log=chart.log_x)
    if len(values) == 1:
        axes.set_xlim((values[0] / 2, values[0] * 2) if chart.log_x else (values[0] - 0.5, values[0] + 0.5))
    axes.set_xticks(values, tick_labels(values, log=chart.log_x, letters=inches / LETTER))
    axes.minorticks_off()


def _categories(panel: Panel) -> list[str]:
    return list(dict.fromkeys(str(point.x) for series in panel.series for point in series.points))


def _bars(axes: Axes, chart: Chart, panel: Panel, styles: Mapping[str, SeriesStyle], inches: float) -> None:
    """Horizontal bars from zero, side by side for each series, with whiskers and the mean beside them."""
    categories = _categories(panel)
    thick = 0.8 / len(panel.series)
    for i, series in enumerate(panel.series):
        at = [categories.index(str(point.x)) + (i - (len(panel.series) - 1) / 2) * thick for point in series.points]
        mean, low, high = _parts(series.points, chart.scale)
        colours = [bar_colour(styles, series.name, str(point.x)) for point in series.points]
        axes.barh(at, mean, height=thick * 0.9, color=colours, label=series.name or None)
        known = ~np.isnan(low)
        ends = np.stack([mean - low, high - mean])[:, known]
        style: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 1.1, "capsize": 2.5, "zorder": 4}
        axes.errorbar(mean[known], np.array(at)[known], xerr=ends, **style)
        for y, value, end in zip(at, mean, np.fmax(np.fmax(mean, high), 0.0), strict=True):
            text = f"{round(value, chart.digits) + 0.0:,.{chart.digits}f}".replace("-", "−")  # no zero below zero
            axes.annotate(text, (end, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
    _references(axes, chart, panel)
    axes.set_yticks(range(len(categories)), categories)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    low_end, high_end = axes.get_xlim()
    axes.set_xlim(min(0.0, low_end), max(0.0, high_end) + 0.12 * (high_end - min(0.0, low_end)))


def _dots(axes: Axes, chart: Chart, panel: Panel, styles: Mapping[str, SeriesStyle], inches: float) -> None:
    """A mark for each point, with bars of its interval where it has one."""
    for series in panel.series:
        style = styles[series.name]
        xs = np.array([float(point.x) for point in series.points]) * chart.x_scale
        mean, low, high = _parts(series.points, chart.scale)
        _whiskers(axes, xs, mean, low, high, style.colour)
        axes.scatter(xs, mean, s=22, color=style.colour, marker=style.marker, label=series.name)
    if chart.log_x:
        axes.set_xscale("log")
    _references(axes, chart, panel)


def _on_one_scale(panels: Sequence[Axes]) -> None:
    """The panels of a row with the same limits, and their numbers on the first alone."""
    limits = [axes.get_ylim() for axes in panels]
    for i, axes in enumerate(panels):
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        axes.tick_params(labelleft=i == 0)


def _label(figure: SubFigure, grid: np.ndarray, chart: Chart) -> None:
    """Names of the axes once where panels share them; bars have their values across."""
    across, up = (chart.ylabel, "") if chart.kind == "bar" else (chart.xlabel, chart.ylabel)
    if grid.shape[1] == 1:
        grid[-1, 0].set_xlabel(across)
    else:
        figure.supxlabel(across, fontsize=9)
    own = any(panel.ylabel for row in chart.panels for panel in row)
    if not own and grid.size > 1 and up:
        figure.supylabel(up, fontsize=9)
        return
    for row, cells in zip(chart.panels, grid, strict=True):
        for i, (panel, axes) in enumerate(zip(row, cells, strict=False)):
            if i == 0 or not chart.same_y:
                axes.set_ylabel(panel.ylabel or up)


def _legend(figure: SubFigure, grid: np.ndarray, chart: Chart, narrow: bool) -> None:
    """One legend for all panels, beside them or below; none where there is nothing to tell apart."""
    found: dict[str, Any] = {}
    lines = {label for row in chart.panels for panel in row for label, _ in panel.references}
    for axes in grid.ravel():
        handles, labels = axes.get_legend_handles_labels()
        for label, handle in zip(labels, handles, strict=True):
            found.setdefault(label, handle)
    found = dict(sorted(found.items(), key=lambda item: item[0] in lines))  # series first
    if len(found) > 1:
        figure.legend(
            list(found.values()),
            list(found),
            loc="outside lower center" if narrow else "outside right upper",
            ncols=_beside(found) if narrow else 1,
        )


def _beside(names: Collection[str]) -> int:
    """How many names of a legend fit beside each other below a narrow figure."""
    return 2 if max(map(len, names)) < 17 else 1
