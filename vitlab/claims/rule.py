"""The one rule that decides: an interval and p over seeds, Holm over the claims of a data set, four outcomes.

A verdict's p belongs to the side that its mean lies on, so that p < 0.05 exactly where the interval excludes the bound:

    above, alike outside of its margin    two-sided t-test against the bound, or against the nearer end of the margin
    alike inside of its margin            the larger p of two one-sided t-tests (TOST): below 0.05 exactly where the
                                          whole 90% interval lies inside of the margin

With log-odds beside points a difference counts only if both show it, so that the larger of the two p's goes into Holm.
A verdict without a test (a failed precondition, one seed, no spread) takes no part in Holm, since nothing was tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, ndtr, stdtrit

from vitlab.claims.claim import Claim, Outcome, Verdict
from vitlab.claims.interval import Interval, mean_interval, p_value

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 100


def judge(
    claim: Claim,
    values: Mapping[int, float],
    *,
    data: str,
    subject: str,
    sampling: float = 0.0,
    odds: Mapping[int, float] | None = None,
    odds_sampling: float = 0.0,
    failed: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Verdict:
    """The claim's statistic of each seed with its interval and p; undecided until `decide` has seen the whole data set.

    `sampling` is the standard deviation that the test split's finite size alone gives one value (`odds_sampling`: one
    log-odds). NaN values are seeds without the statistic. Raises ValueError for infinite values, and for `odds` of
    other seeds than `values`.
    """
    kept = _kept(values, claim.id)
    array = list(kept.values())
    verdict = Verdict(
        claim,
        data,
        subject,
        kept,
        mean_interval(array, sampling=sampling),
        _p(claim, array, sampling),
        outcome="cannot be tested here" if failed else "undecided",
        failed=tuple(failed),
        about={key: value.item() if isinstance(value, np.generic) else value for key, value in (about or {}).items()},
    )
    return verdict if odds is None else _with_odds(verdict, _kept(odds, claim.id), odds_sampling)


def _with_odds(verdict: Verdict, odds: Mapping[int, float], sampling: float) -> Verdict:
    """The verdict with the same comparison in log-odds, which must be of the same seeds."""
    if odds.keys() != verdict.values.keys():
        seeds = f"log-odds are of seeds {list(odds)} and values of {list(verdict.values)}"
        raise ValueError(f"{verdict.claim.id}: {seeds}; give the same.")
    values = list(odds.values())
    interval = mean_interval(values, sampling=sampling)
    return replace(verdict, odds=interval, odds_p=p_value(values, sampling=sampling) if values else math.nan)


def _kept(values: Mapping[int, float], name: str) -> dict[int, float]:
    """The values that are not NaN, in the order of their seeds, so that the order given never changes a digit."""
    kept = {int(seed): float(values[seed]) for seed in sorted(values) if not math.isnan(values[seed])}
    if infinite := [seed for seed, value in kept.items() if math.isinf(value)]:
        raise ValueError(f"{name}: the values of seeds {infinite} are infinite; hold accuracies off 0 and 1 first.")
    return kept


def _p(claim: Claim, values: Sequence[float], sampling: float) -> float:
    if len(values) == 0:
        return math.nan
    if claim.test == "above":
        return p_value(values, null=claim.bound, sampling=sampling)
    away = float(np.mean(values)) - claim.bound
    two_sided = p_value(values, null=claim.bound + math.copysign(claim.margin, away), sampling=sampling)
    # The nearer end of the margin gives the larger of the two one-sided p's.
    return two_sided / 2 if abs(away) < claim.margin else two_sided


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p of each p (Scand. J. Statistics 6, 1979), in the same order; NaN are no tests and stay NaN."""
    array = np.asarray(p, dtype=np.float64)
    adjusted = np.full(array.shape, math.nan)
    tested = np.flatnonzero(~np.isnan(array))
    order = tested[np.argsort(array[tested], kind="stable")]
    steps = array[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def decide(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of one data set with Holm-adjusted p, outcome and the number of seeds that would decide.

    The family of a primary verdict is all primary ones; a secondary verdict's family is all verdicts, so that its bar
    is never easier. Deciding again, with more verdicts or without, starts from the raw p. Raises ValueError for
    verdicts of several data sets.
    """
    if len(names := sorted({verdict.data for verdict in verdicts})) > 1:
        raise ValueError(f"One data set is decided at a time, not {', '.join(names)}: group the verdicts by `data`.")
    primary = [verdict.claim.primary for verdict in verdicts]
    p = np.array([_joint(verdict) for verdict in verdicts], dtype=np.float64)
    first, whole = holm(np.where(primary, p, math.nan)), holm(p)
    bars = [_bar(first), _bar(whole)]  # what an undecided verdict must pass once the decided ones are out of the way
    decided = []
    for verdict, main, small, large in zip(verdicts, primary, first, whole, strict=True):
        judged = replace(verdict, adjusted_p=float(small if main else large), seeds_needed=None)
        judged = replace(judged, outcome=_outcome(judged))
        decided.append(replace(judged, seeds_needed=_seeds(judged, bars[0] if main else bars[1])))
    return decided


def _joint(verdict: Verdict) -> float:
    if verdict.failed:
        return math.nan
    claim = verdict.claim
    counts = claim.test == "above" and claim.bound == 0 and not math.isnan(verdict.p)
    return float(np.fmax(verdict.p, verdict.odds_p)) if counts else verdict.p


def _bar(adjusted: NDArray[np.float64]) -> float:
    return ALPHA / max(1, int((adjusted >= ALPHA).sum()))


def _outcome(verdict: Verdict) -> Outcome:
    if verdict.failed:
        return "cannot be tested here"
    if not verdict.adjusted_p < ALPHA or verdict.disagreement:
        return "undecided"
    away = verdict.interval.mean - verdict.claim.bound
    true = away > 0 if verdict.claim.test == "above" else abs(away) < verdict.claim.margin
    return "holds" if true else "does not hold"


def _seeds(verdict: Verdict, alpha: float) -> int | None:
    """Seeds that would decide an undecided verdict in points and, where they count, in log-odds too."""
    if verdict.outcome != "undecided" or not verdict.would_decide:
        return None
    claim, found = verdict.claim, [seeds_needed(verdict.claim, verdict.interval, alpha=alpha)]
    if verdict.odds is not None and claim.test == "above" and claim.bound == 0 and not math.isnan(verdict.odds_p):
        found.append(seeds_needed(claim, verdict.odds, alpha=alpha))
    known = [n for n in found if n is not None]
    return max(known) if len(known) == len(found) else None


def seeds_needed(claim: Claim, interval: Interval, *, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """The smallest number of seeds that decides the claim with `power`, at the mean and spread of a 95% `interval`.

    None for more than 100, and where there is no spread to go by.
    """
    if interval.n < 2 or math.isnan(interval.high):
        return None
    half = (interval.high - interval.low) / 2
    spread = half / float(stdtrit(interval.n - 1, 0.975)) * math.sqrt(interval.n)
    enough = np.flatnonzero(decisive_power(claim, interval.mean, spread, alpha=alpha) >= power)
    return int(enough[0]) + 2 if len(enough) else None


def decisive_power(claim: Claim, mean: float, spread: float, *, alpha: float = ALPHA) -> NDArray[np.float64]:
    """Power to decide for the side that `mean` lies on, with 2, 3, ... 100 normal seeds of standard deviation `spread`.

    Given the estimated over the true spread, r, the mean passes an end at distance d with probability
    Phi(d sqrt(n) / spread - t r), t being the critical value. Its mean over the distribution of r is the noncentral t,
    and for two ends at once (TOST, where both must be passed) it is Owen's Q.
    """
    n, ratio = _spread_ratios()
    away = abs(mean - claim.bound)
    inside = claim.test == "alike" and away < claim.margin
    t = _critical(1 - (alpha if inside else alpha / 2))

    def passes(distance: float) -> NDArray[np.float64]:
        return ndtr(distance * np.sqrt(n) / spread - t * ratio)  # (99, nodes)

    if inside:
        return np.maximum(passes(claim.margin - away) + passes(claim.margin + away) - 1, 0.0).mean(axis=1)
    return passes(away - claim.margin if claim.test == "alike" else away).mean(axis=1)


@lru_cache(maxsize=1)
def _spread_ratios(nodes: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """2 ... 100 seeds (99, 1), and quantiles of the estimated over the true standard deviation for each (99, nodes)."""
    n = np.arange(2, MOST_SEEDS + 1, dtype=np.float64)[:, None]
    middle = (np.arange(nodes) + 0.5) / nodes
    return n, np.sqrt(2 * gammaincinv((n - 1) / 2, middle) / (n - 1))


@lru_cache(maxsize=64)
def _critical(level: float) -> NDArray[np.float64]:
    """Student's t at `level` for 2 ... 100 seeds (99, 1)."""
    return stdtrit(np.arange(1, MOST_SEEDS, dtype=np.float64)[:, None], level)
