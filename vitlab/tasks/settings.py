"""What a run can be asked to do, as plain values. This module imports no torch, so that a plan can be made without
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vitlab.errors import suggest

CHOICES = {
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "linear", "constant"),
    "precision": ("fp32", "bf16"),
}


@dataclass(frozen=True)
class Recipe:
    """How a training is done. The budget is `steps`, or `epochs` over the run's own train subset where that is set.

    `evaluations` is the number of looks at the validation split, evenly spaced; the best of them is the model that
    counts (early stopping). `lr` is the peak rate, after `warmup_steps` of linear warm-up. `precision` is "fp32" or
    "bf16" (mixed) and belongs here, not to the machine, because it changes the numbers.
    """

    steps: int = 400
    epochs: float | None = None
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    schedule: str = "cosine"
    warmup_steps: int = 40
    grad_clip: float = 1.0
    augment: tuple[str, ...] = ()
    evaluations: int = 10
    precision: str = "fp32"
    compile: bool = False

    def __post_init__(self) -> None:
        for what, allowed in CHOICES.items():
            given = getattr(self, what)
            if given not in allowed:
                raise ValueError(f"Unknown {what} {given!r}; allowed: {', '.join(allowed)}.{suggest(given, allowed)}")
        for what in ("steps", "batch_size", "evaluations"):
            if getattr(self, what) < 1:
                raise ValueError(f"{what} is {getattr(self, what)}; give a whole number from 1 on.")

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
    """Supervised training, from scratch or from `init` (then it is fine-tuning).

    `loss`: "softmax" cross-entropy, or the "sigmoid" cross-entropy that the authors use upstream. `positions` says what
    becomes of learned position embeddings when `init` was trained at another resolution: "interpolate" (section 3.2) or
    "fresh" (drawn anew, the control).
    """

    loss: str = "softmax"
    label_smoothing: float = 0.0
    positions: str = "interpolate"


TARGETS = ("mean_color", "downsized", "pixels")


@dataclass(frozen=True)
class MaskedPatch:
    """Self-supervision by masked patch prediction (sections 4.6 and B.1.2).

    `ratio` of the patch embeddings is corrupted: `mask` of them become the learned [mask], `swap` another patch's
    embedding of the same image, the rest stay. `target`: "mean_color", "downsized" or "pixels".
    """

    ratio: float = 0.5
    mask: float = 0.8
    swap: float = 0.1
    target: str = "mean_color"

    def check(self) -> None:
        """Raise ValueError for an unknown target and for rates that cannot be."""
        if self.target not in TARGETS:
            raise ValueError(
                f"Unknown target {self.target!r}; allowed: {', '.join(TARGETS)}.{suggest(self.target, TARGETS)}"
            )
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


@dataclass(frozen=True)
class LinearProbe:
    """Multinomial logistic regression on frozen features of all training images.

    `positions`: "interpolate", or "zero" for features of the weights without their position embeddings.
    """

    positions: str = "interpolate"


@dataclass(frozen=True)
class NearestNeighbours:
    """k-nearest neighbours by cosine similarity on frozen features of all training images."""

    k: int = 20


@dataclass(frozen=True)
class Inspect:
    """Attention distances over `images` test images, and position embeddings, of a training's weights (section 4.5)."""

    images: int = 128


Task = Classify | MaskedPatch | FewShot | LinearProbe | NearestNeighbours | Inspect
TASKS: dict[str, type] = {
    "classify": Classify,
    "masked_patch": MaskedPatch,
    "few_shot": FewShot,
    "linear_probe": LinearProbe,
    "nearest_neighbours": NearestNeighbours,
    "inspect": Inspect,
}
TRAINING = (Classify, MaskedPatch)


def task_name(task: Task) -> str:
    """The word that rows and run descriptions use for a task."""
    return next(name for name, kind in TASKS.items() if isinstance(task, kind))
