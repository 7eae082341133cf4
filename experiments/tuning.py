"""Which peak rate for which family? The trials behind the other studies, by validation accuracy alone.

    python -m experiments.tuning                                            # digits, 4 minutes on two cores
    python -m experiments.tuning --preset cifar10_cpu --data images/cifar10

Every family gets as many trials as the others, on subsets and seeds that no study reports. A best rate at the edge of
what was tried says that the grid was too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vitlab.data.sources import set_name
from vitlab.report.families import family
from vitlab.runs.run import Run
from vitlab.study.plan import RATE, SEED, best_rate, grid
from vitlab.study.settings import Sized, check_families
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence, Table

FIRST_SEED = 1000


@dataclass(frozen=True)
class Tuning(Sized):
    """Settings of the study; --learning_rates and --lr are what it looks for, and are not used."""

    rates: tuple[float, ...] = peak_rates.FIVE
    """Peak learning rates to try."""
    rates_by_family: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Other rates for a family, as many as the other families have."""


PRESETS = {
    "quick": Tuning(train_sizes=(100, 800), seeds=2, recipe=recipes.DIGITS_RECIPE),
    "cifar10_cpu": Tuning(
        data="cifar10",
        patch=4,
        train_sizes=(500, 49_000),
        steps_by_size={500: 3000, 49_000: 6000},
        seeds=1,
        models=("ViT", "ResNet"),
        rates=peak_rates.CIFAR10_LONG.tried["ViT"],
        rates_by_family={"ResNet": peak_rates.CIFAR10_LONG.tried["ResNet"]},
        recipe=recipes.CIFAR_LONG,
    ),
    "eurosat_cpu": Tuning(
        **recipes.EUROSAT,
        train_sizes=(200, 16_000),
        steps_by_size={200: 1000, 16_000: 2500},
        seeds=1,
        models=("ViT", "ResNet"),
        rates=peak_rates.CIFAR10_LONG.tried["ViT"],
        rates_by_family={"ResNet": peak_rates.CIFAR10_LONG.tried["ResNet"]},
    ),
    "tiny_imagenet_cpu": Tuning(
        data="tiny_imagenet_32", patch=4, sizes=("Nano",), train_sizes=(95_000,), recipe=recipes.CIFAR_SHORT
    ),
    "cifar10": Tuning(
        data="cifar10",
        patch=4,
        sizes=("Micro", "Small"),
        train_sizes=(2000, 20_000),
        seeds=1,
        recipe=recipes.CIFAR_GPU,
    ),
}


def plan(settings: Tuning) -> list[Run]:
    """Every rate for every model, at every size, with every seed.

    Raises:
        ValueError: if the families of the models have unequal numbers of rates.
    """
    check_families("rates_by_family", settings.rates_by_family)
    templates = settings.templates()
    names = [family(run.model) for run in templates]
    rates = {name: settings.rates_by_family.get(name, settings.rates) for name in names}
    if len({len(tried) for tried in rates.values()}) > 1:
        counts = ", ".join(f"{name} {len(tried)}" for name, tried in rates.items())
        raise ValueError(f"Rates to try, of --rates and --rates_by_family: {counts}; give every family as many trials.")
    seeds = range(FIRST_SEED, FIRST_SEED + settings.seeds)
    axes = {SEED: seeds, "data.train_size": settings.checked_sizes()}
    return [
        replace(run, recipe=replace(run.recipe, lr=rate))
        for run in map(settings.at_size, grid(templates, axes))
        for rate in rates[family(run.model)]
    ]


def draw(rows: pd.DataFrame, settings: Tuning) -> Evidence:
    """Validation accuracy against the rate, and the rate chosen for each model."""
    from vitlab.report.build import curves, pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    trials = rows[rows["split"] == "validation"]
    caption = f"Validation accuracy in % at each peak rate; mean over seeds [95% interval]. {describe(trials)}."
    cells = pivot(trials, ["model", "train_images"], RATE).rename(columns="rate {:g}".format)
    sizes, names = trials.sort_values("train_images", kind="stable"), trials["model"].unique()
    title = f"Tuning on {trials['title'].iloc[0]}: the same trials for every model"
    if len(names) == 1:
        title = f"Tuning {names[0]} on {trials['title'].iloc[0]}"
    figure = curves(
        sizes.assign(size=sizes["train_images"].map("{:,.0f} training images".format)),
        x=RATE,
        panel="size",
        xlabel="peak learning rate (log scale)",
        ylabel="validation accuracy (%)",
        title=title,
        log_x=True,
    )
    best = chosen(rows)
    return Evidence((), (best, Table("trials", cells, caption)), {"figure": figure}, summary(best.frame))


def chosen(rows: pd.DataFrame) -> Table:
    """The rate of each model whose validation accuracy, averaged over train sizes and seeds, is highest."""
    from vitlab.report.evidence import Table

    trials = compared(rows)
    best = best_rate(trials, ["model"])
    hopeless = best.loc[best["score"] == -math.inf, "model"]  # every rate diverged somewhere
    best = best[~best["model"].isin(hopeless)].drop_duplicates("model").set_index("model")
    frame = best[[RATE]].rename(columns={RATE: "rate"}).assign(trials=trials.groupby("model").size())
    frame["at the edge of those tried"] = best["at_edge"].map({True: "yes", False: "no"})
    return Table("chosen", frame, "The rate with the best mean validation accuracy, over sizes and seeds.")


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The trials of each model with the seeds and train sizes that all of its rates have; a diverged one is the worst.

    A study that was stopped has one size more of the first rates: their means would be of other things.
    """
    diverged = rows["status"] == "failed"
    trials = rows.assign(split="validation", score=rows["score"].mask(diverged, -math.inf))
    trials = trials[diverged | (rows["split"] == "validation")]
    tried = trials.groupby(["model", "seed", "data.train_size"], dropna=False)[RATE].transform("nunique")
    return trials[tried == trials.groupby("model")[RATE].transform("nunique")]


def summary(best: pd.DataFrame) -> str:
    """The rate of each model, and how many trials chose it."""
    rates = ", ".join(f"{model} {rate:g}" for model, rate in best["rate"].items())
    counts = best["trials"]
    if counts.nunique() == 1:
        return f"Chosen by mean validation accuracy: {rates}; {counts.iloc[0]} trials for each model."
    each = ", ".join(f"{model} {count}" for model, count in counts.items())
    return f"Chosen by mean validation accuracy: {rates}; trials: {each}." if each else "No rate can be chosen yet."


def folder(settings: Tuning) -> str:
    """Where the evidence goes: the data's name with the train sizes."""
    return "_".join([set_name(settings.data), *map(str, settings.train_sizes)])


STUDY = Study(
    name="tuning",
    section="-",
    question="Which learning rate for which family?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=folder,
    diverged=True,
)

if __name__ == "__main__":
    main(STUDY)
