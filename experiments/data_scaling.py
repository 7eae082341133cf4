"""Data requirements (section 4.3, Figures 3 and 4): ViT or CNN, when there are this many images?

    python -m experiments.data_scaling                                      # 1,797 digits, no network
    python -m experiments.data_scaling --preset cifar10_cpu                 # CIFAR-10 on two cores
    python -m experiments.data_scaling --data path/to/folder_of_class_folders

For each model, train-set size and seed: train on a class-stratified subset, choose the evaluation with the best
validation accuracy (the early stopping of Figure 4) and report test accuracy once. As in Figure 4 the recipe is the
same at every size. Subsets are nested, and the subset's seed is not the weights' seed. `--measure few_shot` is Figure 4
itself: the subsets are upstream, and what counts is few-shot linear accuracy on `downstream` sets.

Record (results/data_scaling): the first command takes about 2.5 minutes on two cores of an AMD EPYC; the ResNet
leads at every size and the gap shrinks with every doubling up to 800 digits. On cores of an Intel Xeon with AMX,
`cifar10_cpu` is 2.5 hours of training in all (one process after the other): the ResNet leads at every size among the
Pico models, and up to 2,000 images among the Nano ones, where beyond that three seeds do not tell; no gap shrinks.
`tiny_imagenet_cpu`, Figure 4 itself, is 1.1 hours without the hybrid: the ViTs lead at every size, against the paper,
for 800 steps teach the ResNets next to nothing of 200 classes; after 4,000 (one seed) they are close. The peak rates
are those of `experiments.tuning`, by validation accuracy alone, with as many trials for each family: 16 on the digits,
5 and 4 on CIFAR-10 (2,000 and 49,000 images), 15 on Tiny-ImageNet (95,000); the Pico models take the Nano models' rates
there and on CIFAR-10; those of the GPU presets are not tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Protocol

import tyro

from experiments import data_scaling_evidence as evidence
from vitlab.report.names import family
from vitlab.runs.run import Data, Run
from vitlab.study import Evidence, Study, check_train_sizes, data_of, main, titled
from vitlab.tasks.settings import FewShot, Recipe

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = ("ViT", "HybridViT", "ResNet")


@dataclass(frozen=True)
class DataScaling:
    """Settings of the study."""

    data: str = "digits"
    """A card of data/, a folder of class folders, or a local copy in the hub's parquet layout."""
    models: tuple[str, ...] = FAMILIES
    """Families (ViT HybridViT ResNet), taken in each of `sizes`, or exact names such as ViT-Ti/4."""
    sizes: tuple[str, ...] = ("Pico",)
    """Sizes of the small-image families: Pico Nano Micro Mini Small."""
    patch: int = 2
    """Patch size of the ViTs in pixels, and the hybrids' pixels per token."""
    train_sizes: tuple[int, ...] = (50, 100, 200, 400, 800, 1149)
    """Numbers of training images."""
    seeds: int = 3
    """Repetitions, each with a subset and weights of its own."""
    image_size: int | None = None
    """Pixels; by default the data's own."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Tuned peak rate of each family, taken where --lr is 0."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe(lr=0.0)
    steps_by_size: Mapping[int, int] = field(default_factory=dict)
    """Optimiser steps at a train size, such as 500: 3000; the others take --steps."""
    measure: str = "test"
    """test: accuracy on the data's own test split; few_shot: few-shot linear accuracy on --downstream."""
    downstream: tuple[str, ...] = ()
    """Data sets of --measure few_shot."""
    name: str = ""
    """The folder under results/, such as one for a longer training; by default the data's name."""


