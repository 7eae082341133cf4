"""Statistics of a claim, one number per seed, from rows of one split; and the test split's own sampling error.

Rows are as studies store them: a line per run, or per draw, with `model`, `seed`, `score`, `images`. Draws are averaged
within a data set (`data.name`) first and data sets after that, so that a set with more draws weighs no more. A seed
that lacks one of the sets is left out: its mean would be of other things than that of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitlab.claims.interval import binomial_error, paired

if TYPE_CHECKING:
    import pandas as pd

SETS = "data.name"
LOG_ODDS = "log_odds"


def log_odds(scores: ArrayLike, images: ArrayLike) -> NDArray[np.float64]:
    """log(p / (1 - p)) of accuracies in [0, 1], each held half an image away from 0 and from 1.

    Raises ValueError where the number of images is not known.
    """
    score, n = np.asarray(scores, dtype=np.float64), np.asarray(images, dtype=np.float64)
    if not (n > 0).all():
        raise ValueError("Log-odds need the number of images of every score (the column `images`), to stay finite.")
    inside = np.clip(score, 0.5 / n, 1 - 0.5 / n)  # NaN stay NaN
    return np.log(inside / (1 - inside))


def with_log_odds(rows: pd.DataFrame, value: str = "score") -> pd.DataFrame:
    """The rows with a column `log_odds` of the accuracy in `value`."""
    return rows.assign(**{LOG_ODDS: log_odds(rows[value], rows["images"])})


def arm(rows: pd.DataFrame, name: Any, *, by: str = "model", at: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Rows whose `by` is `name` and whose columns have the values of `at`, such as {"train_images": 500}.

    Raises ValueError naming what there is instead where no row is left.
    """
    chosen = rows
    for column, wanted in {by: name, **(at or {})}.items():
        if column not in chosen.columns:
            raise ValueError(f"The rows have no column {column!r}; they have {', '.join(map(str, rows.columns))}.")
        left = chosen[chosen[column] == wanted]
        if left.empty:
            there = ", ".join(sorted(map(str, chosen[column].unique())))
            raise ValueError(f"No rows have {column} = {wanted!r}; there is {there or 'no row at all'}.")
        chosen = left
    return chosen


def whole_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The rows of the seeds that have every combination of `keys` that occurs: their means are of the same things."""
    points = rows[list(keys)].apply(tuple, axis=1) if len(rows) else rows["seed"]
    had = points.groupby(rows["seed"]).nunique()
    return rows[rows["seed"].isin(had.index[had == points.nunique()])]


def means(rows: pd.DataFrame, keys: Sequence[str], value: str) -> pd.Series:
    """Mean of `value` for each combination of `keys`: over draws within a data set, then over data sets.

    NaN where one of the sets is missing.
    """
    if SETS not in rows.columns:
        return rows.groupby(list(keys))[value].mean()
    return rows.groupby([*keys, SETS])[value].mean().unstack(SETS).mean(axis=1, skipna=False)


def per_seed(rows: pd.DataFrame, value: str = "score") -> dict[int, float]:
    """Mean of `value` for each seed that has every data set."""
    return means(rows, ["seed"], value).dropna().to_dict()


def in_both(keys: Sequence[str], first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of two arms with the combinations of `keys` that both have; all of them where a column is missing."""
    if not {*keys} <= {*first.columns} & {*second.columns}:
        return first, second
    one, other = (arm.set_index(list(keys)).index for arm in (first, second))
    return first[one.isin(other)], second[other.isin(one)]


def gap(
    rows: pd.DataFrame,
    a: Any,
    b: Any,
    *,
    at: Mapping[str, Any] | None = None,
    value: str = "score",
    by: str = "model",
) -> dict[int, float]:
    """`value` of arm `a` minus that of arm `b`, for each seed that both have (see `arm` for `by` and `at`).

    Only on the data sets that both arms have: else the gap would be one between sets.
    """
    arms = [arm(rows, name, by=by, at=at) for name in (a, b)]
    first, second = (per_seed(own, value) for own in in_both([SETS], *arms))
    return paired(first, second)


def sampling_error(*arms: pd.DataFrame, value: str = "score", odds: bool = False) -> float:
    """Standard deviation that the test splits' sizes alone give a sum or difference of the arms' mean accuracy.

    Each arm is the rows of one number per seed. Arms are taken as independent; on the same images they are not, and
    their difference varies less: the safe side. With `odds` it is that of log-odds, by the delta method. Arms without
    the number of images add nothing.
    """
    return float(np.sqrt(sum(_variance(rows, value, odds) for rows in arms)))


def _variance(rows: pd.DataFrame, value: str, odds: bool) -> float:
    if "images" not in rows.columns:
        return 0.0
    groups = rows.groupby(SETS) if SETS in rows.columns else [("", rows)]
    parts = []
    for _, group in groups:
        score, images = float(group[value].mean()), float(group["images"].mean())
        error = binomial_error(score, images)
        parts.append((1 / (error * images) if odds and error else error) ** 2)  # sd of the logit: 1 / sqrt(n p (1 - p))
    return float(np.sum(parts)) / len(parts) ** 2


def within_seed_rank(
    first: pd.DataFrame, second: pd.DataFrame, *, value: str = "score", by: str = "model", least: int = 6
) -> dict[int, float]:
    """Spearman's correlation over models between two measures of them, within each seed and data set; mean over sets.

    `first` and `second` are rows of the two measures, such as few-shot and fine-tuned accuracy. Only models with both
    count; a seed with fewer than `least` of them on one of the sets is left out, as is one without all sets.
    """
    keys = ["seed", SETS, by]
    both = first.groupby(keys)[value].mean().to_frame("first").join(second.groupby(keys)[value].mean().rename("second"))
    both = both.dropna().reset_index()
    sets = set(both[SETS])
    found: dict[int, float] = {}
    for seed in both["seed"].unique().tolist():
        rows = both[both["seed"] == seed]
        groups = [group for _, group in rows.groupby(SETS) if len(group) >= least]
        if len(groups) == len(sets):
            found[seed] = float(np.mean([_spearman(group) for group in groups]))
    return found


def _spearman(pairs: pd.DataFrame) -> float:
    """Pearson's correlation of the ranks, ties sharing their mean rank; NaN where one measure is the same for all."""
    ranks = pairs[["first", "second"]].rank().to_numpy()
    return float(np.corrcoef(ranks.T)[0, 1]) if (np.ptp(ranks, axis=0) > 0).all() else float("nan")
