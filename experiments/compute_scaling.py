"""Accuracy against training compute (section 4.4, Figure 5, Table 6): ViT, hybrid or CNN, for a given number of FLOPs?

    python -m experiments.compute_scaling                                   # 1,149 digits, no network
    python -m experiments.compute_scaling --preset cifar10_cpu --data images/cifar10

Every family in several sizes, each trained for several lengths with a schedule of its own; compute is the FLOPs of all
steps, forward and backward. A family's front is what nothing cheaper beats in mean validation accuracy; its test
accuracy counts. The paper: ViTs need 2 to 4 times less compute than ResNets for the same accuracy; hybrids are ahead at
small budgets, and the lead vanishes; nothing saturates. What other studies trained so counts too (`--also`).

`quick` takes 3.5 minutes on two cores, a seed of `cifar10_cpu` 2.3 core-hours. All sizes of a family have one rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import leads, shrinks
from vitlab.report.families import family
from vitlab.runs.run import Run
from vitlab.study.elsewhere import Rows, trained_elsewhere
from vitlab.study.plan import grid
from vitlab.study.settings import Settings, data_of
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence

FAMILY, COST, LENGTH = "family", "compute", ("steps", "warmup_steps", "evaluations")
LESS = Claim(
    "compute.less", "4.4, Figure 5", "the ViT needs less compute for equal accuracy",
    unit="doublings", scale=1.0, digits=2, paper="2 to 4 times less (1 to 2 doublings)",
    says={
        "holds": "for the same accuracy {second} needs {factor} times the compute of {first}",
        "does not hold": "for the same accuracy {first} needs {factor} times the compute of {second}",
    },
)  # fmt: skip
HYBRID = Claim(
    "compute.hybrid", LESS.section, "hybrids are ahead at small budgets", says=leads("with {few} TFLOPs "),
    paper="ImageNet: R50+B/32 84.90 for 106 exaFLOP, B/16 84.15 for 224",
)  # fmt: skip
VANISH = Claim(
    "compute.vanish", LESS.section, "the hybrids' lead vanishes",
    paper="ImageNet: R50+L/16 86.60 for 859 exaFLOP, L/16 86.30 for 783",
    says=shrinks("from {few} to {many} TFLOPs "),
)  # fmt: skip
MORE = Claim(
    "compute.more", LESS.section, "the ViT gains from the last doubling of compute", unit="log-odds", scale=1.0,
    digits=2, paper="ImageNet: L/16 86.30 for 783 exaFLOP, H/14 88.08 for 4,262",
)  # fmt: skip


@dataclass(frozen=True)
class ComputeScaling(Settings):
    """Settings of the study."""

    sizes: tuple[str, ...] = ("Pico", "Nano", "Micro")
    """Sizes of the small-image families: Pico Nano Micro Mini Small."""
    lengths: tuple[int, ...] = (15, 45, 135)
    """Optimiser steps of the trainings; at most a tenth of them warms up."""
    also: tuple[str, ...] = ()
    """Folders of evidence, such as results/data_scaling/cifar10, whose rows of this data and recipe count too."""


CIFAR = ComputeScaling("cifar10", patch=4, recipe=recipes.CIFAR_LONG)
PRESETS = {
    "quick": ComputeScaling(
        seeds=5, learning_rates=peak_rates.DIGITS.chosen,
        recipe=replace(recipes.DIGITS_RECIPE, batch_size=32, evaluations=3),
    ),
    "cifar10_cpu": replace(
        CIFAR, lengths=(800, 3200), learning_rates=peak_rates.CIFAR10_SHORT.chosen,
        also=("results/data_scaling/cifar10", "results/inductive_bias/cifar10"),
    ),
    "eurosat_cpu": ComputeScaling(**recipes.EUROSAT_PAIR, lengths=(400, 1600)),
    "cifar10": replace(
        CIFAR, sizes=("Nano", "Micro", "Small"), lengths=(1250, 5000, 20_000), seeds=5,
        recipe=recipes.CIFAR_GPU, learning_rates=peak_rates.UNTUNED,
    ),
}  # fmt: skip


def known(settings: ComputeScaling) -> dict[Run, Rows]:
    """Trainings on all images that --also holds."""
    images = data_of(settings.data)[1].sizes["train"]
    return trained_elsewhere(settings.also, settings.templates(), images=images, seeds=settings.seeds, aside=LENGTH)


def plan(settings: ComputeScaling) -> list[Run]:
    """What is known, and what is missing of every model at every length, seed by seed; ValueError for epochs."""
    if settings.recipe.epochs:
        raise ValueError("This study varies the steps (--lengths); leave --epochs at None.")
    runs = list(known(settings))
    there = {(run.model, run.recipe.steps, run.seed) for run in runs}
    for run in grid(settings.templates(), {"seed": range(settings.seeds), "recipe.steps": settings.lengths}):
        warm = min(run.recipe.warmup_steps, run.recipe.steps // 10)
        own = replace(run, recipe=replace(run.recipe, warmup_steps=warm))
        runs += [] if (run.model, run.recipe.steps, run.seed) in there else [own]
    return runs


def draw(rows: pd.DataFrame, settings: ComputeScaling) -> Evidence:
    """The fronts with every model and length beside them, the ratios of compute at equal accuracy, and the verdicts."""
    from vitlab.claims.fronts import fronts, lead, less_cost, still_gains
    from vitlab.report.build import scaling_table
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence
    from vitlab.report.fronts import front_chart, ratio_table

    teraflops = rows["train_flops_per_image"] * rows["steps"] * rows["recipe.batch_size"] / 1e12
    rows = rows.assign(**{FAMILY: rows["model"].map(family), COST: teraflops.astype(float)})
    test = rows[rows["split"] == "test"]
    if test.empty:
        return Evidence()
    axes: dict[str, Any] = {"by": FAMILY, "cost": COST}
    found = fronts(rows, **axes)
    where = test["title"].iloc[0]
    caption = f"Test accuracy on {where} in % after so many steps; mean over seeds [95% interval]. {describe(test)}."
    ratios = "Ratio of the compute that two fronts need, mean over the accuracies that both pass [95% interval]."
    title = f"Accuracy against training compute on {where}"

    def asked(*families: str) -> dict[str, Any]:
        return {**axes, "doubts": peak_rates.rate_doubts(test[test[FAMILY].isin(families)])}

    verdicts = (
        less_cost(LESS, found, "ViT", "ResNet", **asked("ViT", "ResNet")),
        lead(HYBRID, found, "HybridViT", "ViT", **asked("HybridViT", "ViT")),
        lead(VANISH, found, "HybridViT", "ViT", vanishes=True, **asked("HybridViT", "ViT")),
        still_gains(MORE, found, "ViT", **asked("ViT")),
    )
    return Evidence(
        tuple(filter(None, verdicts)),
        (scaling_table("accuracy", test, "steps", caption=caption), *ratio_table("ratios", found, COST, ratios)),
        {"figure": front_chart(test, found, title=title, xlabel="training compute (TFLOPs)", **axes)},
    )


STUDY = Study(
    name="compute_scaling",
    section="4.4, Figure 5, Table 6",
    question="ViT, hybrid or CNN: which accuracy does a budget of training compute buy?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(LESS, HYBRID, VANISH, MORE),
    protocol=__doc__,
    known=lambda settings: {run.id: rows for run, rows in known(settings).items()},
)

if __name__ == "__main__":
    main(STUDY)
