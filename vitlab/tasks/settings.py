"""What a run can be asked to do, as plain values. This module imports no torch, so that a plan can be made without
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vitlab.errors import suggest

Optimizer = Literal["adamw", "adam", "sgd"]
Decay = Literal["matrices", "kernels"]
Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["fp32", "bf16"]
Loss = Literal["softmax", "sigmoid"]
Positions = Literal["interpolate", "fresh"]
Target = Literal["mean_color", "downsized", "pixels"]
TARGETS: tuple[Target, ...] = get_args(Target)


@cache
def choices(kind: type) -> dict[str, tuple[str, ...]]:
    """The words that each setting of a Literal type allows, for a class of settings."""
    hints = get_type_hints(kind)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def check_choices(settings: Any) -> None:
    """Raise ValueError, with the nearest word, for a setting whose word is not allowed: JSON knows no types."""
    kind: type = type(settings)
    for what, allowed in choices(kind).items():
        given = getattr(settings, what)
        if given not in allowed:
            raise ValueError(f"Unknown {what} {given!r}; allowed: {', '.join(allowed)}.{suggest(str(given), allowed)}")


@dataclass(frozen=True)
class Recipe:
    """How a training is done: its budget, its optimiser, what it sees and how often it is looked at."""

    steps: int = 400
    """Optimiser steps, rounded so that the evaluations cut them into equal rounds."""
    epochs: float | None = None
    """The budget as epochs over the run's own train subset, in place of steps."""
    batch_size: int = 64
    """Images of a step."""
    optimizer: Optimizer = "adamw"
    """adamw (decoupled decay), adam (decay as an L2 penalty), or sgd with momentum 0.9."""
    lr: float = 1e-3
    """Peak learning rate, which follows the warm-up."""
    weight_decay: float = 0.05
    """Weight decay of the parameters that `decay` names."""
    decay: Decay = "matrices"
    """matrices: all but vectors, so class token and positions too; kernels: linear maps and convolutions alone."""
    schedule: Schedule = "cosine"
    """The rate after the warm-up: down to zero as a cosine or linear, or constant."""
    warmup_steps: int = 40
    """Steps of linear warm-up, at most half of all steps."""
    grad_clip: float = 1.0
    """Largest global norm of the gradient; 0 clips nothing."""
    augment: tuple[str, ...] = ()
    """Augmentations, in this order: crop flip shift cutout erasing color mixup cutmix trivial."""
    evaluations: int = 10
    """Looks at the validation split, evenly spaced; the best of them is the model that counts (early stopping)."""
    precision: Precision = "fp32"
    """fp32, or bf16 (mixed); part of the recipe, not of the machine, because it changes the numbers."""
    compile: bool = False
    """Train through torch.compile."""

    def __post_init__(self) -> None:
        check_choices(self)
        for what in ("steps", "batch_size", "evaluations"):
            if getattr(self, what) < 1:
                raise ValueError(f"{what} is {getattr(self, what)}; give a whole number from 1 on.")
        for what in ("weight_decay", "warmup_steps", "grad_clip"):
            if not getattr(self, what) >= 0:
                raise ValueError(f"{what} is {getattr(self, what)}; give 0 or more.")
        for what in ("lr", "epochs"):
            if not (getattr(self, what) is None or getattr(self, what) > 0):
                raise ValueError(f"{what} is {getattr(self, what)}; give a number above 0.")

    def rounds(self, train_size: int) -> tuple[int, int]:
        """Return (number of rounds, steps in each): training is cut into equal rounds with one evaluation after
        each.
        """
        steps = self.steps if self.epochs is None else math.ceil(self.epochs * train_size / self.batch_size)
        rounds = max(1, min(self.evaluations, steps))
        return rounds, max(1, round(steps / rounds))

    def budget(self) -> str:
        """The length of a training in words: `798 steps of 64 images`, after cutting into rounds, or `7 epochs`."""
        if self.epochs is not None:
            return f"{self.epochs:g} epochs"
        return f"{math.prod(self.rounds(0)):,} steps of {self.batch_size} images"


