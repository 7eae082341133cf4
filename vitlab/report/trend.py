"""The gap between two models as a function of train size: does it shrink, and where would it close?

`gaps` is one array (seeds, sizes) of differences in accuracy (fractions), seed by seed, NaN where a run is missing.
Both questions use only the seeds that have every size: a seed with two of six sizes would bring a noisier slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitlab.report.intervals import MISSING, Interval, bootstrap_mean, p_mean, resampled, small_sample_factor

REACH = 100.0


@dataclass(frozen=True)
class Slope:
    """Change of the gap per doubling of the train set: interval over seeds and the p of a t-test against no change."""

    interval: Interval
    p: float

    @property
    def decided(self) -> bool:
        """Whether both the interval and the test (p < 0.05) speak against a slope of zero."""
        return self.interval.excludes(0.0) and self.p < 0.05

    def sentence(self) -> str:
        """One sentence in points per doubling, with the interval, p and the number of seeds."""
        change = self.interval.format(sign=True)
        return f"The gap changes by {change} points per doubling of the train set ({format_p(self.p)}, " + (
            f"{self.interval.n} seeds)."
        )


@dataclass(frozen=True)
class Crossing:
    """Train size (images) at which the mean gap is zero; `low` and `high` end its interval (`high`: or infinite)."""

    size: float
    low: float
    high: float
    n: int
    kind: Literal["measured", "extrapolated", "not within reach"]
    reason: str

    def sentence(self) -> str:
        """One sentence with the size, its interval and how it was reached."""
        if self.kind == "not within reach":
            return f"The curves' crossing is not within reach: {self.reason}."
        verb = "cross" if self.kind == "measured" else "would cross"
        high = f"{round_size(self.high):,}" if math.isfinite(self.high) else "unbounded"
        return (
            f"The curves {verb} at {round_size(self.size):,} images [{round_size(self.low):,}, {high}] ({self.reason})."
        )


def format_p(p: float) -> str:
    """A p-value for reading: `p = 0.013`, `p < 0.001`, or `no test` where none was possible."""
    if math.isnan(p):
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def round_size(size: float) -> int:
    """A number of images to two digits, as the uncertainty of a crossing deserves."""
    return int(float(f"{size:.2g}")) if size > 0 else 0


def _complete(sizes: Sequence[int], gaps: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """log2 of the sizes in rising order, and the seeds (rows) that have all of them."""
    array = np.atleast_2d(np.asarray(gaps, dtype=np.float64))  # (seeds, sizes)
    if array.shape[1] != len(sizes):
        raise ValueError(f"gaps has {array.shape[1]} columns for {len(sizes)} train sizes; it must be (seeds, sizes).")
    order = np.argsort(np.asarray(sizes))
    array = array[:, order]
    return np.log2(np.asarray(sizes, dtype=np.float64)[order]), array[~np.isnan(array).any(axis=1)]


def _slopes(x: NDArray[np.float64], gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slope of every row over `x`."""
    centred = x - x.mean()
    return gaps @ centred / (centred @ centred)


def gap_slope(sizes: Sequence[int], gaps: ArrayLike) -> Slope:
    """Least-squares slope of the gap over log2(train size), per seed, then the mean over seeds with interval and p.

    A negative gap (ViT - ResNet) with a positive slope shrinks. Raises ValueError if `gaps` is not (seeds, sizes).
    """
    x, array = _complete(sizes, gaps)
    if len(x) < 2 or len(array) == 0:
        return Slope(MISSING, math.nan)
    slopes = _slopes(x, array)
    return Slope(bootstrap_mean(slopes), p_mean(slopes))


def _continued(
    x: NDArray[np.float64], gaps: NDArray[np.float64], at: NDArray[np.float64], tail: int
) -> NDArray[np.float64]:
    """Gap of every seed at log2 sizes `at`: straight between sizes, beyond the last by the slope of the last `tail`."""
    slopes = _slopes(x[-tail:], gaps[:, -tail:])
    inside = np.stack([np.interp(at, x, row) for row in gaps])
    return inside + slopes[:, None] * np.maximum(0.0, at - x[-1])  # (seeds, len(at))


