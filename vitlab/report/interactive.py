"""A Chart as plotly's figure JSON, in plain dicts: what the pointer is on says mean, interval, seed, run and value.

The plotly package is not needed: a page that loads plotly.js draws it by `Plotly.newPlot(element, figure)`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from textwrap import fill
from typing import Any

from vitlab.report.captions import alt
from vitlab.report.evidence import Chart, Panel, Point, Series
from vitlab.report.places import drawn_at, has_band, has_seeds
from vitlab.report.plain import number, tick_labels, tick_values
from vitlab.report.style import DASHES, FAINT, GREY, INK, MARKERS, SeriesStyle, bar_colour, chart_styles

DASH = dict(zip(map(str, DASHES), ("solid", "dash", "dot", "dashdot"), strict=True))
SYMBOL = dict(zip(MARKERS, ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross"), strict=True))
AXIS = {"showgrid": True, "gridcolor": FAINT, "zeroline": False, "linecolor": GREY, "ticks": "outside"}  # of all axes
WIDE, NARROW = 900, 350  # pixels of the figure, by which labels are thinned out and long names broken
PANEL, GAP_PANEL, BAR, BROKEN_BAR = 270, 130, 26, 36  # pixels of heights
APART = 0.07  # share of the width between panels
BETWEEN, BELOW_HEAD, LINE = 84, 34, 16  # pixels between rows of panels, between one and its gaps, and of a line more
MARGIN = {"l": 56, "r": 12, "t": 30, "b": 58}
LETTER = 7.5  # pixels of a letter of a label
LAYOUT = {
    "font": {"family": "system-ui, Segoe UI, Helvetica, Arial, sans-serif", "size": 12, "color": INK},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "hovermode": "closest",
    "barmode": "group",
    "template": {"layout": {"xaxis": AXIS, "yaxis": AXIS}},
}
LEGEND = {  # below all panels
    "orientation": "h",
    "tracegroupgap": 0,
    "x": 0,
    "xref": "container",
    "y": 0,
    "yref": "container",
    "yanchor": "bottom",
}
OWN = ("xaxis", "yaxis", "showlegend")  # of a trace, what is not the same in both widths
MOST = 12  # seeds that are named where the pointer is on their mean


def to_plotly(chart: Chart, *, narrow: bool = False) -> dict[str, Any]:
    """`data` (traces) and `layout` of the chart, ready for `json.dumps`; `layout.meta.alt` describes it in words.

    Its title and subtitle are the page's to show. `narrow`: for a telephone, panels one below the other.
    """
    words, chart = alt(chart), _stacked(chart) if narrow else chart
    styles = chart_styles(chart)
    traces: list[dict[str, Any]] = []
    pixels = NARROW if narrow else WIDE
    heights = _heights(chart, pixels)
    layout: dict[str, Any] = {**LAYOUT, "annotations": [], "shapes": [], "meta": {"alt": words}}
    in_legend: set[str] = set()
    for (row, column), end in _ends(chart).items():
        panel = chart.panels[row][column]
        _lay_out(layout, chart, (row, column), end, pixels)
        told = panel.gap and len(panel.series) == 1  # by the panel's title
        for series, xs in zip(panel.series, drawn_at(chart, panel), strict=True):
            made = _traces(chart, panel, series, xs, styles)
            made[-1]["showlegend"] = bool(series.name) and series.name not in in_legend and not told
            in_legend |= {series.name} if made[-1]["showlegend"] else set()
            traces += [{**trace, "xaxis": f"x{end}", "yaxis": f"y{end}"} for trace in made]
    lines = _legend_lines(in_legend, pixels) if len(in_legend) > 1 else 0
    below = MARGIN["b"] + 22 * lines + LINE * _label(chart, pixels).count("\n")
    layout["margin"] = {**MARGIN, "b": below}
    layout["height"] = sum(heights) + MARGIN["t"] + below
    return {"data": traces, "layout": {**layout, "legend": LEGEND, "showlegend": lines > 0}}


def both(chart: Chart) -> dict[str, Any]:
    """The chart "wide" and "narrow", and what they have in common: "traces", of which data names one by its number
    ("of"), and a "layout", to which each adds its own.
    """
    traces: list[dict[str, Any]] = []

    def placed(trace: dict[str, Any]) -> dict[str, Any]:
        common = {name: value for name, value in trace.items() if name not in OWN}
        if common not in traces:
            traces.append(common)
        return {"of": traces.index(common), **{name: trace[name] for name in OWN if name in trace}}

    drawn = {"wide": to_plotly(chart), "narrow": to_plotly(chart, narrow=True)}
    for figure in drawn.values():
        figure["data"] = [placed(trace) for trace in figure["data"]]
    wide, narrow = (figure["layout"] for figure in drawn.values())
    layout = {name: value for name, value in wide.items() if narrow.get(name) == value}
    for figure in drawn.values():
        figure["layout"] = {name: value for name, value in figure["layout"].items() if name not in layout}
    return {"traces": traces, "layout": layout, **drawn}


def _stacked(chart: Chart) -> Chart:
    """The panels one below the other, each followed by the gaps of its axes."""
    order: list[tuple[Panel, ...]] = []
    for at, row in enumerate(chart.panels):
        if at and row[0].gap:
            continue
        below = chart.panels[at + 1] if _has_gaps_below(chart, at) else ()
        for column, panel in enumerate(row):
            order += [(panel,), *((gap,) for gap in below[column : column + 1])]
    return replace(chart, panels=tuple(order))


def _width(chart: Chart) -> float:
    """The share of the width that a panel has."""
    across = max(map(len, chart.panels))
    return (1 - APART * (across - 1)) / across


def _label(chart: Chart, pixels: float) -> str:
    """The name below the panels, over several lines where they are narrow; bars have their values there."""
    letters = int(_width(chart) * (pixels - MARGIN["l"]) / LETTER)
    return "" if chart.kind == "bar" else fill(chart.xlabel, width=letters, break_long_words=False)


def _has_gaps_below(chart: Chart, row: int) -> bool:
    return row + 1 < len(chart.panels) and chart.panels[row + 1][0].gap


def _legend_lines(names: Collection[str], pixels: float) -> int:
    """Lines of the legend: plotly puts names that do not fit on one line into columns as wide as the longest."""
    widths, pixels = [50 + LETTER * len(name) for name in names], pixels - MARGIN["l"] - MARGIN["r"]
    beside = len(widths) if 1.15 * sum(widths) < pixels else max(1, int(pixels / max(widths)))
    return math.ceil(len(widths) / beside)


def _heights(chart: Chart, pixels: float) -> list[float]:
    """Pixels of each row of panels, with the room below it."""
    found = []
    for at, row in enumerate(chart.panels):
        height = float(GAP_PANEL if row[0].gap else PANEL)
        if chart.kind == "bar":
            counts = [sum(len(series.points) for series in panel.series) for panel in row]
            broken = any("<br>" in name for panel in row for name in _broken(panel, pixels)["ticktext"])
            height = (BROKEN_BAR if broken else BAR) * (max(counts) + 1.5)
        last = at == len(chart.panels) - 1
        found.append(height + (0 if last else _room(chart, at, pixels)))
    return found


def _room(chart: Chart, row: int, pixels: float) -> float:
    """Pixels below a row of panels that is not the last."""
    return BELOW_HEAD if _has_gaps_below(chart, row) else BETWEEN + LINE * _label(chart, pixels).count("\n")


def _ends(chart: Chart) -> dict[tuple[int, int], str]:
    """What plotly puts after the names of the axes of each panel: nothing, 2, 3, ..."""
    cells = [(row, column) for row, panels in enumerate(chart.panels) for column in range(len(panels))]
    return {cell: str(at) if at > 1 else "" for at, cell in enumerate(cells, 1)}


def _html(text: str) -> str:
    """Text for plotly, which understands some tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>")