@dataclass(frozen=True)
class Classify:
    """Supervised training, from scratch or from `init` (then it is fine-tuning)."""

    loss: Loss = "softmax"
    """Cross-entropy: softmax, or the sigmoid one that the authors use upstream."""
    label_smoothing: float = 0.0
    """Share of a target that is spread over all classes."""
    positions: Positions = "interpolate"
    """Those learned at another resolution: interpolate (section 3.2), or fresh, drawn anew as a control."""

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing:g} must be a share, from 0 to below 1.")


@dataclass(frozen=True)
class MaskedPatch:
    """Self-supervision by masked patch prediction (sections 4.6 and B.1.2).

    Corrupted patches that are neither masked nor swapped keep their embedding.
    """

    ratio: float = 0.5
    """Share of the patch embeddings that is corrupted."""
    mask: float = 0.8
    """Share of these that becomes the learned [mask]."""
    swap: float = 0.1
    """Share of these that becomes another patch's embedding of the same image."""
    target: Target = "mean_color"
    """What is predicted: mean_color (3 bits a channel), downsized (4 x 4 of them), or pixels."""

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 < self.ratio <= 1:
            raise ValueError(f"ratio={self.ratio:g} must be a share of the patches, above 0 and at most 1.")
        if min(self.mask, self.swap) < 0 or self.mask + self.swap > 1 + 1e-9:
            raise ValueError(
                f"mask={self.mask:g} and swap={self.swap:g} must be shares of the corrupted patches: none below 0, "
                "together at most 1."
            )


@dataclass(frozen=True)
class FewShot:
    """Regularised least squares on frozen features of `shots` images a class (section 4.1).

    `draws` is the number of random draws; at 1 shot more are added, up to `max_draws`, until the 95% interval is
    narrower than `width` (accuracy in [0, 1]). `l2` lists the regularisers that are evaluated; with more than one, the
    one reported is chosen on held-out shots of the train set.
    """

    shots: tuple[int, ...] = (1, 5, 10, 25)
    draws: int = 3
    max_draws: int = 100
    width: float = 0.02
    l2: tuple[float, ...] = (1024.0,)

    def __post_init__(self) -> None:
        if not self.shots or min(self.shots) < 1 or not self.l2 or min(self.l2) <= 0:
            raise ValueError(
                f"shots={self.shots} and l2={self.l2}: give numbers of images from 1 on, and regularisers above 0."
            )
        if self.draws < 1 or self.max_draws < 1 or not self.width > 0:
            raise ValueError(
                f"draws={self.draws}, max_draws={self.max_draws}, width={self.width:g}: draws are whole numbers from 1 "
                "on, the width is above 0."
            )


@dataclass(frozen=True)
class LinearProbe:
    """Multinomial logistic regression on frozen features of all training images."""

    positions: Literal["interpolate", "zero"] = "interpolate"
    """zero: features of the weights with zeros in place of their position embeddings, to see what these are worth."""

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True)
class NearestNeighbours:
    """k-nearest neighbours by cosine similarity on frozen features of all training images."""

    k: int = 20

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k={self.k}; give a whole number of neighbours from 1 on.")


@dataclass(frozen=True)
class Inspect:
    """Attention distances over `images` test images, and position embeddings, of a training's weights (section 4.5)."""

    images: int = 128

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"images={self.images}; give a whole number from 1 on.")


@dataclass(frozen=True)
class Floors:
    """What a model has to beat, without one: always saying the commonest class of the training images, and their
    nearest neighbour on pixels."""


Task = Classify | MaskedPatch | FewShot | LinearProbe | NearestNeighbours | Inspect | Floors
TASKS: dict[str, type] = {
    "classify": Classify,
    "masked_patch": MaskedPatch,
    "few_shot": FewShot,
    "linear_probe": LinearProbe,
    "nearest_neighbours": NearestNeighbours,
    "inspect": Inspect,
    "floors": Floors,
}
TRAINING = (Classify, MaskedPatch)


def task_name(task: Task) -> str:
    """The word that rows and run descriptions use for a task."""
    return next(name for name, kind in TASKS.items() if isinstance(task, kind))
