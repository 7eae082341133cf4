"""Why is my ViT so bad on CIFAR? A plain ViT from scratch, and its recipe taken apart one step at a time.

    python -m experiments.scratch                                              # 1,149 digits: minutes
    python -m experiments.scratch --preset cifar10_long_cpu --data images/cifar10  # two steps of it, 47 epochs

The ladder begins with what tutorials do (large patches, Adam at a constant rate, no augmentation) and changes one thing
at a time, keeping what came before. Every step has as many optimiser steps and the same seeds. It was not tuned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.data.sources import set_name
from vitlab.errors import suggest
from vitlab.report.families import family
from vitlab.runs.rows import labelled
from vitlab.runs.run import Run
from vitlab.study.plan import changed, grid
from vitlab.study.settings import Settings, data_of
from vitlab.study.study import Study, main
from vitlab.tasks.settings import Recipe
from . import recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence

REACHES = "a plain ViT from scratch reaches {exact}%"
SLIDES = Claim(
    "scratch.slides", "slides", "a plain ViT from scratch passes 71.36% on CIFAR-10", bound=0.7136, unit="%", digits=2,
    paper="71.36", says={"holds": f"{REACHES}, above the slides' 71.36", "does not hold": f"{REACHES}, below 71.36"},
)  # fmt: skip


@dataclass(frozen=True)
class Scratch(Settings):
    """Settings of the study, with one model."""

    coarse: int = 4
    """Patch size in pixels before the step "smaller patches"; --patch is that after it."""
    ladder: tuple[str, ...] = ()
    """Steps of the ladder to train; all by default."""
    models: tuple[str, ...] = ("ViT",)
    """The one ViT that climbs the ladder: ViT in the one of --sizes, or an exact name such as ViT-Ti/4."""


CPU = replace(recipes.CIFAR_SHORT, steps=1000, lr=1e-3, warmup_steps=100, evaluations=5, augment=())
BEST = replace(CPU, steps=12_500, warmup_steps=500, evaluations=10)
LONG = replace(BEST, steps=36_000, evaluations=12)
NANO = Scratch("cifar10", sizes=("Nano",), patch=4, coarse=8, recipe=CPU)
MICRO = replace(NANO, sizes=("Micro",))
PRESETS = {
    "quick": Scratch(recipe=Recipe(steps=300, lr=3e-3, warmup_steps=30)),
    "cifar10_cpu": NANO,
    "cifar10_best_cpu": replace(MICRO, ladder=("mean pooling",), seeds=2, recipe=BEST),
    "cifar10_long_cpu": replace(MICRO, ladder=("mean pooling", "stochastic depth"), recipe=LONG),
    "cifar10": replace(NANO, sizes=("Small",), recipe=replace(recipes.CIFAR_GPU, steps=40_000, lr=1e-3, augment=())),
}


def ladder(settings: Scratch) -> dict[str, Run]:
    """Each step of the ladder by its name, as a Run of seed 0; a step keeps all changes of those before it.

    Raises:
        ValueError: for another model than one ViT.
    """
    names = settings.model_names()
    if len(names) != 1 or family(names[0]) != "ViT":
        raise ValueError(
            f"The ladder is climbed by one ViT, and asked for are {', '.join(names) or 'none'}; give --models ViT with "
            "one of --sizes, or one name such as ViT-Ti/4."
        )
    (fine,) = settings.bare()
    full, clipped = settings.recipe, {"recipe.grad_clip": 1.0}
    plain = {"recipe.optimizer": "adam", "recipe.weight_decay": 0.0, "recipe.schedule": "constant"}
    plain |= {"recipe.warmup_steps": 0, "recipe.grad_clip": 0.0, "recipe.augment": ()}
    steps = {"tutorial": changed(fine, {"model": f"{fine.model.partition('/')[0]}/{settings.coarse}", **plain})}
    changes: dict[str, dict[str, Any]] = {
        "smaller patches": {"model": fine.model},
        "warm-up and cosine": {"recipe.schedule": "cosine", "recipe.warmup_steps": full.warmup_steps} | clipped,
        "weight decay": {"recipe.optimizer": "adamw", "recipe.weight_decay": full.weight_decay},
        "crop and flip": {"recipe.augment": ("crop", "flip")},
        "label smoothing": {"task.label_smoothing": 0.1},
        "mean pooling": {"options.pooling": "gap"},
        "stochastic depth": {"options.drop_path": 0.1},
        "colour, shear and erasing": {"recipe.augment": ("crop", "flip", "trivial", "erasing")},
    }
    for name, change in changes.items():
        steps[name] = changed(list(steps.values())[-1], change)
    return steps


def plan(settings: Scratch) -> list[Run]:
    """Every chosen step of the ladder with every seed, seed by seed."""
    steps = ladder(settings)
    for name in settings.ladder:
        if name not in steps:
            raise ValueError(f"There is no step {name!r}; allowed: {', '.join(steps)}.{suggest(name, steps)}")
    data, _ = data_of(settings.data, image_size=settings.image_size)
    chosen = [replace(run, data=data) for name, run in steps.items() if name in (settings.ladder or steps)]
    return grid(chosen, {"seed": range(settings.seeds)})


def draw(rows: pd.DataFrame, settings: Scratch) -> Evidence:
    """Accuracy at each step of the ladder with its interval, and what each step changed."""
    from vitlab.report.build import bars, gap_row, pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    steps = labelled(rows, "step of the ladder", ladder(settings))
    test = steps[steps["split"] == "test"]
    climbed = [name for name in ladder(settings) if name in set(test["step of the ladder"])]
    frame = pivot(test, "step of the ladder", "split").rename(columns={"test": "accuracy"}).loc[climbed]
    gaps = (gap_row(test, after, before, "split", by="step of the ladder") for before, after in pairwise(climbed))
    frame["change"] = ["", *(gap.reindex(columns=["test"]).iloc[0, 0] for gap in gaps)]
    caption = f"Test accuracy in %; each step keeps those above; change in points, by seed. {describe(test)}."
    table = Table("ladder", frame, caption)
    title = f"A ViT from scratch on {test['title'].iloc[0]}, one step at a time"
    figure = bars(test, category="step of the ladder", title=title, ylabel="test accuracy (%)", order=climbed)
    return Evidence(verdicts(steps), (table,), {"figure": figure} if len(climbed) > 1 else {})


def verdicts(steps: pd.DataFrame) -> tuple[Verdict, ...]:
    """Whether the step with the best validation accuracy passes the slides' number, on CIFAR-10 alone."""
    from vitlab.claims.compare import judged
    from vitlab.claims.statistics import per_seed, sampling_error

    if steps["data.name"].iloc[0] != "cifar10":
        return ()
    validation = steps[steps["split"] == "validation"]
    best = validation.groupby("step of the ladder")["score"].mean().idxmax()
    test = steps[(steps["split"] == "test") & (steps["step of the ladder"] == best)]
    length = {"step": best, "steps": f"{test['steps'].iloc[0]:,}"}
    return (judged(SLIDES, per_seed(test), [test], sampling=sampling_error(test), about=length),)


def folder(settings: Scratch) -> str:
    """Where the evidence goes: the data's name with the length of training, so that ladders stand side by side."""
    steps, epochs = settings.recipe.steps, settings.recipe.epochs
    return f"{set_name(settings.data)}_" + (f"{steps}_steps" if epochs is None else f"{epochs:g}_epochs")


STUDY = Study(
    name="scratch",
    section="-",
    question="Why is a ViT from scratch so bad on small images, and which part of the recipe helps?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(SLIDES,),
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
