"""Learning curves: the accuracy to expect with more images, from error = c + a n^-b.

c is the error that no number of images takes away, b how fast the rest goes (Hestness et al. 2017, arXiv 1712.00409).
A curve is fitted to the means over seeds; its interval is the jackknife's, Student's t over one number a seed. What is
wrong with a curve is said in words, and then nothing is expected of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, nnls

from vitlab.claims.curves import SIZES, curves
from vitlab.claims.interval import Interval, binomial_error, mean_interval
from vitlab.claims.preconditions import LEAST_SEEDS, cut_short, near_floor

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
LEAST_SIZES, LEAST_IMAGES = 4, 100
OFF = 0.02  # accuracy by which the curve may miss what was measured
FAR = 0.10  # accuracy that test may be below validation
POWERS = 0.01, 2.0  # b below is a logarithm, and beyond a jump


@dataclass(frozen=True)
class LearningCurve:
    """error(n) = c + a n^-b, of n images."""

    a: float
    b: float
    c: float

    def accuracy(self, images: float) -> float:
        """The accuracy, in [0, 1], that the curve has with so many images."""
        return min(max(1 - self.c - self.a * images**-self.b, 0.0), 1.0)


@dataclass(frozen=True)
class Forecast:
    """What an arm's curve says: `expected` accuracies in the order of the sizes that were asked for.

    `off` is the accuracy that the smaller sizes predict for the largest minus the one measured there. `doubts` says
    why nothing can be expected, in words with numbers; then `expected` is empty. `curve` is None where none can be
    fitted.
    """

    doubts: tuple[str, ...]
    curve: LearningCurve | None = None
    off: float = np.nan
    expected: tuple[Interval, ...] = ()


def fit(sizes: Floats, accuracies: Floats, images: float) -> LearningCurve:
    """Weighted least squares of error = c + a n^-b with a, c >= 0 and b within `POWERS`.

    The weights are those of accuracies measured on so many test `images`. Of a given b the rest is linear.
    """
    n, errors = sizes / sizes[-1], 1 - accuracies
    weights = np.array([1 / (binomial_error(float(accuracy), images) or 1.0) for accuracy in accuracies])

    def solved(b: float) -> tuple[Floats, float]:
        return nnls(np.stack([n**-b, np.ones_like(n)], axis=1) * weights[:, None], errors * weights)

    tried = np.linspace(*POWERS, 41)
    nearest = int(np.argmin([solved(b)[1] for b in tried]))
    around = float(tried[max(nearest - 1, 0)]), float(tried[min(nearest + 1, len(tried) - 1)])
    b = float(minimize_scalar(lambda b: solved(b)[1], bounds=around, method="bounded", options={"xatol": 1e-7}).x)
    a, c = map(float, solved(b)[0])
    return LearningCurve(a * float(sizes[-1]) ** b, b, c)


def forecast(rows: pd.DataFrame, at: Sequence[int]) -> Forecast:
    """What to expect of one arm (its rows of both splits, one accuracy a seed and size) with `at` images each."""
    test = rows[rows["split"] == "test"]
    lines, sizes = curves(test), np.array(sorted(test[SIZES].unique()), dtype=np.float64)
    doubts = [*_too_little(test, len(sizes), len(lines)), *_misleading(rows)]
    if len(sizes) < LEAST_SIZES or not lines:
        return Forecast(tuple(doubts))
    scores, images = np.array([line for _, line in lines.values()]), float(test["images"].min())
    means = scores.mean(0)
    curve = fit(sizes, means, images)
    off = fit(sizes[:-1], means[:-1], images).accuracy(sizes[-1]) - float(means[-1])
    doubts += _bad_fit(curve, sizes, means, off)
    expected = () if doubts else _expected(curve, sizes, scores, at, images)
    return Forecast(tuple(doubts), curve, off, expected)


def _too_little(test: pd.DataFrame, sizes: int, seeds: int) -> list[str]:
    images = float(test["images"].min())
    counted = ((sizes, LEAST_SIZES, "train size"), (seeds, LEAST_SEEDS, "seed"), (images, LEAST_IMAGES, "test image"))
    return [f"only {n:.0f} {what}{'s' * (n != 1)}, not {least}" for n, least, what in counted if n < least]


def _misleading(rows: pd.DataFrame) -> list[str]:
    """A largest size that is near chance or cut short, and a test split unlike the one for validation."""
    last = rows[rows[SIZES] == rows[SIZES].max()]
    means = last.groupby("split")["score"].mean()
    fallen = float(means.get("validation", np.nan) - means["test"])
    words = f"test accuracy is {100 * fallen:.0f} points below validation: the two may be of different sources"
    test = last[last["split"] == "test"]
    return [*near_floor(test), *cut_short(test), *([words] if fallen > FAR else [])]


def _bad_fit(curve: LearningCurve, sizes: Floats, means: Floats, off: float) -> list[str]:
    found = []
    if curve.c < 1e-4:
        found.append("the error still falls without a sign of where it ends (c = 0)")
    if not 1.1 * POWERS[0] < curve.b < 0.99 * POWERS[1] or curve.a * sizes[-1] ** -curve.b < 1e-6:
        found.append(f"the error is no power of the number of images (b = {curve.b:.2g})")
    missed = max(abs(curve.accuracy(n) - mean) for n, mean in zip(sizes, means, strict=True))
    if missed > OFF:
        found.append(f"the curve misses what was measured by up to {100 * missed:.1f} points")
    if abs(off) > OFF:
        side = "high" if off > 0 else "low"
        found.append(f"the smaller sizes predict the largest {100 * abs(off):.1f} points too {side}")
    return found


def _expected(
    curve: LearningCurve, sizes: Floats, scores: Floats, at: Sequence[int], images: float
) -> tuple[Interval, ...]:
    """Accuracies with intervals over seeds: a seed's number is its pseudo-value, k all - (k - 1) all but it."""
    k = len(scores)
    without = [fit(sizes, np.delete(scores, seed, 0).mean(0), images) for seed in range(k)]
    found = []
    for n in at:
        mean = curve.accuracy(n)
        values = [k * mean - (k - 1) * other.accuracy(n) for other in without]
        over = mean_interval(values, sampling=binomial_error(mean, images))
        half = (over.high - over.low) / 2
        found.append(Interval(mean, max(mean - half, 0.0), min(mean + half, 1.0), k))
    return tuple(found)
