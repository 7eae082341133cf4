"""Rank correlation of two measures of the same models, with its interval: does one rank models as the other does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho of n pairs, its bootstrap interval [low, high], and the two-sided permutation p-value."""

    rho: float
    low: float
    high: float
    p_value: float
    n: int


def rank_correlation(
    x: Sequence[float], y: Sequence[float], *, confidence: float = 0.95, resamples: int = 5000, seed: int = 0
) -> RankCorrelation:
    """Return Spearman's rank correlation of the pairs (x_i, y_i), ties ranked by their mean.

    The interval is the percentile bootstrap over pairs; resamples that are constant in x or y have no rank
    correlation and are left out. The p-value permutes the pairing: exactly when there are at most `resamples`
    pairings, else by `resamples` random ones. Raises ValueError for fewer than 3 pairs, lengths that differ, values
    that are not finite, and a constant x or y.
    """
    pairs = _pairs(x, y)
    rng = np.random.default_rng(seed)
    picked = pairs[:, rng.integers(pairs.shape[1], size=(resamples, pairs.shape[1]))]  # (2, resamples, n)
    with np.errstate(invalid="ignore"):
        low, high = np.nanquantile(_spearman(*picked), [(1 - confidence) / 2, (1 + confidence) / 2])
    return RankCorrelation(
        float(_spearman(*pairs)),
        float(low),
        float(high),
        _permutation_p(pairs[0], pairs[1], resamples, rng),
        pairs.shape[1],
    )


def _permutation_p(x: np.ndarray, y: np.ndarray, resamples: int, rng: np.random.Generator) -> float:
    """Return the share of pairings whose |rho| is at least that of the pairs as they are."""
    exact = factorial(len(x)) <= resamples
    shuffled = np.array(list(permutations(x))) if exact else rng.permuted(np.tile(x, (resamples, 1)), axis=1)
    extreme = np.abs(_spearman(shuffled, y)) >= abs(_spearman(x, y)) - 1e-12
    # A random sample of pairings counts the actual one as well, or its p-value could be zero.
    return float(extreme.mean() if exact else (extreme.sum() + 1) / (resamples + 1))


def _pairs(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"A rank correlation needs at least 3 pairs, not {len(x)} values beside {len(y)}.")
    pairs = np.array([x, y], dtype=np.float64)
    if not np.isfinite(pairs).all():
        raise ValueError("A rank correlation needs finite values; leave out the runs that failed.")
    if (np.ptp(pairs, axis=1) == 0).any():
        raise ValueError("A rank correlation needs values that differ; one of the two measures is constant.")
    return pairs


def _spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the ranks along the last axis; NaN where one is constant."""
    ranks = [stats.rankdata(values, axis=-1) for values in (x, y)]
    a, b = (r - r.mean(-1, keepdims=True) for r in ranks)
    return (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
