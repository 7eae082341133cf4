"""From rows to one value for each seed, and from these to intervals: the step that every table and figure shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pandas.core.groupby import DataFrameGroupBy

from vitlab.claims.interval import Interval, mean_interval
from vitlab.claims.statistics import SETS, in_both, sampling_error
from vitlab.report.evidence import Point
from vitlab.report.families import in_order
from vitlab.report.plain import NothingToShow, number

SEED = ("seed",)


def check(rows: pd.DataFrame, *columns: str) -> None:
    """Raise ValueError for columns that the rows lack, and for no rows."""
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise ValueError(
            f"The rows have no column {', '.join(missing)}; they have {', '.join(map(str, rows.columns))}."
        )
    if rows.empty:
        raise NothingToShow("There are no finished runs to show.")


def ordered(values: pd.Series) -> list[Any]:
    """Distinct values: numbers rise, models by family and size, other text as it first occurs."""
    found = list(dict.fromkeys(values.dropna()))
    if pd.api.types.is_numeric_dtype(values):
        return sorted(found)
    return in_order(found) if values.name == "model" else found


def averaged(rows: pd.DataFrame, keys: Sequence[str], value: str, unit: Sequence[str] = SEED) -> pd.DataFrame:
    """One row for each combination of `keys` and `unit`, in the order of the rows: `value` is the mean, `label` says
    which it is ("seed 0, run 1a2b").

    The mean is over draws within a data set (`data.name`), then over data sets; a unit that lacks one of the sets is
    left out, as are rows without a value. Without `unit` every row is one. Raises ValueError as `check`.
    """
    rows = _needed(rows, *keys, *unit, value)
    check(rows, value)
    groups = [*dict.fromkeys([*keys, *unit]), *([] if unit else ["_row"])]
    rows = rows.assign(_row=range(len(rows)), _set=rows[SETS] if SETS in rows.columns else "")
    several = rows["_set"].nunique(dropna=False) > 1
    if unit and several:
        every = rows.groupby(list(keys), dropna=False)["_set"].transform("nunique") if keys else rows["_set"].nunique()
        rows = rows[rows.groupby(groups, dropna=False)["_set"].transform("nunique") == every]
    parts = rows.groupby(groups, dropna=False, sort=False)
    means = parts[value].mean()
    if several:
        within = rows.groupby([*groups, "_set"], dropna=False, sort=False)[value].mean()
        means = within.groupby(groups, dropna=False, sort=False).mean()
    found = means.to_frame().assign(label=_labels(parts, unit))
    return found.reset_index().drop(columns="_row", errors="ignore")


def _needed(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows with a value (the last of `columns`), and of a hundred columns those that count: the rest costs time.

    Raises ValueError as `check`.
    """
    check(rows, *columns)
    wanted = dict.fromkeys([*columns, SETS, "run", "images"])
    return rows[[name for name in wanted if name in rows.columns]].dropna(subset=[columns[-1]])


def _labels(parts: DataFrameGroupBy, unit: Sequence[str]) -> list[str]:
    """Which rows each group is of: its unit, and the run or how many runs it is the mean of."""
    rows = parts.obj
    first = parts[[name for name in (*unit, "run") if name in rows.columns]].first()
    words = [[f"{name.rpartition('.')[2].replace('_', ' ')} {number(value)}" for value in first[name]] for name in unit]
    if "run" in rows.columns:
        counts = parts["run"].nunique()
        words.append(
            [f"run {run}" if n == 1 else f"mean of {n} runs" for run, n in zip(first["run"], counts, strict=True)]
        )
    return [", ".join(part) for part in zip(*words, strict=True)] if words else [""] * len(first)


def interval(runs: pd.DataFrame, rows: pd.DataFrame, value: str, accuracy: bool = True) -> Interval:
    """The interval of `averaged` rows; accuracies get the sampling error of the test images of the `rows` behind them.

    Raises ValueError for impossible accuracies.
    """
    values = runs[value]
    if not accuracy:
        return mean_interval(values)
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"{value} has values from {values.min():g} to {values.max():g}, which are no accuracies in [0, 1]; "
            "for another quantity say accuracy=False."
        )
    found = mean_interval(values, sampling=sampling_error(rows, value=value))
    return Interval(found.mean, max(found.low, 0.0), min(found.high, 1.0), found.n)  # in this order NaN stays NaN


def points(
    rows: pd.DataFrame, x: str, value: str, unit: Sequence[str] = SEED, accuracy: bool = True
) -> tuple[Point, ...]:
    """A point for each `x`, with its seeds."""
    rows = _needed(rows, x, *unit, value)
    runs = averaged(rows, [x], value, unit)
    return tuple(
        _point(at, own, value, interval(own, rows[rows[x] == at], value, accuracy)) for at, own in _parts(runs, x)
    )


def gap_points(
    rows: pd.DataFrame,
    first: str,
    second: str,
    x: str,
    value: str,
    *,
    by: str = "model",
    unit: Sequence[str] = SEED,
    accuracy: bool = True,
) -> tuple[Point, ...]:
    """`first` - `second` (values of column `by`) for each `x`, over the units and data sets that both have.

    Raises ValueError if one of the two has no rows.
    """
    check(rows, by)
    for name in (first, second):
        if not (rows[by] == name).any():
            raise NothingToShow(
                f"There are no rows of {name!r}; there are rows of {', '.join(map(str, set(rows[by])))}."
            )
    arms = [_needed(rows[rows[by] == name], x, *unit, value) for name in (first, second)]
    arms = list(in_both([x, SETS], *arms))
    if any(arm.empty for arm in arms):
        return ()
    one, other = (averaged(arm, [x], value, unit) for arm in arms)
    both = one.merge(other, on=list(dict.fromkeys([x, *unit])), suffixes=("", " of second"))
    both[value] -= both[f"{value} of second"]
    found = []
    for at, gaps in _parts(both, x):
        error = sampling_error(*(arm[arm[x] == at] for arm in arms), value=value) if accuracy else 0.0
        found.append(_point(at, gaps, value, mean_interval(gaps[value], sampling=error)))
    return tuple(found)


def dot_points(rows: pd.DataFrame, x: str, y: str, unit: Sequence[str]) -> tuple[Point, ...]:
    """A point for each unit, at its means of `x` and `y`."""
    if rows.empty:
        return ()
    across, up = averaged(rows, [], x, unit), averaged(rows, [], y, unit)
    return tuple(
        Point(float(at), mean_interval([float(value)]), ((label, float(value)),))
        for at, value, label in zip(across[x], up[y], up["label"], strict=True)
    )


def _parts(runs: pd.DataFrame, x: str) -> list[tuple[Any, pd.DataFrame]]:
    return [(at, runs[runs[x] == at]) for at in ordered(runs[x])]


def _point(at: Any, runs: pd.DataFrame, value: str, found: Interval) -> Point:
    at = at.item() if hasattr(at, "item") else at
    return Point(at, found, tuple(zip(runs["label"], map(float, runs[value]), strict=True)))