def _lay_out(layout: dict[str, Any], chart: Chart, cell: tuple[int, int], end: str, pixels: float) -> None:
    """Give a panel its share of the figure, its axes, its title and its horizontal lines."""
    (row, column), panel = cell, chart.panels[cell[0]][cell[1]]
    (left, right), (bottom, top) = _domains(chart, row, column, pixels)
    value = {"text": _html(panel.ylabel or chart.ylabel if column == 0 or panel.ylabel else "")}
    across: dict[str, Any] = {"domain": [left, right], "anchor": f"y{end}"}
    up: dict[str, Any] = {"domain": [bottom, top], "anchor": f"x{end}", "title": value}
    across["title"] = {"text": _html(_label(chart, pixels)), "standoff": 8}
    if _has_gaps_below(chart, row):  # whose axis has the labels
        across |= {"title": {"text": ""}, "showticklabels": False}
    if chart.kind == "bar":
        across["title"], up["title"] = value, {"text": _html(chart.xlabel)}
        up |= {"autorange": "reversed", "showgrid": False, "automargin": True, **_broken(panel, pixels)}
    elif chart.kind == "line":
        values = [float(point.x) * chart.x_scale for series in panel.series for point in series.points]
        ticks = tick_values(values, log=chart.log_x) if values else []
        letters = (right - left) * (pixels - MARGIN["l"]) / LETTER
        labels = tick_labels(ticks, log=chart.log_x, letters=letters) if ticks else []
        across |= {"tickvals": ticks, "ticktext": labels, "tickangle": 0}
    if chart.log_x:
        across["type"] = "log"
    if chart.same_y and column:
        up |= {"matches": f"y{_ends(chart)[row, 0]}", "showticklabels": False}
    layout |= {f"xaxis{end}": across, f"yaxis{end}": up}
    if panel.title:
        where = {"xref": "paper", "yref": "paper", "x": left, "y": top, "xanchor": "left", "yanchor": "bottom"}
        layout["annotations"].append({"text": f"<b>{_html(panel.title)}</b>", "showarrow": False, **where})
    for label, level in [*([("", 0.0)] if panel.gap else []), *panel.references]:
        layout["shapes"].append(_level(chart, label, level * chart.scale, end))


