"""A Chart as plotly's figure JSON, in plain dicts: what the pointer is on says mean, interval, seed, run and value.

The plotly package is not needed: a page that loads plotly.js draws it by `Plotly.newPlot(element, figure)`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vitlab.report.evidence import Chart, Panel, Point, Series, number
from vitlab.report.style import DASHES, GREY, INK, MARKERS, SeriesStyle, bar_colour, chart_styles

DASH = dict(zip(map(str, DASHES), ("solid", "dash", "dot", "dashdot"), strict=True))
SYMBOL = dict(zip(MARKERS, ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross"), strict=True))
LINE = {"showgrid": True, "gridcolor": "#E8E8E8", "zeroline": False, "linecolor": "#888888", "ticks": "outside"}


def to_plotly(chart: Chart) -> dict[str, Any]:
    """`data` (traces) and `layout` of the chart, ready for `json.dumps`."""
    styles = chart_styles(chart)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "title": {
            "text": _html(chart.title),
            "subtitle": {"text": _html(chart.subtitle)},
            "x": 0.01,
            "xanchor": "left",
        },
        "font": {"family": "DejaVu Sans, Verdana, sans-serif", "size": 12, "color": INK},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "hovermode": "closest",
        "legend": {"x": 1.02, "y": 1, "tracegroupgap": 0},
        "barmode": "group",
        "annotations": [],
        "shapes": [],
        "meta": {"alt": chart.alt()},
    }
    named: set[str] = set()
    for number_of, (row, column, panel) in enumerate(_panels(chart), 1):
        end = "" if number_of == 1 else str(number_of)
        _axes(layout, chart, panel, row, column, end)
        for series in panel.series:
            made = _traces(chart, panel, series, styles, {"xaxis": f"x{end}", "yaxis": f"y{end}"})
            made[-1]["showlegend"] = bool(series.name) and series.name not in named and not _told(panel)
            named |= {series.name} if made[-1]["showlegend"] else set()
            traces += made
    if len(named) == 1 and len(traces) > 0:
        layout["showlegend"] = False
    return {"data": traces, "layout": layout}


def _panels(chart: Chart) -> list[tuple[int, int, Panel]]:
    return [(i, j, panel) for i, row in enumerate(chart.panels) for j, panel in enumerate(row)]


def _told(panel: Panel) -> bool:
    """Whether the panel's title names its only series."""
    return panel.gap and len(panel.series) == 1


