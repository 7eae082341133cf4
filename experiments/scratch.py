"""Why is my ViT so bad on CIFAR? A plain ViT from scratch, and its recipe taken apart one step at a time.

    python -m experiments.scratch                                              # 1,149 digits: minutes
    python -m experiments.scratch --preset cifar10_cpu --data images/cifar10       # two cores: the ladder, short
    python -m experiments.scratch --preset cifar10_best_cpu --data images/cifar10  # two cores: one step, 16 epochs
    python -m experiments.scratch --preset cifar10_long_cpu --data images/cifar10  # and the next one, 47 epochs

The ladder begins with what tutorials do (large patches, Adam at a constant rate, no augmentation) and changes one thing
at a time, keeping what came before; what regularises a training of many epochs comes last. Every step has the same
number of optimiser steps and the same seeds, and reports the test accuracy of the evaluation with the best validation
accuracy.

Record (results/scratch, one core of an Intel Xeon with AMX, a recipe that was not tuned): after 1,000 steps, three
seeds, smaller patches help and what regularises costs; after 6,000 (`--steps 6000 --seeds 1`, 80 minutes) mean pooling
has the best validation accuracy, and what comes after it still costs. `cifar10_best_cpu`: 74.1% in 35 minutes.
`cifar10_long_cpu`: 79.3% in 2 h 08 min beside other work, and 80.8% in 2 hours with stochastic depth on top. One seed
each. The lecture slides report 71.36%.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vitlab.errors import suggest
from vitlab.runs.run import Run
from vitlab.study import Evidence, Study, data_of, main, titled
from vitlab.tasks.settings import Classify, Recipe

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.report.intervals import Interval


@dataclass(frozen=True)
class Scratch:
    """Settings of the study."""

    data: str = "digits"
    """A card of data/, a folder of class folders, or a local copy in the hub's parquet layout."""
    size: str = "Pico"
    """Size of the ViT: Pico Nano Micro Mini Small."""
    patches: tuple[int, int] = (4, 2)
    """Patch size in pixels at the first step of the ladder, and after the step "smaller patches"."""
    ladder: tuple[str, ...] = ()
    """Steps of the ladder to train; all by default."""
    seeds: int = 3
    """Seeds of each step."""
    name: str = ""
    """The folder under results/scratch; by default the data's name with the length of training."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()
    """Budget and peak rate of every step."""


def ladder(settings: Scratch) -> dict[str, Run]:
    """Each step of the ladder by its name, as a Run of seed 0; a step keeps all changes of those before it."""
    data, _ = data_of(settings.data)
    coarse, fine = settings.patches
    plain = replace(
        settings.recipe,
        optimizer="adam",
        weight_decay=0.0,
        schedule="constant",
        warmup_steps=0,
        grad_clip=0.0,
        augment=(),
    )
    run = Run(f"ViT-{settings.size}/{coarse}", data, plain)
    steps: dict[str, Run] = {"tutorial": run}

    def then(name: str, recipe: dict[str, Any] | None = None, **changes: Any) -> None:
        before = list(steps.values())[-1]
        steps[name] = replace(before, recipe=replace(before.recipe, **(recipe or {})), **changes)

    then("smaller patches", model=f"ViT-{settings.size}/{fine}")
    then("warm-up and cosine", {"schedule": "cosine", "warmup_steps": settings.recipe.warmup_steps, "grad_clip": 1.0})
    then("weight decay", {"optimizer": "adamw", "weight_decay": settings.recipe.weight_decay})
    then("crop and flip", {"augment": ("crop", "flip")})
    then("label smoothing", task=Classify(label_smoothing=0.1))
    then("mean pooling", options=(("pooling", "gap"),))
    then("stochastic depth", options=(("pooling", "gap"), ("drop_path", 0.1)))
    then("colour, shear and erasing", {"augment": ("crop", "flip", "trivial", "erasing")})
    return steps


def plan(settings: Scratch) -> dict[Run, dict[str, Any]]:
    """Every chosen step of the ladder with every seed, seed by seed; rows get the step's name and number."""
    steps = ladder(settings)
    for name in settings.ladder:
        if name not in steps:
            raise ValueError(f"There is no step {name!r}; allowed: {', '.join(steps)}.{suggest(name, steps)}")
    return {
        replace(run, seed=seed): {"ladder_step": name, "ladder_number": number}
        for seed in range(settings.seeds)
        for number, (name, run) in enumerate(steps.items())
        if name in (settings.ladder or steps)
    }


