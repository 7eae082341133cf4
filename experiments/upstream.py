"""What the studies of transfer share: pre-training on an upstream set, and fine-tuning by the paper's recipe (Table 4).

A set may be limited to some of its classes: `digits@3,5,8` are the images of those three.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from vitlab.report.names import family

from experiments.data_scaling import FAMILIES
from vitlab.runs.run import Data, Run
from vitlab.study import data_of
from vitlab.tasks.settings import Classify, Positions, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.data.info import DataInfo

RATES = (0.001, 0.003, 0.01, 0.03)
SGD = Recipe(steps=500, batch_size=512, optimizer="sgd", lr=0.0, weight_decay=0.0, warmup_steps=0, grad_clip=1.0)
SGD_CPU = replace(SGD, steps=100, batch_size=64, evaluations=1, precision="bf16")  # for a thousand images on two cores
RATES_CPU = (0.01, 0.03)
KEYS = ("model", "data", "train_size", "image_size", "positions")


@dataclass(frozen=True)
class Upstream:
    """Settings that the studies of transfer have in common."""

    upstream: str = "digits@0,1,2,4,6,7,9"
    """Pre-training set: a card, a folder or a local copy; `name@0,1,2` keeps only those classes."""
    downstream: tuple[str, ...] = ("digits@3,5,8", "digits@3,5,7,8,9", "digits")
    """Sets to transfer to, written in the same way."""
    models: tuple[str, ...] = FAMILIES
    """Families (ViT HybridViT ResNet), taken in each of `sizes`, or exact names such as ViT-Ti/4."""
    sizes: tuple[str, ...] = ("Pico",)
    """Sizes of the small-image families: Pico Nano Micro Mini Small."""
    patch: int = 2
    """Patch size of the ViTs in pixels, and the hybrids' pixels per token."""
    image_size: int | None = None
    """Pixels of pre-training (and of frozen features); by default those of the upstream set."""
    upstream_size: int | None = None
    """Number of pre-training images; by default all."""
    seeds: int = 3
    """Repetitions of everything: pre-training, draws, subsets, fine-tuning."""
    pretrain: Recipe = Recipe(lr=0.0)
    """Recipe of pre-training; a rate of 0 takes that of `learning_rates`."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Peak rate of pre-training by family."""
    finetune: Recipe = SGD
    """Recipe of fine-tuning; its rate is one of `rates`."""
    rates: tuple[float, ...] = RATES
    """Fine-tuning rates; the one with the best mean accuracy on the validation split counts."""
    checkpoint: str = ""
    """Evaluate these weights instead (anything that vitlab.models.load reads); name their model with --models."""


@dataclass(frozen=True)
class Start:
    """Weights to start from: the run (or source) that gives them, their model, and the seed that goes on from them."""

    model: str
    init: Run | str
    seed: int


@cache
def _described(place: str) -> tuple[Data, DataInfo]:
    """A plan asks for each set many times over, and looking at a folder of images takes a moment."""
    return data_of(place)


def some_classes(source: str, **about: Any) -> tuple[Data, DataInfo]:
    """Describe `source`, written as `name` or `name@0,1,2`, without decoding it.

    Raises:
        ValueError: for a set that there is not, and for classes that are no numbers of its classes.
    """
    place, _, words = source.partition("@")
    data, info = _described(place)
    data = replace(data, **about)
    if not words:
        return data, info
    classes = tuple(int(word) if word.strip().isdigit() else -1 for word in words.split(","))
    if len(classes) < 2 or not all(0 <= c < info.num_classes for c in classes):
        raise ValueError(
            f"Cannot read the classes of {source!r}; write two or more numbers from 0 to {info.num_classes - 1} after "
            f"the @, as in {place}@0,1."
        )
    return replace(data, name=f"{data.name}@{words}", classes=classes), info


def starts(settings: Upstream, names: Sequence[str]) -> list[Start]:
    """The weights that a study transfers: `settings.checkpoint`, or each model pre-trained with each seed.

    Raises:
        ValueError: for data that cannot be had, and for a checkpoint of unknown model.
    """
    if settings.checkpoint:
        if len(names) != 1:
            raise ValueError(
                f"--checkpoint needs the one name of its model, as in --models ViT-B/16; there are {len(names)} names: "
                f"{', '.join(names)}."
            )
        return [Start(names[0], settings.checkpoint, seed) for seed in range(settings.seeds)]
    data, _ = some_classes(settings.upstream, image_size=settings.image_size, train_size=settings.upstream_size)
    return [
        Start(name, Run(name, replace(data, subset_seed=seed), _pretraining(settings, name), seed=seed), seed)
        for seed in range(settings.seeds)
        for name in names
    ]


def _pretraining(settings: Upstream, name: str) -> Recipe:
    rate = settings.pretrain.lr or settings.learning_rates.get(family(name), 1e-3)
    return replace(settings.pretrain, lr=rate)


def evidence_folder(settings: Upstream) -> str:
    """The name under which evidence is kept: that of the upstream set, without its classes."""
    return "checkpoint" if settings.checkpoint else some_classes(settings.upstream)[0].name.partition("@")[0]


def native_size(settings: Upstream) -> int:
    """Pixels of pre-training."""
    return settings.image_size or some_classes(settings.upstream)[1].image_size


def fine_tunings(settings: Upstream, start: Start, data: Data, positions: Positions = "interpolate") -> list[Run]:
    """Fine-tuning from `start` on `data`, once with each rate."""
    task = Classify(positions=positions)
    return [
        Run(start.model, data, replace(settings.finetune, lr=rate), task, start.seed, start.init)
        for rate in settings.rates
    ]


def fine_tuned(rows: pd.DataFrame) -> pd.DataFrame:
    """Of finished fine-tunings, those with the rate of the best mean validation accuracy, for each model and data.

    Ties go to the smaller rate. The test accuracy plays no part.
    """
    rows = rows[(rows["task"] == "classify") & rows["init"].notna()]
    keys = [name for name in KEYS if name in rows.columns]
    means = rows.groupby([*keys, "lr"], dropna=False)["validation_best"].mean().reset_index()
    best = means.sort_values(["validation_best", "lr"], ascending=[False, True]).drop_duplicates(keys)
    return rows.merge(best[[*keys, "lr"]], on=[*keys, "lr"], how="inner")