def _broken(panel: Panel, pixels: float) -> dict[str, Any]:
    """Names of bars, over several lines where they would take more than a third of the width."""
    names = list(dict.fromkeys(str(point.x) for series in panel.series for point in series.points))
    shown = [_html(fill(name, width=max(12, int(pixels / 3 / LETTER)), break_long_words=False)) for name in names]
    return {"tickvals": names, "ticktext": shown}


def _level(chart: Chart, label: str, level: float, end: str) -> dict[str, Any]:
    """A line across the panel at a value, with its label."""
    value, other = ("x", "y") if chart.kind == "bar" else ("y", "x")
    return {
        "type": "line",
        **{f"{value}ref": f"{value}{end}", f"{value}0": level, f"{value}1": level},
        **{f"{other}ref": f"{other}{end} domain", f"{other}0": 0, f"{other}1": 1},
        "line": {"color": GREY, "width": 1, "dash": "dot" if label else "solid"},
        "label": {"text": _html(label), "textposition": "end"},
    }


def _domains(chart: Chart, row: int, column: int, pixels: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The panel's ends as shares of the width and height that the margins leave, from the left and the bottom."""
    heights = _heights(chart, pixels)
    free = 0 if row == len(heights) - 1 else _room(chart, row, pixels)
    top = 1 - sum(heights[:row]) / sum(heights)
    wide = _width(chart)
    left = column * (wide + APART)
    return (left, left + wide), (max(0.0, top - (heights[row] - free) / sum(heights)), top)


def _traces(
    chart: Chart, panel: Panel, series: Series, xs: Sequence[Any], styles: Mapping[str, SeriesStyle]
) -> list[dict[str, Any]]:
    """Band or whiskers, single seeds, and the means at `xs`, which come last and stand in the legend."""
    style, points = styles[series.name], series.points
    values = _shown([point.interval.mean for point in points], chart.scale)
    main: dict[str, Any] = {
        "name": series.name,
        "legendgroup": series.name,
        "text": [_words(chart, series, point) for point in points],
        "hovertemplate": "%{text}<extra></extra>",
    }
    if chart.kind == "bar":
        colours = [bar_colour(styles, series.name, str(x)) for x in xs]
        main |= {"type": "bar", "orientation": "h", "x": values, "y": xs, "marker": {"color": colours}}
        return [{**main, "textposition": "none", "error_x": _errors(chart, points)}]
    main |= {"type": "scatter", "x": xs, "y": values, "mode": "markers" if chart.kind == "dots" else "lines+markers"}
    main["marker"] = {"color": style.colour, "symbol": SYMBOL[style.marker], "size": 7}
    main["line"] = {"color": style.colour, "dash": DASH[str(style.dash)], "width": 2}
    if chart.kind == "dots" or not has_band(panel, series):
        errors = {**_errors(chart, points), "color": style.colour}
        return [*_seeds(chart, series, xs, style), {**main, "error_y": errors}]
    return [_band(chart, series, style), *_seeds(chart, series, xs, style), main]


def _seeds(chart: Chart, series: Series, xs: Sequence[float], style: SeriesStyle) -> list[dict[str, Any]]:
    """A dot for each seed of a line, where there are several at a point."""
    if not has_seeds(chart, series):
        return []
    found = [(x, point.x, *seed) for x, point in zip(xs, series.points, strict=True) for seed in point.seeds]
    words = [f"{number(float(x) * chart.x_scale)}, {label}" for _, x, label, _ in found]
    dots = {"x": [x for x, *_ in found], "y": _shown([value for *_, value in found], chart.scale)}
    marker = {"color": style.colour, "opacity": 0.45, "size": 5}
    value = f"{_html(series.name)}: %{{y:.{chart.digits}f}}".removeprefix(": ")
    told = {"text": [_html(text) for text in words], "hovertemplate": f"{value} at %{{text}}<extra></extra>"}
    return [{"type": "scatter", "mode": "markers", **dots, **told, "marker": marker, **_behind(series)}]


def _band(chart: Chart, series: Series, style: SeriesStyle) -> dict[str, Any]:
    """The outline of the intervals, there and back."""
    ends = ([getattr(point.interval, end) for point in series.points] for end in ("low", "high"))
    low, high = (_shown(values, chart.scale) for values in ends)
    there = [float(point.x) * chart.x_scale for point in series.points]
    outline = {"x": [*there, *reversed(there)], "y": [*low, *reversed(high)], "line": {"width": 0}, "hoverinfo": "skip"}
    filled = {"fill": "toself", "fillcolor": f"{style.colour}29"}
    return {"type": "scatter", "mode": "lines", **outline, **filled, **_behind(series)}


def _behind(series: Series) -> dict[str, Any]:
    """Shown and hidden together with the means of the series."""
    return {"legendgroup": series.name, "showlegend": False}


def _errors(chart: Chart, points: Sequence[Point]) -> dict[str, Any]:
    cells = [point.interval for point in points]
    ends = {"array": [cell.high - cell.mean for cell in cells], "arrayminus": [cell.mean - cell.low for cell in cells]}
    shown = {name: _shown(values, chart.scale) for name, values in ends.items()}
    return {"type": "data", "symmetric": False, **shown, "thickness": 1.1, "width": 3, "color": INK}


def _words(chart: Chart, series: Series, point: Point) -> str:
    """Name, `x`, mean with interval, number of seeds, and each seed with its value where that has no dot of its own."""
    x = point.x if isinstance(point.x, str) else number(point.x * chart.x_scale)
    cell = point.interval.format(digits=chart.digits, scale=chart.scale)
    lines = [f"{series.name}, {x}: {cell}".removeprefix(", ")]
    lines += [f"n = {point.interval.n}, 95% interval"] if point.interval.n > 1 else []
    seeds = () if has_seeds(chart, series) else point.seeds
    lines += [f"{label}: {value * chart.scale:.{chart.digits}f}" for label, value in seeds[:MOST]]
    lines += [f"and {len(seeds) - MOST} more"] if len(seeds) > MOST else []
    return _html("\n".join(lines))


def _shown(values: Sequence[float], scale: float) -> list[float | None]:
    """Values times `scale` in six significant digits, finer than a pixel; NaN as null, which plotly leaves out."""
    return [float(f"{value * scale:.6g}") if math.isfinite(value) else None for value in values]
