"""Statistics of a claim along an axis, per seed: slopes per doubling, last gains, and what one accuracy costs.

An axis (`train_images`, a FLOP count) counts in doublings, log2. Only seeds with every point of the axis take part in
a slope; nothing is read off beyond the points that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitlab.claims.interval import Interval, mean_interval
from vitlab.claims.statistics import LOG_ODDS, arm, means, sampling_error

if TYPE_CHECKING:
    import pandas as pd

SIZES = "train_images"
Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]  # log2 of the axis, rising, and the value at each


@dataclass(frozen=True)
class Factor:
    """How many times more images one arm needs than the other for `accuracy`: doublings per seed, and factors."""

    accuracy: float
    doublings: Mapping[int, float]
    interval: Interval


def curves(rows: pd.DataFrame, *, x: str = SIZES, value: str = "score") -> dict[int, Curve]:
    """Value against log2(`x`) of each seed that has every `x` of the rows."""
    table = means(rows, ["seed", x], value).unstack(x).sort_index(axis=1).dropna()
    axis = np.log2(table.columns.to_numpy(dtype=np.float64))
    lines = table.to_numpy(dtype=np.float64)
    return {seed: (axis, line) for seed, line in zip(table.index.tolist(), lines, strict=True)}


def shared_points(rows: pd.DataFrame, a: Any, b: Any, *, x: str = SIZES, by: str = "model") -> set[Any]:
    """The values of `x` that arms `a` and `b` were both planned at. Raises ValueError where one has no rows."""
    first, second = (set(arm(rows, name, by=by)[x]) for name in (a, b))
    return first & second


def gap_curves(
    rows: pd.DataFrame, a: Any, b: Any, *, x: str = SIZES, value: str = "score", by: str = "model"
) -> dict[int, Curve]:
    """Arm `a` minus arm `b` against log2(`x`), for the points that both were planned at and the seeds that have all."""
    both = rows[rows[x].isin(shared_points(rows, a, b, x=x, by=by))]
    ours, theirs = (curves(both[both[by] == name], x=x, value=value) for name in (a, b))
    return {seed: (axis, y - theirs[seed][1]) for seed, (axis, y) in ours.items() if seed in theirs}


def slopes(lines: Mapping[int, Curve]) -> dict[int, float]:
    """Least-squares slope per doubling of each seed's curve; none for curves of a single point."""
    return {seed: float(slope_weights(axis) @ y) for seed, (axis, y) in lines.items() if len(axis) > 1}


def slope_weights(axis: Floats) -> Floats:
    """What each point of a curve counts in its least-squares slope."""
    centred = axis - axis.mean()
    return centred / (centred @ centred)


def gained(lines: Mapping[int, Curve], *, factor: float = 4.0, until: float | None = None) -> dict[int, float]:
    """What each curve gains over the last multiplication of its axis by `factor`, straight between measured points.

    The last one ends at the last point, or at `until`, to which the curve goes on level. Nothing where the curve starts
    later than that.
    """
    return {
        seed: float(gain_weights(axis, factor=factor, until=until) @ y)
        for seed, (axis, y) in lines.items()
        if axis[0] <= _end(axis, until) - math.log2(factor) + 1e-9
    }


def plateau(
    rows: pd.DataFrame,
    a: Any,
    b: Any,
    *,
    x: str = SIZES,
    value: str = LOG_ODDS,
    by: str = "model",
    factor: float = 4.0,
) -> dict[int, float]:
    """What arm `a` gains over the last quadrupling of `x` minus what arm `b` gains over it."""
    return gained(gap_curves(rows, a, b, x=x, value=value, by=by), factor=factor)


def gain_weights(axis: Floats, *, factor: float = 4.0, until: float | None = None) -> Floats:
    """What each point of a curve counts in its last gain."""
    end = _end(axis, until)
    there, before = (
        np.array([np.interp(at, axis, one) for one in np.eye(len(axis))]) for at in (end, end - math.log2(factor))
    )
    return there - before


def _end(axis: Floats, until: float | None) -> float:
    return float(axis[-1]) if until is None else math.log2(until)


def sampling_along(
    rows: pd.DataFrame, weights: Callable[[Floats], Floats], *, x: str = SIZES, odds: bool = False
) -> float:
    """Standard deviation that the test split's size alone gives `weights` of one arm's curve (see `sampling_error`)."""
    axis = np.log2(np.array(sorted(set(rows[x])), dtype=np.float64))
    return float(np.linalg.norm(weights(axis) * _errors(rows, x, odds))) if len(axis) > 1 else 0.0


def _errors(rows: pd.DataFrame, x: str, odds: bool) -> Floats:
    return np.array([sampling_error(rows[rows[x] == at], odds=odds) for at in sorted(set(rows[x]))])


def gap_sampling(
    rows: pd.DataFrame,
    a: Any,
    b: Any,
    weights: Callable[[Floats], Floats],
    *,
    x: str = SIZES,
    by: str = "model",
    odds: bool = False,
) -> float:
    """The same for the gap between two arms, at the points that both were planned at."""
    both = rows[rows[x].isin(shared_points(rows, a, b, x=x, by=by))]
    return math.hypot(*(sampling_along(both[both[by] == name], weights, x=x, odds=odds) for name in (a, b)))