def folder(settings: Scratch) -> str:
    """Where the evidence goes: the name asked for, else the data's with the length of training, so that ladders of two
    lengths stand side by side.
    """
    steps, epochs = settings.recipe.steps, settings.recipe.epochs
    length = f"{steps}_steps" if epochs is None else f"{epochs:g}_epochs"
    return settings.name or f"{data_of(settings.data)[0].name}_{length}"


def draw(rows: pd.DataFrame, settings: Scratch) -> Evidence:
    """Accuracy at each step of the ladder with its interval, and what each step changed."""
    from vitlab.report.intervals import bootstrap_mean, paired_gap
    from vitlab.report.tables import Table, describe, to_markdown

    done = titled(rows[rows["status"] == "finished"], settings.data).sort_values(["ladder_number", "seed"])
    names = list(dict.fromkeys(done["ladder_step"]))
    scores = {name: done[done["ladder_step"] == name].set_index("seed")["test_best"].to_dict() for name in names}
    means = {name: bootstrap_mean(list(scores[name].values()), bounds=(0.0, 1.0)) for name in names}
    changes = {name: paired_gap(scores[name], scores[before]) for before, name in pairwise(names)}
    cells = tuple(
        (name, means[name].format(), changes[name].format(sign=True) if name in changes else "") for name in names
    )
    caption = f"Test accuracy in %, mean over seeds [95% interval]; change in points, by seed. {describe(done)}."
    table = to_markdown(Table(("step (each keeps those above)", "test accuracy", "change"), cells, caption))
    best = done.groupby("ladder_step")["validation_best"].mean().idxmax()
    answer = (
        f"{done['model'].iloc[-1]} from scratch on {done['data'].iloc[0]}: {means[best].format()} % after "
        f"{settings.recipe.budget()}, with the recipe up to the step {best!r}"
    )
    if not changes:
        return Evidence(f"{answer}.", table)
    return Evidence(
        f"{answer}, the best of {len(names)} by validation accuracy. {sentence(changes)}",
        table,
        {"figure": _figure(done, names, settings)},
    )


def sentence(changes: Mapping[str, Interval]) -> str:
    """Which steps of the ladder changed the accuracy (fractions), and which are not told apart from no change."""
    told = [f"{name} {change.format(sign=True)}" for name, change in changes.items() if change.excludes(0.0)]
    rest = [name for name, change in changes.items() if not change.excludes(0.0)]
    if all(change.n < 2 for change in changes.values()):
        return "With one seed no step is decided."
    if not told:
        return "No step is told apart from no change."
    found = f"Told apart from no change, in points: {'; '.join(told)}."
    return f"{found} Not told apart: {'; '.join(rest)}." if rest else found


def _figure(rows: pd.DataFrame, names: list[str], settings: Scratch) -> Figure:
    from vitlab.report.charts import bars

    spread = "whiskers: 95% interval" if rows["seed"].nunique() > 1 else "one seed: no intervals"
    return bars(
        rows,
        category="ladder_step",
        value="test_best",
        xlabel="test accuracy (%)",
        title=f"A ViT from scratch on {rows['data'].iloc[0]}, one step at a time",
        subtitle=f"{settings.recipe.budget()}; {spread}",
        scale=100,
        digits=1,
        bounds=(0.0, 1.0),
        order=names,
    )


CPU = Recipe(steps=1000, batch_size=64, lr=1e-3, warmup_steps=100, evaluations=5, precision="bf16")
BEST = replace(CPU, steps=12_500, warmup_steps=500, evaluations=10)
LONG = replace(BEST, steps=36_000, evaluations=12)
PRESETS = {
    "quick": Scratch(recipe=Recipe(steps=300, lr=3e-3, warmup_steps=30)),
    "cifar10_cpu": Scratch("cifar10", "Nano", (8, 4), seeds=3, recipe=CPU),
    "cifar10_best_cpu": Scratch("cifar10", "Micro", (8, 4), ("mean pooling",), seeds=2, recipe=BEST),
    "cifar10_long_cpu": Scratch("cifar10", "Micro", (8, 4), ("mean pooling", "stochastic depth"), seeds=1, recipe=LONG),
    "cifar10": Scratch(
        "cifar10",
        "Small",
        (8, 4),
        seeds=3,
        recipe=Recipe(
            steps=40_000, batch_size=512, lr=1e-3, warmup_steps=1000, evaluations=20, precision="bf16", compile=True
        ),
    ),
}

STUDY = Study(
    name="scratch",
    question="Why is a ViT from scratch so bad on small images, and which part of the recipe helps?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