DIGITS = Recipe(steps=300, batch_size=64, lr=0.0, warmup_steps=30, evaluations=10)
CIFAR_CPU = Recipe(
    steps=800, batch_size=64, lr=0.0, warmup_steps=80, evaluations=6, augment=("crop", "flip"), precision="bf16"
)
CIFAR_GPU = Recipe(
    steps=20_000,
    batch_size=512,
    lr=0.0,
    warmup_steps=1000,
    evaluations=20,
    augment=("crop", "flip"),
    precision="bf16",
    compile=True,
)
FIVE_SHOT = FewShot(shots=(5,), draws=10, l2=(1.0, 32.0, 1024.0))
DOWNSTREAM = ("cifar10", "caltech101", "eurosat", "flowers89")
PRESETS = {
    "quick": DataScaling(recipe=DIGITS, learning_rates={"ViT": 1e-2, "HybridViT": 1e-2, "ResNet": 3e-3}),
    "cifar10": DataScaling(
        data="cifar10",
        sizes=("Micro", "Small"),
        patch=4,
        train_sizes=(500, 1000, 2000, 5000, 10_000, 20_000, 49_000),
        seeds=5,
        recipe=CIFAR_GPU,
        learning_rates={"ViT": 1e-3, "HybridViT": 1e-3, "ResNet": 1e-3},
    ),
    "cifar10_cpu": DataScaling(
        data="cifar10",
        sizes=("Pico", "Nano"),
        patch=4,
        train_sizes=(500, 1000, 2000, 5000, 15_000, 49_000),
        seeds=3,
        recipe=CIFAR_CPU,
        learning_rates={"ViT": 1e-3, "HybridViT": 1e-3, "ResNet": 1e-2},
    ),
    "tiny_imagenet": DataScaling(
        data="tiny_imagenet_32",
        measure="few_shot",
        downstream=DOWNSTREAM,
        sizes=("Micro", "Small"),
        patch=4,
        train_sizes=(1000, 3000, 10_000, 30_000, 95_000),
        recipe=CIFAR_GPU,
        learning_rates={"ViT": 1e-3, "HybridViT": 1e-3, "ResNet": 1e-3},
    ),
    "tiny_imagenet_cpu": DataScaling(
        data="tiny_imagenet_32",
        measure="few_shot",
        downstream=DOWNSTREAM,
        sizes=("Pico", "Nano"),
        patch=4,
        train_sizes=(1000, 10_000, 95_000),
        recipe=CIFAR_CPU,
        learning_rates={"ViT": 1e-3, "HybridViT": 3e-4, "ResNet": 1e-2},
    ),
}


class Named(Protocol):
    """Settings that name models."""

    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def sizes(self) -> tuple[str, ...]: ...
    @property
    def patch(self) -> int: ...


def model_names(settings: Named) -> list[str]:
    """The exact names of the models that the settings ask for."""
    found: list[str] = []
    for word in settings.models:
        tokens = "" if word == "ResNet" else f"/{settings.patch}"
        found += [f"{word}-{size}{tokens}" for size in settings.sizes] if word in FAMILIES else [word]
    return found


def plan(settings: DataScaling) -> list[Run]:
    """Seed by seed, so that a study that was stopped early has all sizes of the first seeds."""
    data, info = data_of(settings.data, image_size=settings.image_size)
    check_train_sizes(settings.train_sizes, info)
    trainings = [
        _training(settings, name, replace(data, train_size=size, subset_seed=seed), seed)
        for seed in range(settings.seeds)
        for size in settings.train_sizes
        for name in model_names(settings)
    ]
    if settings.measure == "test":
        return trainings
    if settings.measure != "few_shot" or not settings.downstream:
        raise ValueError(f"--measure is {settings.measure!r}; allowed: test, or few_shot together with --downstream.")
    sets = [data_of(source, image_size=settings.image_size or info.image_size)[0] for source in settings.downstream]
    return [
        Run(run.model, target, task=FIVE_SHOT, seed=run.seed, init=run, options=run.options)
        for run in trainings
        for target in sets
    ]


def _training(settings: DataScaling, name: str, data: Data, seed: int) -> Run:
    rate = settings.recipe.lr or settings.learning_rates.get(family(name), 1e-3)
    return Run(name, data, replace(recipe_at(settings, data.train_size), lr=rate), seed=seed)


def recipe_at(settings: DataScaling, train_size: int | None) -> Recipe:
    """The recipe at a train size: few images need fewer steps than many, and all else is the same."""
    steps = settings.steps_by_size.get(train_size or 0, settings.recipe.steps)
    return replace(settings.recipe, steps=steps)


def draw(rows: pd.DataFrame, settings: DataScaling) -> Evidence:
    """Accuracy against train size with its gap, and what the seeds allow to say about it."""
    done = titled(rows[rows["status"] == "finished"], settings.data, *settings.downstream)
    drawing = evidence.draw_few_shot if settings.measure == "few_shot" else evidence.draw_test
    return drawing(done, settings.recipe)


def folder(settings: DataScaling) -> str:
    """Where the evidence goes: the name asked for, else the data's."""
    return settings.name or data_of(settings.data)[0].name + ("_few_shot" if settings.measure == "few_shot" else "")


STUDY = Study(
    name="data_scaling",
    question="ViT or CNN: how does accuracy grow with the number of training images?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
