"""From rows to one value for each seed, and from these to intervals: the step that every table and figure shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from pandas.core.groupby import DataFrameGroupBy

from vitlab.claims.interval import Interval, accuracy_interval, binomial_error, mean_interval
from vitlab.report.evidence import Point, number
from vitlab.report.families import in_order

SEED = ("seed",)


def check(rows: pd.DataFrame, *columns: str) -> None:
    """Raise ValueError for columns that the rows lack, and for no rows."""
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise ValueError(
            f"The rows have no column {', '.join(missing)}; they have {', '.join(map(str, rows.columns))}."
        )
    if rows.empty:
        raise ValueError("There are no finished runs to show.")


def ordered(values: pd.Series) -> list[Any]:
    """Distinct values: numbers rise, models by family and size, other text as it first occurs."""
    found = list(dict.fromkeys(values.dropna()))
    if pd.api.types.is_numeric_dtype(values):
        return sorted(found)
    return in_order(found) if values.name == "model" else found


def averaged(rows: pd.DataFrame, keys: Sequence[str], value: str, unit: Sequence[str] = SEED) -> pd.DataFrame:
    """One row for each combination of `keys` and `unit`, in the order of the rows: `value` is the mean.

    `label` says which it is ("seed 0, run 1a2b"), `images` how many test images stand behind it (NaN: not known).
    Without `unit` every row is one. Rows without a value are left out. Raises ValueError as `check`.
    """
    check(rows, *keys, value, *unit)
    rows = rows.dropna(subset=[value])
    check(rows, value)
    groups = [*dict.fromkeys([*keys, *unit]), *([] if unit else ["_row"])]
    rows = rows.assign(_row=range(len(rows)))
    parts = rows.groupby(groups, dropna=False, sort=False)
    found = parts[value].mean().to_frame().assign(label=_labels(parts, unit), images=_images(rows, groups))
    return found.reset_index().drop(columns="_row", errors="ignore")


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


def _images(rows: pd.DataFrame, groups: list[str]) -> pd.Series | float:
    """How many test images have the sampling error of each group's mean.

    That of a mean over K test sets of n_k images is the error of K^2 / sum(1 / n_k) images.
    """
    if "images" not in rows.columns:
        return math.nan
    sets = [*groups, "data.name"] if "data.name" in rows.columns and "data.name" not in groups else groups
    counts = rows.groupby(sets, dropna=False, sort=False)["images"].min()
    parts = (1 / counts).groupby(groups, dropna=False, sort=False)
    return parts.size() ** 2 / parts.sum(min_count=1)


def interval(runs: pd.DataFrame, value: str, accuracy: bool = True) -> Interval:
    """The interval of `averaged` rows; accuracies get their sampling error. Raises ValueError for impossible ones."""
    values = runs[value]
    if not accuracy:
        return mean_interval(values)
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"{value} has values from {values.min():g} to {values.max():g}, which are no accuracies in [0, 1]; "
            "for another quantity say accuracy=False."
        )
    return accuracy_interval(values, images=float(runs["images"].mean()))


def points(
    rows: pd.DataFrame, x: str, value: str, unit: Sequence[str] = SEED, accuracy: bool = True
) -> tuple[Point, ...]:
    """A point for each `x`, with its seeds."""
    runs = averaged(rows, [x], value, unit)
    return tuple(_point(at, own, value, interval(own, value, accuracy)) for at, own in _parts(runs, x))


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
    """`first` - `second` (values of column `by`) for each `x`, over the units that both have.

    The sampling error is that of two accuracies measured apart, the most it can be.
    Raises ValueError if one of the two has no rows, or both share no unit.
    """
    check(rows, by)
    for name in (first, second):
        if not (rows[by] == name).any():
            raise ValueError(f"There are no rows of {name!r}; there are rows of {', '.join(map(str, set(rows[by])))}.")
    one, other = (averaged(rows[rows[by] == name], [x], value, unit) for name in (first, second))
    both = one.merge(other, on=list(dict.fromkeys([x, *unit])), suffixes=("", " of second"))
    found = []
    for at, own in _parts(both, x):
        errors = [
            binomial_error(own[f"{value}{of}"].mean(), own[f"images{of}"].mean()) if accuracy else 0.0
            for of in ("", " of second")
        ]
        gaps = own.assign(**{value: own[value] - own[f"{value} of second"]})
        found.append(_point(at, gaps, value, mean_interval(gaps[value], sampling=math.hypot(*errors))))
    return tuple(found)


def _parts(runs: pd.DataFrame, x: str) -> list[tuple[Any, pd.DataFrame]]:
    return [(at, runs[runs[x] == at]) for at in ordered(runs[x])]


def _point(at: Any, runs: pd.DataFrame, value: str, found: Interval) -> Point:
    at = at.item() if hasattr(at, "item") else at
    return Point(at, found, tuple(zip(runs["label"], map(float, runs[value]), strict=True)))
