"""Differences between two models, run by run, from result rows."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from vitlab.report.intervals import Interval, bootstrap_mean

PAIR = ("subset_seed", "seed")


def gap_values(
    rows: pd.DataFrame,
    first: str,
    second: str,
    *,
    x: str = "train_size",
    value: str = "test_best",
    pair: Sequence[str] = PAIR,
    model: str = "model",
) -> pd.DataFrame:
    """`first` - `second` in `value` for each seed (index: the `pair` columns that `rows` has) and each `x` (columns).

    Only runs that agree in all `pair` columns are subtracted; a missing run leaves NaN. Several rows of one model, seed
    and `x` (draws) are averaged first. Raises ValueError if a model has no rows.
    """
    keys = [name for name in pair if name in rows.columns]
    frames = []
    for name in (first, second):
        chosen = rows[rows[model] == name]
        if chosen.empty:
            raise ValueError(f"No rows of model {name!r}; there are rows of {sorted(set(rows[model]))}.")
        frames.append(chosen.groupby([*keys, x])[value].mean().unstack(x))
    return (frames[0] - frames[1]).sort_index(axis=1).dropna(axis=1, how="all").dropna(how="all")


def gap_intervals(gaps: pd.DataFrame) -> dict[float, Interval]:
    """Interval over seeds of each column of `gap_values`."""
    return {column: bootstrap_mean(gaps[column].to_numpy()) for column in gaps.columns}
