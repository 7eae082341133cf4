"""What must be true before a claim can be tested. Each check gives the failing numbers in words, or nothing.

judge(claim, ..., failed=[*near_floor(rows), *cut_short(rows), *at_edge(tried, chosen, who=model)])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vitlab.claims.claim import Claim
from vitlab.claims.rule import decide, judge
from vitlab.claims.statistics import SETS

if TYPE_CHECKING:
    import pandas as pd

LEAST_SEEDS = 3  # that a trend takes
LEAST = 0.05  # accuracy above chance and above untrained weights
LATE = 0.005  # accuracy gained over the last fifth of training that says: not finished


def near_floor(rows: pd.DataFrame, untrained: pd.DataFrame | None = None, *, by: str = "model") -> list[str]:
    """Arms whose mean accuracy is not 5 points above chance (1 / `classes`) and above untrained weights.

    `rows` are of the point that the claim compares at; each data set is looked at by itself. `untrained` are rows of
    the same probe on weights that were never trained; arms and sets without such rows are held against chance alone.
    """
    found = []
    for name, where, group in _groups(rows, by):
        score, classes = float(group["score"].mean()), float(group["classes"].iloc[0])
        if score - 1 / classes < LEAST:
            floor = f"chance ({100 * score:.1f}% of {classes:.0f} classes)"
            found.append(f"{name}{where} is {_beside(score - 1 / classes, floor)}")
    if untrained is None:
        return found
    floors = {(name, where): float(group["score"].mean()) for name, where, group in _groups(untrained, by)}
    for name, where, group in _groups(rows, by):
        gained = float(group["score"].mean()) - floors.get((name, where), -np.inf)
        if gained < LEAST:
            found.append(f"{name}{where} is {_beside(gained, 'its untrained weights')}")
    return found


def _beside(gained: float, floor: str) -> str:
    side, asked = ("below", f"{100 * LEAST:.0f} above") if gained < 0 else ("above", f"{100 * LEAST:.0f}")
    return f"{100 * abs(gained):.1f} points {side} {floor}, not {asked}"


def _groups(rows: pd.DataFrame, by: str) -> list[tuple[str, str, pd.DataFrame]]:
    """Name, " on <data set>" where the rows have several, and rows of each arm."""
    if SETS not in rows.columns or rows[SETS].nunique() < 2:
        return [(str(name), "", group) for name, group in rows.groupby(by)]
    return [(str(name), f" on {data}", group) for (name, data), group in rows.groupby([by, SETS])]


def cut_short(rows: pd.DataFrame, *, by: str = "model") -> list[str]:
    """Arms most of whose runs were still gaining when they ended.

    A run was cut short if its best evaluation is the last (`best_step` is not below `steps`) and the last fifth of
    training gained at least half a point of validation accuracy (`late_gain`; where that is not known, the first is
    enough). By chance alone one run in as many as it has evaluations ends on its best, so that most must.
    """
    if not {"best_step", "steps"} <= set(rows.columns):
        return []
    found = []
    rows = rows.dropna(subset=["best_step", "steps"])
    for name, group in (rows.drop_duplicates([by, "run"]) if "run" in rows.columns else rows).groupby(by):
        late = group["late_gain"] if "late_gain" in group.columns else group["steps"] * np.nan
        short = (group["best_step"] >= group["steps"]) & ~(late < LATE)
        if 2 * int(short.sum()) <= len(group):
            continue
        gains = late[short].dropna()
        words = f", {100 * gains.mean():.1f} points gained over the last fifth" if len(gains) else ""
        found.append(
            f"{name} was cut short: the best evaluation is the last in {short.sum()} of {len(group)} runs{words}"
        )
    return found


def few_seeds(seeds: int) -> list[str]:
    """That so many seeds tell no trend."""
    return [f"a trend takes {LEAST_SEEDS} seeds, not {seeds}"] if seeds < LEAST_SEEDS else []


def at_edge(tried: Sequence[float], chosen: float, *, who: str, what: str = "learning rate") -> list[str]:
    """Whether the chosen value is at an end of those tried, so that a better one may lie beyond; one is no search.

    Raises ValueError if the chosen value was not tried.
    """
    values = sorted(set(tried))
    if chosen not in values:
        raise ValueError(
            f"The {what} {chosen:g} of {who} is not among those tried: {', '.join(f'{v:g}' for v in values)}."
        )
    if len(values) == 1:
        return [f"{who}: {chosen:g} is the only {what} that was tried"]
    if chosen not in (values[0], values[-1]):
        return []
    end = "largest" if chosen == values[-1] else "smallest"
    return [f"{who}: the {what} {chosen:g} is the {end} of {len(values)} tried ({values[0]:g} to {values[-1]:g})"]


def not_best(trials: pd.DataFrame, counted: float, *, who: str) -> list[str]:
    """Why the learning rate that counts is not known to be the best: its trials (validation rows) prefer another one,
    it is at an end of them, or there are none.

    Only seeds with a trial of every rate are looked at, as the rate that counts may have more of them.
    """
    scores = trials.pivot_table(index="seed", columns="recipe.lr", values="score").dropna().mean().dropna()
    if counted not in scores.index:
        return [f"{who}: no trials of its learning rate, {counted:g}, beside others"]
    if scores.idxmax() != counted:
        return [f"{who}: the learning rate {counted:g} counts, and {scores.idxmax():g} was better on validation"]
    return at_edge(list(scores.index), counted, who=who)


def true_untrained(claim: Claim, values: Mapping[int, float], *, sampling: float = 0.0) -> list[str]:
    """Whether the claim holds already for weights that were never trained, whose statistic per seed is `values`."""
    alone = replace(claim, primary=True)
    verdict = decide([judge(alone, values, data="", subject="", sampling=sampling)])[0]
    if verdict.outcome != "holds":
        return []
    effect = verdict.interval.format(scale=claim.scale, digits=claim.digits, sign=True)
    return [f"it holds for untrained weights too: {effect} {claim.unit}, n = {verdict.interval.n}"]
