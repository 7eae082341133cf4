"""What every study is asked: which data, which models, how many seeds, which recipe. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vitlab.data.words import parted
from vitlab.errors import suggest
from vitlab.report.families import called, family
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Recipe

if TYPE_CHECKING:
    from vitlab.data.info import DataInfo

FAMILIES = ("ViT", "HybridViT", "ResNet")
SMALL_SIZES = ("Pico", "Nano", "Micro", "Mini", "Small")
PATCHES = (1, 2, 4, 7, 8, 14, 16, 32)


@dataclass(frozen=True)
class Settings:
    """Settings that all studies share."""

    data: str = "digits"
    """A card of data/, a folder of class folders, or a local copy in the hub's parquet layout; `name@0,1,2` keeps only
    those classes."""
    models: tuple[str, ...] = FAMILIES
    """Families (ViT HybridViT ResNet), taken in each of --sizes, or exact names such as ViT-Ti/4."""
    sizes: tuple[str, ...] = ("Pico",)
    """Sizes of the small-image families: Pico Nano Micro Mini Small."""
    patch: int = 2
    """Patch size of the ViTs in pixels, and the hybrids' pixels per token."""
    image_size: int | None = None
    """Pixels; by default the data's own."""
    seeds: int = 3
    """Repetitions, each with a subset and weights of its own."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Peak rate of each family, or of a size or a model by its name, as in --learning_rates.ViT 0.003 or
    --learning_rates.ViT-Micro 0.0003; one that has none here takes --lr."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"--seeds is {self.seeds}; give a whole number from 1 on.")
        if self.image_size is not None and self.image_size < 1:
            raise ValueError(f"--image_size is {self.image_size}; give a whole number of pixels from 1 on.")
        for word in self.models:
            if word not in FAMILIES and not re.search(r"[-\d]", word):
                raise ValueError(
                    f"There is no model {word!r}.{suggest(word, FAMILIES)} Allowed: {', '.join(FAMILIES)} (in each of "
                    "--sizes), or exact names such as ViT-Ti/4, ResNet-Nano or R50x1."
                )
        for name in self.learning_rates:
            if family(name) not in FAMILIES and name not in self.models:
                raise ValueError(
                    f"--learning_rates names {name!r}.{suggest(name, FAMILIES)} Allowed: {', '.join(FAMILIES)}, "
                    "sizes of them such as ViT-Micro, or exact names of models."
                )
        for word in self.sizes:
            if word not in SMALL_SIZES:
                raise ValueError(
                    f"There is no size {word!r}.{suggest(word, SMALL_SIZES)} Allowed: {', '.join(SMALL_SIZES)}."
                )
        if self.patch not in PATCHES:
            raise ValueError(f"--patch is {self.patch}; allowed: {', '.join(map(str, PATCHES))} px.")

    def model_names(self) -> list[str]:
        """The exact names of the models that are asked for."""
        found: list[str] = []
        for word in self.models:
            tokens = "" if word == "ResNet" else f"/{self.patch}"
            found += [f"{word}-{size}{tokens}" for size in self.sizes] if word in FAMILIES else [word]
        return found

    def recipe_of(self, model: str) -> Recipe:
        """The recipe with the rate of the model, or of its size, or of its family."""
        rates = (self.learning_rates[name] for name in called(model) if name in self.learning_rates)
        return replace(self.recipe, lr=next(rates, self.recipe.lr))

    def bare(self) -> list[Run]:
        """A training of each model with seed 0, on no data yet: all that the settings say without looking at images.

        Raises:
            ValueError: for no model at all.
        """
        if not self.model_names():
            raise ValueError(
                f"There is no model; give --models some of {', '.join(FAMILIES)}, each in one of --sizes, or exact "
                "names such as ViT-Ti/4."
            )
        return [Run(name, Data(""), self.recipe_of(name)) for name in self.model_names()]

    def templates(self) -> list[Run]:
        """A training of each model on all images, with seed 0: what grids start from.

        Raises:
            ValueError: if there is no such data.
        """
        data, _ = data_of(self.data, image_size=self.image_size)
        return [replace(run, data=data) for run in self.bare()]


def check_families(option: str, names: Iterable[str]) -> None:
    """Raise ValueError where `option` names something else than a family of models."""
    for name in names:
        if name not in FAMILIES:
            raise ValueError(f"--{option} names {name!r}.{suggest(name, FAMILIES)} Allowed: {', '.join(FAMILIES)}.")


@dataclass(frozen=True)
class Sized(Settings):
    """Settings of studies that vary the number of training images."""

    train_sizes: tuple[int, ...] = ()
    """Numbers of training images; by default all."""
    steps_by_size: Mapping[int, int] = field(default_factory=dict)
    """Optimiser steps at a train size, as in --steps_by_size.500 3000; the others take --steps."""

    def at_size(self, run: Run) -> Run:
        """`run` with as many steps as its train size asks for, fine-tuning in proportion; all else is the same."""
        asked = self.steps_by_size.get(run.data.train_size or 0, self.recipe.steps)
        steps = max(1, round(run.recipe.steps * asked / self.recipe.steps))
        return replace(run, recipe=replace(run.recipe, steps=steps))

    def checked_sizes(self) -> tuple[int | None, ...]:
        """The train sizes, None for all images.

        Raises:
            ValueError: for a size below the number of classes, or above the train split's.
        """
        check_sizes("train_sizes", self.data, self.train_sizes)
        return self.train_sizes or (None,)


def check_sizes(option: str, source: str, sizes: Iterable[int | None]) -> None:
    """Raise ValueError for a size of `option` below the number of classes of `source`, or above its train split's."""
    from vitlab.data.splits import check_train_size

    data, info = data_of(source)
    known = info.only(data.classes)
    for size in sizes:
        try:
            check_train_size(known.sizes["train"] if size is None else size, known.sizes["train"], known.num_classes)
        except ValueError as error:
            raise ValueError(f"--{option}: {error}") from None


