"""Arms of an ablation: one Run changed in named ways, each tried at equally many rates and judged at its own best.

ARMS = {"class token": {}, "mean pooling": {"options.pooling": "gap"}}
settings.trainings(ARMS)       every arm at every rate with every seed
settings.named(rows, ARMS)     the rows of each arm, with its name in the column `arm`
at_own_rate(named)             those at the rate that validation chose for the arm
rate_table("rates", named)     accuracy at every rate, and at that one
each_model(rows, judge)        verdicts on each model, which say of which where there are several
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.report.families import in_order
from vitlab.runs.rows import labelled
from vitlab.runs.run import Run
from vitlab.study.plan import RATE, SEED, best_rate, changed, grid
from vitlab.study.settings import Settings, check_sizes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Table

ARM = "arm"
Arms = Mapping[str, Mapping[str, Any]]  # name, and what it changes, by the names that rows have


@dataclass(frozen=True)
class Ablation(Settings):
    """Settings of a study that compares arms."""

    models: tuple[str, ...] = ("ViT",)
    """Families, taken in each of --sizes, or exact names; every arm is made of each."""
    train_size: int | None = None
    """Number of training images; by default all."""
    seeds: int = 5
    """Repetitions, each with a subset and weights of its own."""
    rates: tuple[float, ...] = ()
    """Peak rates that every arm tries; the one with the best mean validation accuracy counts. By default one alone:
    --learning_rates' of the family, or --lr."""

    def trainings(self, arms: Arms, axes: Mapping[str, Sequence[Any]] | None = None) -> list[Run]:
        """Every arm at every rate, and at every value of `axes`; seed by seed, so that a study that was stopped early
        has all arms of the first seeds.

        Raises:
            ValueError: if there is no such data, and for a setting that there is not.
        """
        check_sizes("train_size", self.data, [self.train_size])
        seeds = {SEED: range(self.seeds), "data.train_size": (self.train_size,)}
        bases = grid(self.templates(), seeds | dict(axes or {}))
        found: list[Run] = []
        for run, (name, change) in itertools.product(bases, arms.items()):
            found += grid(changed(run, change), {RATE: self.rates_of(name) or (run.recipe.lr,)})
        return found

    def rates_of(self, arm: str) -> tuple[float, ...]:
        """The rates that an arm tries: those of --rates, whichever it is."""
        return self.rates

    def named(self, rows: pd.DataFrame, arms: Arms, *, aside: Sequence[str] = ()) -> pd.DataFrame:
        """The rows of each arm, in the order of `arms`, with its name in the column `arm`.

        They may be of any model and at any rate; settings `aside` may vary too.
        """
        runs = {name: changed(self.bare()[0], change) for name, change in arms.items()}
        found = labelled(rows, ARM, runs, aside=("model", RATE, *aside))
        return found.sort_values(ARM, key=lambda names: names.map(list(arms).index), kind="stable")


def at_own_rate(rows: pd.DataFrame, by: Sequence[str] = ("model", ARM)) -> pd.DataFrame:
    """`best_rate` of each group of `by`; both splits of them.

    A group with one rate chose nothing, so that it has no edge: whether its rate is a tuned one, other trials say.
    """
    best = best_rate(rows, by)
    return best.assign(at_edge=best["at_edge"] & (best["tried"] > 1))


def each_model(rows: pd.DataFrame, judge: Callable[[pd.DataFrame], Iterable[Verdict | None]]) -> tuple[Verdict, ...]:
    """The verdicts of `judge` on the rows of each model; where there are several, each says which it is of."""
    models = in_order(rows["model"].unique())
    found = [(model, one) for model in models for one in judge(rows[rows["model"] == model]) if one]
    if len(models) < 2:
        return tuple(one for _, one in found)
    return tuple(
        replace(one, subject=f"{one.subject}, {model}", about={**one.about, "first": f"{one.about['first']} ({model})"})
        for model, one in found
    )


def rate_table(name: str, rows: pd.DataFrame, *, by: Sequence[str] = ("model", ARM), caption: str = "") -> Table:
    """Test accuracy of each group of `by` at every rate; its own rate, by validation; and the accuracy at that one.

    Raises ValueError for no rows.
    """
    from vitlab.claims.interval import MISSING
    from vitlab.report.build import pivot
    from vitlab.report.evidence import Table

    frame = pivot(rows[rows["split"] == "test"], by, RATE).rename(columns="rate {:g}".format)
    own = at_own_rate(rows, by).query("split == 'test'")
    rates = dict(iter(own.groupby(list(by))[RATE].first().items()))
    scores = {} if own.empty else pivot(own, by, "split")["test"].to_dict()
    frame["own rate"] = [rates.get(key, "–") for key in frame.index]
    frame["at its own rate"] = [scores.get(key, MISSING) for key in frame.index]
    return Table(name, frame, caption)
