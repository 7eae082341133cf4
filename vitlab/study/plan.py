"""A plan is a grid: one Run, and the settings of it that vary. And which of the rates that were tried counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.errors import suggest
from vitlab.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

SEED = "seed data.subset_seed"  # a seed has a subset of its own
RATE = "recipe.lr"


def changed(run: Run, settings: Mapping[str, Any]) -> Run:
    """`run` with some settings replaced, by the names that rows have: `seed`, `recipe.lr`, `options.depth`.

    Several names, separated by spaces, take the same value.

    Raises:
        ValueError: for a setting that there is not.
    """
    for names, value in settings.items():
        for name in names.split():
            run = _replaced(run, name, value)
    return run


def _replaced(run: Run, name: str, value: Any) -> Run:
    part, _, setting = name.partition(".")
    if part == "options":
        options = {**dict(run.options), setting: value}
        return replace(run, options=tuple((key, given) for key, given in options.items() if given is not None))
    if not setting:
        return replace(run, **{_known(run, part): value})
    inner = getattr(run, _known(run, part))
    return replace(run, **{part: replace(inner, **{_known(inner, setting): value})})


def _known(value: Any, name: str) -> str:
    known = [f.name for f in fields(value)] if is_dataclass(value) else []
    if name not in known:
        raise ValueError(f"{type(value).__name__} has no setting {name!r}.{suggest(name, known)}")
    return name


def grid(base: Run | Iterable[Run], axes: Mapping[str, Iterable[Any]]) -> list[Run]:
    """All combinations of the values of `axes` over each base; the first axis varies slowest, the bases fastest.

    So `grid(models, {SEED: range(3), "recipe.lr": rates})` goes seed by seed, and a study that is stopped early has all
    of the first seeds. Raises ValueError for a setting that there is not.
    """
    bases = [base] if isinstance(base, Run) else list(base)
    combinations = itertools.product(*map(list, axes.values()))
    return [changed(run, dict(zip(axes, values, strict=True))) for values in combinations for run in bases]


def best_rate(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Of trainings, those with the rate of the best mean validation score in each group of `by`; both splits of them.

    Ties go to the smaller rate. The test split plays no part. A study is stopped within a seed, so that a group's last
    one counts where it has all rates; a rate that has fewer seeds than another (the rest diverged) cannot win, and the
    others are compared on the seeds that all of them have. A column `tried` says how many rates there were, those that
    diverged in every seed too where the rows have them, and `at_edge` whether the chosen one is the smallest or the
    largest of them: a better one may lie beyond.
    """
    trials = rows[rows["split"] == "validation"]
    about = rows.groupby(list(by), dropna=False)[RATE].agg(["nunique", "min", "max"]).reset_index()
    means = _comparable(trials, by).groupby([*by, RATE], dropna=False)["score"].mean().reset_index()
    best = means.sort_values(["score", RATE], ascending=[False, True], kind="stable").drop_duplicates(list(by))
    best = best.drop(columns="score").merge(about, on=list(by))
    best["tried"] = best.pop("nunique")
    best["at_edge"] = (best[RATE] == best.pop("min")) | (best[RATE] == best.pop("max"))
    return rows.merge(best, on=[*by, RATE], how="inner").copy()  # a merge leaves every column apart in memory


def _comparable(trials: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The trials whose means can be compared: at the rates with most seeds, of the seeds that have all of these.

    Nothing of a group in which no seed has all of these rates.
    """
    groups = list(by)

    def count(rows: pd.DataFrame, what: str, *also: str) -> pd.Series:
        return rows.groupby([*groups, *also], dropna=False)[what].transform("nunique")

    def most(rows: pd.DataFrame, counts: pd.Series) -> pd.Series:
        return counts.groupby([rows[name] for name in groups], dropna=False).transform("max")

    rates, last = count(trials, RATE, "seed"), trials["seed"] == most(trials, trials["seed"])
    trials = trials[(count(trials, "seed") == 1) | ~last | (rates == most(trials, rates))]
    seeds = count(trials, "seed", RATE)
    trials = trials[seeds == most(trials, seeds)]
    return trials[count(trials, RATE, "seed") == count(trials, RATE)]