@cache
def _described(where: str) -> tuple[Data, DataInfo]:
    """A plan asks for each set many times over, and looking at a folder of images takes a moment."""
    from vitlab.data.info import describe

    info = describe(where)
    return Data(info.name, fingerprint=info.fingerprint or "", source=where), info


def data_of(source: str, **about: Any) -> tuple[Data, DataInfo]:
    """Describe the images of `source`, written as `name` or `name@0,1,2`, without decoding any.

    Raises:
        ValueError: for a set that there is not, and for classes that are no numbers of its classes.
    """
    where, words = parted(source)
    data, info = _described(where)
    data = replace(data, **about)
    if not words:
        return data, info
    classes = tuple(int(word) if word.strip().isdigit() else -1 for word in words.split(","))
    if len(classes) < 2 or not all(0 <= c < info.num_classes for c in classes):
        raise ValueError(
            f"Cannot read the classes of {source!r}; write two or more numbers from 0 to {info.num_classes - 1} after "
            f"the @, as in {where}@0,1."
        )
    return replace(data, name=f"{data.name}@{words}", classes=classes), info


def shares_of(option: str, source: str, shares: Sequence[float], **about: Any) -> tuple[Data, list[int | None]]:
    """The images of `source`, and the number of training images that each share of them is (None: all).

    Raises:
        ValueError: for a share of `option` above 1, or one that leaves classes without an image.
    """
    data, info = data_of(source, **about)
    known = info.only(data.classes)
    total = known.sizes["train"]
    for share in shares:
        if not known.num_classes / total <= share <= 1:
            raise ValueError(
                f"--{option} has {share:g}, and such a share of the training images of {data.name} cannot be had; give "
                f"one between {known.num_classes / total:.3g} (one image a class) and 1."
            )
    return data, [None if share == 1 else round(share * total) for share in shares]