def _first_reach(curve: Curve, targets: Floats) -> Floats:
    """log2 of the axis where the curve's running maximum first reaches each target, straight between points.

    NaN for targets below the first point (when they were reached is not known) and above the best.
    """
    axis, y = curve[0], np.maximum.accumulate(curve[1])
    above = np.searchsorted(y, targets, side="left")
    found = np.full(targets.shape, np.nan)
    between = (above >= 1) & (above < len(y))
    i, part = above[between], targets[between]
    found[between] = axis[i - 1] + (axis[i] - axis[i - 1]) * (part - y[i - 1]) / (y[i] - y[i - 1])
    found[targets == y[0]] = axis[0]
    return found


def reach_errors(
    rows: pd.DataFrame, targets: Floats, *, x: str = SIZES, value: str = "score", odds: bool = False
) -> Floats:
    """Standard deviation, in doublings of `x`, that the test split's size alone gives to where one arm reaches targets.

    By the delta method on the mean curve: the error of the accuracy there, over the slope; 0 where it is not reached.
    """
    lines = list(curves(rows, x=x, value=value).values())
    if not lines:
        return np.zeros(len(targets))
    axis, y = lines[0][0], np.maximum.accumulate(np.mean([line for _, line in lines], axis=0))
    errors, found = _errors(rows, x, odds), np.zeros(len(targets))
    for i, (target, place) in enumerate(zip(targets, _first_reach((axis, y), targets), strict=True)):
        after = min(max(int(np.searchsorted(y, target, side="left")), 1), len(y) - 1)
        if math.isnan(place) or y[after] == y[after - 1]:
            continue
        share = (place - axis[after - 1]) / (axis[after] - axis[after - 1])
        error = math.hypot((1 - share) * errors[after - 1], share * errors[after])
        found[i] = error * (axis[after] - axis[after - 1]) / (y[after] - y[after - 1])
    return found


def data_factor(
    rows: pd.DataFrame,
    a: Any,
    b: Any,
    *,
    x: str = SIZES,
    value: str = "score",
    by: str = "model",
    accuracies: Sequence[float] | None = None,
) -> list[Factor]:
    """How many times more images arm `a` needs than arm `b`, at each of the `accuracies` (0.05, 0.10, ... 0.95).

    Each seed is read off its own two curves. An accuracy that one seed of one arm does not reach, or passes before its
    first point, is left out; so nothing is extrapolated, and no seed is dropped for being slow.
    """
    targets = np.arange(1, 20) / 20 if accuracies is None else np.array(accuracies, dtype=np.float64)
    ours, theirs = (curves(arm(rows, name, by=by), x=x, value=value) for name in (a, b))
    found = {
        seed: _first_reach(ours[seed], targets) - _first_reach(theirs[seed], targets) for seed in ours if seed in theirs
    }
    odds = value == LOG_ODDS
    errors = [reach_errors(arm(rows, name, by=by), targets, x=x, value=value, odds=odds) for name in (a, b)]
    factors = []
    for i, accuracy in enumerate(targets):
        doublings = {seed: float(values[i]) for seed, values in found.items()}
        if doublings and not any(np.isnan(value) for value in doublings.values()):
            over = mean_interval(list(doublings.values()), sampling=math.hypot(*(error[i] for error in errors)))
            factors.append(Factor(float(accuracy), doublings, from_log2(over)))
    return factors


def from_log2(interval: Interval) -> Interval:
    """An interval of doublings as one of factors (or of sizes)."""
    return Interval(2.0**interval.mean, 2.0**interval.low, 2.0**interval.high, interval.n)


def front(rows: pd.DataFrame, *, cost: str, value: str = "score", by: str = "model") -> dict[int, Curve]:
    """Best value that the rows (of one family) reach within each cost, per seed: against log2(cost), never falling."""
    points = means(rows, ["seed", by, cost], value).dropna().groupby(["seed", cost]).max().reset_index(cost)
    found: dict[int, Curve] = {}
    for seed in points.index.unique().tolist():
        costs, best = points.loc[[seed]].to_numpy(dtype=np.float64).T
        found[seed] = (np.log2(costs), np.maximum.accumulate(best))
    return found


def cost_ratio(a: Mapping[int, Curve], b: Mapping[int, Curve], *, steps: int = 101) -> dict[int, float]:
    """log2 of the cost of front `a` over that of front `b` at equal value, mean over the values that both pass through.

    For each seed of both; empty if one of them shares no range, since leaving out the seed would choose among seeds.
    """
    found = {}
    for seed in (seed for seed in a if seed in b):
        middle = shared(a[seed][1], b[seed][1], steps=steps)
        if not len(middle):
            return {}
        found[seed] = float(np.mean(_first_reach(a[seed], middle) - _first_reach(b[seed], middle)))
    return found


def shared(a: Floats, b: Floats, *, steps: int = 101) -> Floats:
    """Values, evenly apart, that two rising curves both pass; none where there are none."""
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    return low + (high - low) * (np.arange(steps) + 0.5) / steps if low < high else np.empty(0)