def _html(text: str) -> str:
    """Text for plotly, which understands some tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


def _axes(layout: dict[str, Any], chart: Chart, panel: Panel, row: int, column: int, end: str) -> None:
    """Place the panel in its share of the figure, with its axes, title and horizontal lines."""
    x, y = _domains(chart, row, column)
    xs = [float(point.x) * chart.x_scale for series in panel.series for point in series.points if chart.kind != "bar"]
    values = sorted(set(xs))
    across: dict[str, Any] = {**LINE, "domain": x, "anchor": f"y{end}", "title": {"text": _html(chart.xlabel)}}
    up: dict[str, Any] = {**LINE, "domain": y, "anchor": f"x{end}"}
    up["title"] = {"text": _html(panel.ylabel or chart.ylabel) if column == 0 or panel.ylabel else ""}
    if chart.kind == "line":
        across |= {"tickvals": values, "ticktext": [number(value) for value in values]}
    if chart.kind == "bar":
        across["title"], up["title"] = {"text": _html(panel.ylabel or chart.ylabel)}, {"text": ""}
        up |= {"autorange": "reversed", "showgrid": False}
    if chart.log_x:
        across["type"] = "log"
    if chart.same_y and column:
        up |= {"matches": f"y{_first_of(chart, row)}", "showticklabels": False}
    if row + 1 < len(chart.panels) and chart.panels[row + 1][0].gap:
        across["title"] = {"text": ""}
    layout[f"xaxis{end}"], layout[f"yaxis{end}"] = across, up
    if panel.title:
        where = {"xref": "paper", "yref": "paper", "x": x[0], "y": y[1], "xanchor": "left", "yanchor": "bottom"}
        layout["annotations"].append({"text": _html(panel.title), "showarrow": False, **where})
    levels = [*([("", 0.0)] if panel.gap else []), *panel.references]
    for label, level in levels:
        _level(layout, chart, label, level * chart.scale, end)


def _level(layout: dict[str, Any], chart: Chart, label: str, level: float, end: str) -> None:
    """A line across the panel at a value, with its label."""
    value, other = ("x", "y") if chart.kind == "bar" else ("y", "x")
    layout["shapes"].append(
        {
            "type": "line",
            f"{value}ref": f"{value}{end}",
            f"{other}ref": f"{other}{end} domain",
            f"{value}0": level,
            f"{value}1": level,
            f"{other}0": 0,
            f"{other}1": 1,
            "line": {"color": GREY, "width": 1, "dash": "dot" if label else "solid"},
            "label": {"text": _html(label), "textposition": "end"},
        }
    )


def _first_of(chart: Chart, row: int) -> str:
    """The number of the first panel of a row, as plotly names axes."""
    place = sum(len(chart.panels[above]) for above in range(row)) + 1
    return "" if place == 1 else str(place)


def _domains(chart: Chart, row: int, column: int) -> tuple[list[float], list[float]]:
    """The panel's part of the figure's width and height, from the bottom; a gap is half as high as what it is below."""
    across, gap = max(map(len, chart.panels)), 0.08
    heights = [1.0 if panels[0].gap else 2.1 for panels in chart.panels]
    free = 1 - 0.14 * (len(heights) - 1)
    share = [free * height / sum(heights) for height in heights]
    top = 1 - sum(share[:row]) - 0.14 * row
    wide = (1 - gap * (across - 1)) / across
    left = column * (wide + gap)
    return [round(left, 4), round(left + wide, 4)], [round(max(0.0, top - share[row]), 4), round(top, 4)]


def _traces(
    chart: Chart, panel: Panel, series: Series, styles: dict[str, SeriesStyle], axes: dict[str, str]
) -> list[dict[str, Any]]:
    """Band or whiskers, single seeds, and the means, which come last and stand in the legend."""
    style = styles[series.name]
    xs = [point.x if chart.kind == "bar" else float(point.x) * chart.x_scale for point in series.points]
    mean = [point.interval.mean * chart.scale for point in series.points]
    main = {
        "type": "scatter",
        "mode": "markers" if chart.kind == "dots" else "lines+markers",
        "name": series.name,
        "legendgroup": series.name,
        "x": xs,
        "y": _numbers(mean),
        "text": [_words(chart, series, point) for point in series.points],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": style.colour, "symbol": SYMBOL[style.marker], "size": 7},
        "line": {"color": style.colour, "dash": DASH[str(style.dash)], "width": 2},
        **axes,
    }
    if chart.kind == "bar":
        colours = [bar_colour(styles, series.name, str(x)) for x in xs]
        bar = {"type": "bar", "orientation": "h", "x": main["y"], "y": xs, "marker": {"color": colours}}
        main = {name: value for name, value in main.items() if name not in ("mode", "line")} | bar
    whiskers = panel.gap or chart.kind != "line" or len(xs) == 1
    if whiskers:
        main["error_x" if chart.kind == "bar" else "error_y"] = _errors(chart, series)
    band = [] if whiskers else [_band(chart, series, xs, style, axes)]
    return [*band, *_seeds(chart, series, xs, style, axes), main]


def _seeds(
    chart: Chart, series: Series, xs: list[Any], style: SeriesStyle, axes: dict[str, str]
) -> list[dict[str, Any]]:
    """A dot for each seed of a line, where there are several at a point."""
    if chart.kind != "line" or not any(len(point.seeds) > 1 for point in series.points):
        return []
    found = [(x, label, value) for x, point in zip(xs, series.points, strict=True) for label, value in point.seeds]
    text = [
        _html(f"{series.name}: {value * chart.scale:.{chart.digits}f} at {number(x)}\n{label}")
        for x, label, value in found
    ]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "legendgroup": series.name,
            "showlegend": False,
            "x": [x for x, _, _ in found],
            "y": _numbers([value * chart.scale for _, _, value in found]),
            "text": text,
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {"color": style.colour, "opacity": 0.45, "size": 5},
            **axes,
        }
    ]


def _band(chart: Chart, series: Series, xs: list[Any], style: SeriesStyle, axes: dict[str, str]) -> dict[str, Any]:
    """The outline of the intervals, there and back; points without an interval are left out."""
    known = [
        (x, point.interval) for x, point in zip(xs, series.points, strict=True) if not math.isnan(point.interval.low)
    ]
    low, high = ([getattr(cell, end) * chart.scale for _, cell in known] for end in ("low", "high"))
    there = [x for x, _ in known]
    return {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": series.name,
        "showlegend": False,
        "hoverinfo": "skip",
        "x": [*there, *reversed(there)],
        "y": [*low, *reversed(high)],
        "fill": "toself",
        "fillcolor": f"{style.colour}29",
        "line": {"width": 0},
        **axes,
    }


def _errors(chart: Chart, series: Series) -> dict[str, Any]:
    cells = [point.interval for point in series.points]
    return {
        "type": "data",
        "symmetric": False,
        "array": _numbers([(cell.high - cell.mean) * chart.scale for cell in cells]),
        "arrayminus": _numbers([(cell.mean - cell.low) * chart.scale for cell in cells]),
        "thickness": 1.1,
        "width": 3,
    }


def _words(chart: Chart, series: Series, point: Point) -> str:
    """Name, `x`, mean with interval, number of seeds, and each seed with its value."""
    x = str(point.x) if isinstance(point.x, str) else number(point.x * chart.x_scale)
    cell = point.interval.format(digits=chart.digits, scale=chart.scale)
    seeds = [f"{label}: {value * chart.scale:.{chart.digits}f}" for label, value in point.seeds[:12]]
    more = [f"and {len(point.seeds) - 12} more"] if len(point.seeds) > 12 else []
    n = [f"n = {point.interval.n}, 95% interval"] if point.interval.n > 1 else []
    return _html("\n".join([f"{series.name}, {x}: {cell}".removeprefix(", "), *n, *seeds, *more]))


def _numbers(values: list[float]) -> list[float | None]:
    """NaN as null, which plotly leaves out."""
    return [float(value) if np.isfinite(value) else None for value in values]
