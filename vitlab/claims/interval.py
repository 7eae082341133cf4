"""The one interval: Student's t over seeds. Every table, figure, sentence and verdict takes its numbers from here.

Claims, which every study has at hand, are made of intervals: numpy and scipy come when one is computed, so that
`--help` does not wait for them.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with the ends of its interval; the ends are NaN where there is no spread to judge by."""

    mean: float
    low: float
    high: float
    n: int

    def excludes(self, value: float = 0.0) -> bool:
        """Whether `value` lies outside of the interval; False where there is no interval."""
        return self.low > value or self.high < value

    def format(self, *, digits: int = 1, scale: float = 100.0, sign: bool = False) -> str:
        """`52.3 [50.1, 54.4]`, in units of 1/`scale` (100: percent, or points); `n=1` stands for a missing interval."""
        if self.n == 0 or math.isnan(self.mean):
            return "–"
        plus = "+" if sign else ""
        mean, low, high = (f"{value * scale:{plus}z.{digits}f}" for value in (self.mean, self.low, self.high))
        if math.isnan(self.low):
            return f"{mean} (n={self.n})"
        return f"{mean} [{low}, {high}]"

    def __str__(self) -> str:
        return self.format(digits=3, scale=1.0)


MISSING = Interval(math.nan, math.nan, math.nan, 0)


def finite(values: ArrayLike) -> NDArray[np.float64]:
    """The values as a flat array without NaN."""
    import numpy as np

    array = np.asarray(values, dtype=np.float64).ravel()
    return array[~np.isnan(array)]


def standard_error(values: ArrayLike, sampling: float = 0.0) -> float:
    """Standard error of the mean of one value per seed; NaN for fewer than two, or without any spread.

    `sampling` is the standard deviation that the test split's finite size alone gives one value (see
    `binomial_error`): where the seeds spread less than that, by chance or because they agree on every image, it counts.
    """
    array = finite(values)
    if len(array) < 2:
        return math.nan
    spread = max(float(array.std(ddof=1)), sampling)
    return spread / math.sqrt(len(array)) if spread > 1e-12 else math.nan


def mean_interval(values: ArrayLike, *, level: float = 0.95, sampling: float = 0.0) -> Interval:
    """Mean of one value per seed (NaN are dropped) with Student's t-interval at `level`."""
    from scipy.special import stdtrit

    array = finite(values)
    if len(array) == 0:
        return MISSING
    mean, error = float(array.mean()), standard_error(array, sampling)
    half = float(stdtrit(len(array) - 1, 0.5 + level / 2)) * error if len(array) > 1 else math.nan
    return Interval(mean, mean - half, mean + half, len(array))


def p_value(values: ArrayLike, *, null: float = 0.0, sampling: float = 0.0) -> float:
    """Two-sided p of the t-test that the mean is `null`: below 0.05 exactly where `mean_interval` excludes it."""
    from scipy.special import stdtr

    array, error = finite(values), standard_error(values, sampling)
    return float(2 * stdtr(len(array) - 1, -abs(float(array.mean()) - null) / error)) if error == error else math.nan


def accuracy_interval(values: ArrayLike, *, level: float = 0.95, images: float = math.nan) -> Interval:
    """`mean_interval` of accuracies in [0, 1], measured on so many test images; ends are cut at 0 and 1."""
    array = finite(values)
    sampling = binomial_error(float(array.mean()), images) if len(array) else 0.0
    found = mean_interval(array, level=level, sampling=sampling)
    return Interval(found.mean, max(found.low, 0.0), min(found.high, 1.0), found.n)  # in this order NaN stays NaN


def binomial_error(accuracy: float, images: float) -> float:
    """Standard deviation of an accuracy in [0, 1] measured on `images` images; 0 where their number is not known.

    At 0 and 1 the binomial formula gives none, so that an accuracy is held half an image away from both.
    """
    if not images > 0:
        return 0.0
    inside = min(max(accuracy, 0.5 / images), 1 - 0.5 / images)
    return math.sqrt(inside * (1 - inside) / images)


def paired(a: Mapping[Key, float], b: Mapping[Key, float]) -> dict[Key, float]:
    """a - b for every seed that both have, in the order of `a`."""
    return {key: float(a[key]) - float(b[key]) for key in a if key in b}
