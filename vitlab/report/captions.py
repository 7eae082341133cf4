"""Words about rows (how many seeds, what made them, how large the models are) and about what a chart shows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vitlab.report.evidence import Chart, Point, Series
from vitlab.report.families import in_order
from vitlab.report.plain import number
from vitlab.report.provenance import short_commit

SHOWN = {"steps": "steps", "epochs": "epochs", "recipe.precision": "", "hardware": ""}
VERSIONS = ("torch", "lightning", "timm", "vitlab", "commit")


def describe(rows: pd.DataFrame) -> str:
    """What the rows were made with, for a caption: seeds, hardware, versions, commit (each as far as known)."""
    parts = [_count(rows, column) for column in ("seed", "draw") if _distinct(rows, column)]
    for column, word in SHOWN.items():
        values = [number(value) for value in _distinct(rows, column)]
        shown = " / ".join(values) if len(values) <= 3 else f"{values[0]} to {values[-1]}"
        parts += [f"{shown} {word}".strip()] if values else []
    for column in VERSIONS:
        if values := sorted(map(short_commit if column == "commit" else str, _distinct(rows, column))):
            parts.append(f"{column} {' / '.join(values)}")
    return "; ".join(parts)


def lengths(rows: pd.DataFrame, x: str) -> str:
    """Whether all of `x` (train sizes) had the same recipe, or one of its own length each."""
    steps = rows.groupby(x)["steps"].first()
    each = "; ".join(f"{number(size)}: {number(n)} steps" for size, n in steps.items())
    return f"The same recipe but for its length ({each})" if steps.nunique() > 1 else "The same recipe"


def means(rows: pd.DataFrame, series: str = "model", value: str = "score") -> str:
    """`ViT-Nano/4 27.8, ResNet-Nano 21.6 %`: the mean of accuracies of each series, in its usual order."""
    found = rows.groupby(series)[value].mean()
    return ", ".join(f"{name} {100 * found[name]:.1f}" for name in in_order(found.index)) + " %"


def seeds_line(rows: pd.DataFrame, unit: Sequence[str] = ("seed",), *, dots: bool = True) -> str:
    """How many seeds a figure shows, and what its marks are."""
    n, word = (len(_distinct(rows, unit[0])), unit[0]) if unit else (len(rows), "row")
    if n < 2:
        return f"one {word}: no intervals"
    shown = _count(rows, word) if unit else f"{n} rows"
    return f"mean of {shown}, 95% interval{f'; dots: single {word}s' * dots}"


def cost(rows: pd.DataFrame, model: str, column: str) -> float | str:
    """Parameters or FLOPs of a model in millions, or a range when the rows have several; "–" when they have none."""
    values = [float(value) / 1e6 for value in _distinct(rows[rows["model"] == model], column)]
    return "–" if not values else values[0] if len(values) == 1 else f"{values[0]:.3g}–{values[-1]:.3g}"


def millions(rows: pd.DataFrame) -> str:
    """`0.35 to 0.36 M parameters`: the range over the models of the rows; empty if they do not say."""
    values = list(dict.fromkeys(f"{value / 1e6:.2g}" for value in _distinct(rows, "parameters")))
    return (
        f"{values[0]} to {values[-1]} M parameters" if len(values) > 1 else "".join(f"{v} M parameters" for v in values)
    )


def with_parameters(rows: pd.DataFrame, model: str) -> str:
    """`ViT-Micro/4 (1.2 M)`: the name with its parameters if the rows have one number of them."""
    values = _distinct(rows[rows["model"] == model], "parameters")
    return f"{model} ({values[0] / 1e6:.{2 if values[0] < 1e7 else 3}g} M)" if len(values) == 1 else model


def alt(chart: Chart) -> str:
    """What the figure shows, in words with its numbers, for those who cannot see it."""
    what = {"line": "Line chart", "bar": "Bar chart", "dots": "Dot chart"}[chart.kind]
    axes = f"{chart.ylabel} against {chart.xlabel}" if chart.xlabel and chart.kind != "bar" else chart.ylabel
    said = [f"{what}: {chart.title.rstrip('.')}.", *([f"{axes}."] if axes else [])]
    for panel in (panel for row in chart.panels for panel in row):
        names = ["" if one.name in panel.title else f"{one.name}: " for one in panel.series]
        series = "; ".join(name + _shown(chart, one) for name, one in zip(names, panel.series, strict=True))
        said.append(f"{panel.title}{': ' * bool(panel.title)}{series}.")
    return " ".join(said)


def _shown(chart: Chart, series: Series) -> str:
    """The ends of a line, every bar, or the ranges of dots."""

    def at(point: Point, word: str) -> str:
        x = point.x if isinstance(point.x, str) else number(point.x * chart.x_scale)
        return f"{x}{word}{point.interval.format(digits=chart.digits, scale=chart.scale)}"

    def span(values: Sequence[float], by: float) -> str:
        return f"{min(values) * by:.{chart.digits}f} to {max(values) * by:.{chart.digits}f}"

    points = series.points
    if not points:
        return "none"
    if chart.kind == "bar":
        return ", ".join(at(point, " ") for point in points)
    if chart.kind == "dots":
        across = span([float(point.x) for point in points], chart.x_scale)
        return f"{len(points)} dots, {across} across and {span([p.interval.mean for p in points], chart.scale)} up"
    return ", ".join(at(point, ": ") for point in dict.fromkeys((points[0], points[-1])))


def _count(rows: pd.DataFrame, column: str) -> str:
    """`3 seeds`; `up to 3 seeds` where a study that was stopped, or one of several models, has fewer of the last."""
    n, uneven = len(_distinct(rows, column)), rows.groupby(column).size().nunique() > 1
    return f"{'up to ' * uneven}{n} {column}{'s' * (n > 1)}"


def _distinct(rows: pd.DataFrame, column: str) -> list:
    return sorted(rows[column].dropna().unique()) if column in rows.columns else []
