"""Statistics of a claim along an axis, per seed: slopes per doubling, crossings, and what one accuracy costs.

An axis (`train_images`, a FLOP count) counts in doublings, log2. Only seeds with every point of the axis take part in
a slope; nothing is read off beyond the points that were measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


def gap_curves(
    rows: pd.DataFrame, a: Any, b: Any, *, x: str = SIZES, value: str = "score", by: str = "model"
) -> dict[int, Curve]:
    """Arm `a` minus arm `b` against log2(`x`), for the points that both were planned at and the seeds that have all."""
    first, second = arm(rows, a, by=by), arm(rows, b, by=by)
    shared = set(first[x]) & set(second[x])
    ours, theirs = (curves(part[part[x].isin(shared)], x=x, value=value) for part in (first, second))
    return {seed: (axis, y - theirs[seed][1]) for seed, (axis, y) in ours.items() if seed in theirs}


def slopes(lines: Mapping[int, Curve]) -> dict[int, float]:
    """Least-squares slope per doubling of each seed's curve; none for curves of a single point."""
    return {seed: float(_weights(axis) @ y) for seed, (axis, y) in lines.items() if len(axis) > 1}


def _weights(axis: Floats) -> Floats:
    centred = axis - axis.mean()
    return centred / (centred @ centred)


def slope_error(rows: pd.DataFrame, *, x: str = SIZES, odds: bool = False) -> float:
    """Standard deviation that the test split's size alone gives the slope of one arm's curve (see `sampling_error`)."""
    axis = sorted(set(rows[x]))
    if len(axis) < 2:
        return 0.0
    errors = [sampling_error(rows[rows[x] == at], odds=odds) for at in axis]
    return float(np.linalg.norm(_weights(np.log2(np.array(axis, dtype=np.float64))) * np.array(errors)))


def slope_sampling(
    rows: pd.DataFrame, a: Any, b: Any, *, x: str = SIZES, by: str = "model", odds: bool = False
) -> float:
    """The same for the slope of the gap between two arms, at the points that both were planned at."""
    arms = arm(rows, a, by=by), arm(rows, b, by=by)
    shared = set(arms[0][x]) & set(arms[1][x])
    return math.hypot(*(slope_error(part[part[x].isin(shared)], x=x, odds=odds) for part in arms))


def gained(lines: Mapping[int, Curve], *, factor: float = 4.0) -> dict[int, float]:
    """What each curve gains over the last multiplication of its axis by `factor`, straight between measured points.

    Nothing where the curve starts later than that.
    """
    back = float(np.log2(factor))
    return {
        seed: float(y[-1] - np.interp(axis[-1] - back, axis, y))
        for seed, (axis, y) in lines.items()
        if axis[0] <= axis[-1] - back + 1e-9
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
    factors = []
    for i, accuracy in enumerate(targets):
        doublings = {seed: float(values[i]) for seed, values in found.items()}
        if doublings and not any(np.isnan(value) for value in doublings.values()):
            factors.append(Factor(float(accuracy), doublings, from_log2(mean_interval(list(doublings.values())))))
    return factors


def from_log2(interval: Interval) -> Interval:
    """An interval of doublings as one of factors (or of sizes)."""
    return Interval(2.0**interval.mean, 2.0**interval.low, 2.0**interval.high, interval.n)


def crossing(lines: Mapping[int, Curve]) -> Interval | None:
    """Where the gap last changes sign, in units of the axis: read off each seed's curve, then the interval over seeds.

    None for fewer than two seeds, where a seed has no change of sign, and where seeds change in opposite directions.
    """
    found, directions = [], set()
    for axis, y in lines.values():
        changes = np.flatnonzero((y[:-1] > 0) != (y[1:] > 0))
        if len(changes) == 0:
            return None
        i = int(changes[-1])
        found.append(axis[i] + (axis[i + 1] - axis[i]) * y[i] / (y[i] - y[i + 1]))
        directions.add(bool(y[i + 1] > 0))
    return from_log2(mean_interval(found)) if len(found) > 1 and len(directions) == 1 else None


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
        low, high = max(a[seed][1][0], b[seed][1][0]), min(a[seed][1][-1], b[seed][1][-1])
        if not low < high:
            return {}
        middle = low + (high - low) * (np.arange(steps) + 0.5) / steps
        found[seed] = float(np.mean(_first_reach(a[seed], middle) - _first_reach(b[seed], middle)))
    return found
