"""Where the points of a panel are drawn, alike in every rendering: whiskers that would lie on each other go apart."""

from __future__ import annotations

import math
from typing import Any

from vitlab.report.evidence import Chart, Panel, Series

APART = 0.03  # share of the axis between series of one point each
ASIDE = 1.03  # factor between differences, on a logarithmic axis


def drawn_at(chart: Chart, panel: Panel) -> list[list[Any]]:
    """The `x` of every point of each series: texts for bars; of lines, differences and single points step aside."""
    if chart.kind == "bar":
        return [[point.x for point in series.points] for series in panel.series]
    found = [[float(point.x) * chart.x_scale for point in series.points] for series in panel.series]
    if chart.kind == "dots" or (panel.gap and not chart.log_x):
        return found
    if panel.gap:
        return [[x * ASIDE**i for x in xs] for i, xs in enumerate(found)]
    alone = [xs for xs in found if len(xs) == 1]
    low, high = _ends([x for xs in found for x in xs], log=chart.log_x)
    for at, xs in enumerate(alone):
        share = APART * (at - (len(alone) - 1) / 2)
        xs[0] = xs[0] * (high / low) ** share if chart.log_x else xs[0] + (high - low) * share
    return found


def has_band(panel: Panel, series: Series) -> bool:
    """Whether the intervals of a curve are joined to a band; where one is missing each stands alone, as whiskers."""
    return not panel.gap and len(series.points) > 1 and not any(math.isnan(p.interval.low) for p in series.points)


def has_seeds(chart: Chart, series: Series) -> bool:
    """Whether single seeds have dots of their own: of lines, where there are several at a point."""
    return chart.kind == "line" and any(len(point.seeds) > 1 for point in series.points)


def _ends(values: list[float], *, log: bool) -> tuple[float, float]:
    """The ends of the axis: the least and the largest value, or what is shown around a single one."""
    low, high = min(values, default=1.0), max(values, default=1.0)
    return (low, high) if low < high else (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
