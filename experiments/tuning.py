"""Which learning rate for which family: the trials behind the recipes of the other studies, the same for every family.

    python -m experiments.tuning                           # the digits
    python -m experiments.tuning --preset cifar10_cpu --data PATH

Every family gets the same grid of peak rates, at the same train sizes and seeds. The seeds are none of those that the
studies report, and the choice is by validation accuracy alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.data_scaling import PRESETS as STUDIED
from experiments.data_scaling import DataScaling, model_names, recipe_at
from vitlab.runs.run import Run
from vitlab.study import Evidence, Study, check_train_sizes, data_of, main, titled

if TYPE_CHECKING:
    import pandas as pd

FIRST_SEED = 1000


@dataclass(frozen=True)
class Tuning:
    """Settings of the study."""

    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    """Peak learning rates to try."""
    study: Annotated[DataScaling, tyro.conf.arg(name="")] = DataScaling()
    """What is tuned: the settings of data_scaling, of which --learning_rates and --lr are not used."""


def plan(settings: Tuning) -> list[Run]:
    """Every rate for every model, at every size, with every seed."""
    study = settings.study
    data, info = data_of(study.data, image_size=study.image_size)
    check_train_sizes(study.train_sizes, info)
    return [
        Run(name, replace(data, train_size=size, subset_seed=seed), replace(recipe_at(study, size), lr=rate), seed=seed)
        for seed in range(FIRST_SEED, FIRST_SEED + study.seeds)
        for size in study.train_sizes
        for rate in settings.rates
        for name in model_names(study)
    ]


def best_rates(rows: pd.DataFrame) -> dict[str, float]:
    """The rate of each model whose validation accuracy, averaged over train sizes and seeds, is highest."""
    means = rows.groupby(["model", "lr"])["validation_best"].mean().unstack("lr")
    return means.idxmax(axis=1).to_dict()


def draw(rows: pd.DataFrame, settings: Any) -> Evidence:
    """Validation accuracy against the rate, and the rate chosen for each model."""
    from vitlab.report.curves import lines
    from vitlab.report.tables import describe, interval_table, pivot, to_markdown

    done = titled(rows[rows["status"] == "finished"], settings.study.data)
    caption = f"Validation accuracy in % at each peak rate; mean over seeds [95% interval]. {describe(done)}."
    cells = pivot(done, ["model", "train_size"], "lr", "validation_best", bounds=(0.0, 1.0))
    chosen = ", ".join(f"{model} {rate:g}" for model, rate in best_rates(done).items())
    trials = len(settings.rates) * len(settings.study.train_sizes) * settings.study.seeds
    answer = f"Chosen by mean validation accuracy: {chosen}; {trials} trials for each model."
    figure = lines(
        done,
        x="lr",
        y="validation_best",
        series="model",
        xlabel="peak learning rate",
        ylabel="validation accuracy (%)",
        title=f"Tuning on {done['data'].iloc[0]}: the same trials for every model",
        subtitle="mean over train sizes; dots: seeds and sizes, band: 95% interval over seeds",
        unit=("seed",),
        log_x=True,
    )
    at_rates = cells.rename(columns=lambda rate: f"rate {rate:g}")
    table = interval_table(at_rates, caption=caption, titles=("model", "train size"))
    return Evidence(answer, to_markdown(table), {"figure": figure})


PRESETS = {
    "quick": Tuning(study=replace(STUDIED["quick"], train_sizes=(100, 800), seeds=2)),
    "cifar10_cpu": Tuning(
        study=replace(
            STUDIED["cifar10_cpu"],
            recipe=replace(STUDIED["cifar10_cpu"].recipe, steps=600),
            sizes=("Nano",),
            train_sizes=(2000,),
            seeds=1,
        )
    ),
    "tiny_imagenet_cpu": Tuning(
        study=replace(
            STUDIED["tiny_imagenet_cpu"],
            train_sizes=(95_000,),
            sizes=("Nano",),
            measure="test",
            downstream=(),
        ),
    ),
    "cifar10": Tuning(study=replace(STUDIED["cifar10"], train_sizes=(2000, 20_000), seeds=1)),
}


def folder(settings: Tuning) -> str:
    """Where the evidence goes: the name asked for, else the data's with the train sizes."""
    study = settings.study
    return study.name or "_".join([data_of(study.data)[0].name, *map(str, study.train_sizes)])


STUDY = Study(
    name="tuning",
    question="Which learning rate for which family?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
