"""Verdicts along fronts: the best accuracy that an arm (a family of models) reaches within each budget of compute.

The points of a front are chosen by validation accuracy; what is compared is the test accuracy of their runs, per seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.compare import judged
from vitlab.claims.curves import Curve, cost_ratio, curves, front, gained, reach_errors, shared
from vitlab.claims.interval import mean_interval, paired
from vitlab.claims.sentences import readable
from vitlab.claims.statistics import LOG_ODDS, sampling_error, whole_seeds, with_log_odds

if TYPE_CHECKING:
    import pandas as pd

SPENT = "spent"
Fronts = Mapping[str, "pd.DataFrame"]  # the test rows of each arm's front


def fronts(rows: pd.DataFrame, *, by: str, cost: str) -> dict[str, pd.DataFrame]:
    """Test rows of what nothing cheaper beats in mean validation accuracy, for each value of `by`.

    Over the seeds that have all of an arm's models and costs; arms with fewer than two such points are left out. The
    column `SPENT` says how far the front goes on level: to the most that was spent on the arm, in vain.
    """
    found = {}
    for name, own in rows.groupby(by):
        own = whole_seeds(own, ["model", cost])
        means = own[own["split"] == "validation"].groupby(["model", cost])["score"].mean().reset_index()
        means = means.sort_values([cost, "score"], ascending=[True, False], kind="stable")
        best = means[means["score"] > means["score"].cummax().shift(fill_value=-1.0)]
        if len(best) > 1:
            test = own[own["split"] == "test"].merge(best[["model", cost]], on=["model", cost])
            found[str(name)] = test.assign(**{SPENT: own[cost].max()})
    return found


def ratio(found: Fronts, first: str, second: str, *, cost: str) -> dict[int, float]:
    """log2 of the cost of `first` over that of `second` at equal accuracy, per seed (see `curves.cost_ratio`)."""
    if not {first, second} <= set(found):
        return {}
    return cost_ratio(front(found[first], cost=cost), front(found[second], cost=cost))


def ratio_sampling(found: Fronts, first: str, second: str, *, cost: str) -> float:
    """Standard deviation that the test split's size alone gives to `ratio`: the mean error of where both reach a value.

    The values are those that both mean fronts pass; at neighbouring values errors are alike, and do not cancel.
    """
    arms = found[first], found[second]
    means = [arm.groupby(cost)["score"].mean().cummax().to_numpy() for arm in arms]
    targets = shared(*means)
    errors = [reach_errors(arm, targets, x=cost) for arm in arms]
    return float(np.hypot(*errors).mean()) if len(targets) else 0.0


def less_cost(
    claim: Claim, found: Fronts, first: str, second: str, *, by: str, cost: str, doubts: Iterable[str] = ()
) -> Verdict | None:
    """The verdict on how many doublings of cost `first` saves against `second` at equal accuracy; None without both."""
    if not {first, second} <= set(found):
        return None
    values = ratio(found, second, first, cost=cost)
    apart = [] if values else ["no accuracy is passed by both fronts in every seed"]
    sampling = ratio_sampling(found, second, first, cost=cost)
    factor = f"{2 ** abs(mean_interval(list(values.values())).mean):.2g}" if values else ""
    arms, about = [found[first], found[second]], {"first": first, "second": second, "factor": factor}
    return judged(claim, values, _timeless(arms), by=by, doubts=[*doubts, *apart], sampling=sampling, about=about)


def lead(
    claim: Claim, found: Fronts, first: str, second: str, *, by: str, cost: str, vanishes: bool = False,
    doubts: Iterable[str] = (),
) -> Verdict | None:  # fmt: skip
    """The verdict on `first` - `second` at the smallest budget of both; with `vanishes`, minus that at the largest.

    Fronts are straight between their points, against log2 of the cost. None without two such budgets.
    """
    if not {first, second} <= set(found):
        return None
    arms = [with_log_odds(found[name]) for name in (first, second)]
    few, many = max(arm[cost].min() for arm in arms), min(arm[cost].max() for arm in arms)
    if not few < many:
        return None

    def ahead(value: str) -> dict[int, float]:
        lines = [curves(arm, x=cost, value=value) for arm in arms]
        at_few, at_many = (paired(*(_at(line, budget) for line in lines)) for budget in (few, many))
        return paired(at_few, at_many) if vanishes else at_few

    ends = [_around(arm, budget, cost) for budget in (few, many)[: 1 + vanishes] for arm in arms]
    return judged(
        claim,
        ahead("score"),
        _timeless(ends),
        by=by,
        doubts=doubts,
        odds=ahead(LOG_ODDS),
        sampling=sampling_error(*ends),
        odds_sampling=sampling_error(*ends, odds=True),
        about={"first": first, "second": second, "few": readable(few), "many": readable(many)},
    )


def _around(arm: pd.DataFrame, budget: float, cost: str) -> pd.DataFrame:
    """The rows of the one or two points of a front that its value at a budget is read between."""
    spent = arm[cost]
    return arm[spent.isin((spent[spent <= budget].max(), spent[spent >= budget].min()))]


def still_gains(
    claim: Claim, found: Fronts, name: str, *, by: str, cost: str, doubts: Iterable[str] = ()
) -> Verdict | None:
    """The verdict on the log-odds that an arm gains over the last doubling of what was spent; None without its front.

    Where validation chooses none of the dearest trainings, the front is level at its end and the gain is less for it.
    """
    if name not in found:
        return None
    rows = with_log_odds(found[name])
    last = rows[rows[cost] == rows[cost].max()]
    values = gained(curves(rows, x=cost, value=LOG_ODDS), factor=2.0, until=rows[SPENT].max())
    short = [] if values else [f"the front of {name} spans less than a doubling"]
    sampling = math.sqrt(2) * sampling_error(last, odds=True)
    about = {"first": name}
    return judged(claim, values, _timeless([last]), by=by, doubts=[*doubts, *short], sampling=sampling, about=about)


def _at(lines: Mapping[int, Curve], budget: float) -> dict[int, float]:
    return {seed: float(np.interp(math.log2(budget), axis, y)) for seed, (axis, y) in lines.items()}


def _timeless(arms: Iterable[pd.DataFrame]) -> list[pd.DataFrame]:
    """Rows that do not count as cut short: how long a run trains is the axis here."""
    return [arm.drop(columns="best_step", errors="ignore") for arm in arms]
