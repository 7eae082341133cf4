"""What equal accuracy costs: fronts as a chart and as a table of ratios, and how many times more images it takes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from vitlab.claims.curves import data_factor, from_log2
from vitlab.claims.fronts import ratio, ratio_sampling
from vitlab.claims.interval import mean_interval
from vitlab.report.build import curves
from vitlab.report.evidence import Chart, Table
from vitlab.report.families import in_order

Fronts = Mapping[str, pd.DataFrame]


def front_chart(rows: pd.DataFrame, found: Fronts, *, by: str, cost: str, title: str, xlabel: str) -> Chart:
    """Test accuracy against cost: the front of each arm, and beside it all models of `rows`, the points behind them."""
    about = {"xlabel": f"{xlabel}, log scale", "ylabel": "test accuracy (%)", "log_x": True, "same_y": True}
    chart = curves(rows, x=cost, series="model", title=title, **about)  # type: ignore[arg-type]
    if not found:
        return chart
    ordered = pd.concat([found[name] for name in in_order(found)])
    ((best,),) = curves(ordered, x=cost, series=by, title=title).panels  # type: ignore[call-arg]
    ((every,),) = chart.panels
    panels = replace(best, title="what nothing cheaper beats"), replace(every, title="every model and length")
    return replace(chart, panels=(panels,))


def ratio_table(name: str, found: Fronts, cost: str, caption: str) -> list[Table]:
    """Cost of one front over that of another at equal accuracy, for each pair; none where no pair shares accuracies."""
    pairs = {(a, b): ratio(found, a, b, cost=cost) for a, b in itertools.combinations(reversed(in_order(found)), 2)}
    ratios = {
        f"{a} / {b}": from_log2(mean_interval(list(values.values()), sampling=ratio_sampling(found, a, b, cost=cost)))
        for (a, b), values in pairs.items()
        if values
    }
    if not ratios:
        return []
    frame = pd.DataFrame({"ratio at equal accuracy": ratios}, dtype=object).rename_axis("cost of")
    return [Table(name, frame, caption, digits=2, scale=1.0)]


def factor_table(name: str, rows: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, caption: str) -> list[Table]:
    """How many times more images the first of each pair needs for the second's accuracy; none where no seed says so."""
    accuracies = [percent / 100 for percent in range(10, 100, 4)]
    found = {
        (f"{first} for {second}", f"{100 * factor.accuracy:.0f}%"): factor.interval
        for first, second in pairs
        for factor in data_factor(rows, first, second, accuracies=accuracies)
    }
    if not found:
        return []
    frame = pd.Series(found, dtype=object).unstack().fillna("–")
    return [Table(name, frame.rename_axis("images of"), caption, scale=1.0)]