def _no_crossing(n: int, reason: str) -> Crossing:
    return Crossing(math.nan, math.nan, math.nan, n, "not within reach", reason)


def crossing(
    sizes: Sequence[int], gaps: ArrayLike, *, tail: int = 3, resamples: int = 10_000, seed: int = 0
) -> Crossing:
    """Where the mean gap last changes sign: between two measured sizes, or extrapolated in log2(size).

    Beyond the largest size each seed's gap goes on from its last value with the least-squares slope of its last `tail`
    sizes (gaps flatten near the ceiling, so the slope of the whole range would cross too early). The interval holds all
    sizes next to the crossing at which the corrected bootstrap interval of the mean gap (`intervals`) includes zero: a
    test inverted, which stays valid when the slope is uncertain, where resampled crossing points would not.
    "Not within reach": fewer than two complete seeds or sizes, no crossing up to 100 times the largest size, or an
    extrapolation whose tail slope is not distinguishable from zero (its interval includes it).
    """
    x, array = _complete(sizes, gaps)
    n = len(array)
    if n < 2 or len(x) < 2:
        return _no_crossing(n, f"{n} complete seeds and {len(x)} sizes are too few")
    tail = min(tail, len(x))
    at = np.unique(np.concatenate([np.linspace(x[0], x[-1] + math.log2(REACH), 2001), x]))
    curves = _continued(x, array, at, tail)
    mean = curves.mean(axis=0)
    changes = np.flatnonzero((np.sign(mean[:-1]) != np.sign(mean[1:])) & (mean[:-1] != 0))
    if len(changes) == 0:
        return _no_crossing(n, f"no crossing up to {REACH:.0f} times the largest size")
    last = int(changes[-1])
    where = at[last] + (at[last + 1] - at[last]) * mean[last] / (mean[last] - mean[last + 1])
    measured = bool(where <= x[-1])
    slope = bootstrap_mean(_slopes(x[-tail:], array[:, -tail:]))
    if not measured and not slope.excludes(0.0):
        return _no_crossing(
            n, f"the gap's slope over the last {tail} sizes is {slope.format(sign=True)} points a doubling"
        )
    low, high = _undecided_range(at, curves, last, resamples, seed)
    high = math.inf if high >= at[-1] else high
    how = f"{n} seeds" if measured else f"extrapolated by the slope of the last {tail} sizes, {n} seeds"
    kind: Literal["measured", "extrapolated"] = "measured" if measured else "extrapolated"
    return Crossing(2.0**where, min(2.0**low, 2.0**where), max(2.0**high, 2.0**where), n, kind, how)


def _undecided_range(
    at: NDArray[np.float64], curves: NDArray[np.float64], index: int, resamples: int, seed: int
) -> tuple[float, float]:
    """Ends of the run of log2 sizes around `at[index]` where the interval of the mean gap includes zero."""
    n = len(curves)
    grid = np.unique(np.concatenate([np.arange(0, len(at), 8), [index, index + 1, len(at) - 1]]))
    mean = curves[:, grid].mean(axis=0)
    draws = resampled(n, resamples, seed)
    # Weights (resamples, seeds) make the bootstrap one matrix product.
    weights = np.stack([(draws == i).mean(axis=1) for i in range(n)], axis=1)
    low, high = np.quantile(weights @ curves[:, grid], [0.025, 0.975], axis=0)
    factor = small_sample_factor(n)
    includes = (mean + factor * (low - mean) <= 0) & (mean + factor * (high - mean) >= 0)
    first = last = int(np.searchsorted(grid, index))
    while first > 0 and includes[first - 1]:
        first -= 1
    while last < len(grid) - 1 and includes[last + 1]:
        last += 1
    return float(at[grid[first]]), float(at[grid[last]])
