"""What a training would take of each process, found on torch's meta device, where nothing is computed or allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from vitlab.models import Count, Model, count, create
from vitlab.runs.run import Run
from vitlab.tasks.settings import TRAINING
from vitlab.tasks.sharding import layers_of

MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1}  # tensors that an optimiser keeps of each weight
FLOAT = 4  # bytes of a weight, of its gradient and of its moments


@dataclass(frozen=True)
class Footprint:
    """Bytes in each process: `kept` (weights, gradients, moments), `together` (what a sharded model puts together at a
    time: what is outside its layers, and two layers), and `activations` of its `images` of each batch.

    `cost` is that of the whole model. Attention that is fused keeps fewer activations than its two products do, which
    are counted here.
    """

    cost: Count
    images: int
    kept: int
    together: int
    activations: int

    @property
    def total(self) -> int:
        """All bytes of a process."""
        return self.kept + self.together + self.activations


def footprint(run: Run, image_size: int, classes: int, strategy: str, processes: int) -> Footprint:
    """What one of `processes` needs that train `run` on images of `image_size` pixels by `strategy`.

    Raises ValueError for a model that there is not, or that images do not fit.
    """
    options = dict(run.options)
    cost = count(run.model, image_size=image_size, num_classes=classes, **options)
    images = math.ceil(run.recipe.batch_size / processes)
    with torch.device("meta"):
        model = create(run.model, image_size=image_size, num_classes=classes, **options).train()
    states = FLOAT * (2 + MOMENTS[run.recipe.optimizer]) * cost.parameters
    sharded = strategy == "fsdp"
    precision = torch.bfloat16 if run.recipe.precision == "bf16" else torch.float32
    return Footprint(
        cost,
        images,
        kept=math.ceil(states / processes) if sharded else states,
        together=_together(model) if sharded else 0,
        activations=_activations(model.to(precision), images),
    )


def lines(runs: Sequence[Run], sizes: Sequence[tuple[int, int]], strategy: str, processes: int) -> list[str]:
    """A line for each model among the trainings, each with its (image size, number of classes) in `sizes`."""
    found: dict[str, None] = {}
    for run, (side, classes) in zip(runs, sizes, strict=True):
        if isinstance(run.task, TRAINING):
            need = footprint(run, side, classes, strategy, processes)
            found[
                f"{run.model} at {side} px: {need.cost.parameters:,} parameters, {3 * need.cost.flops:.2e} training "
                f"FLOPs per image. On each of {processes} devices ({strategy}): up to {_gb(need.total)}, of which "
                f"{_gb(need.kept)} are weights, gradients and moments, {_gb(need.together)} layers put together, and "
                f"{_gb(need.activations)} activations of {need.images:,} images."
            ] = None
    return list(found)


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _together(model: Model) -> int:
    """The weights outside the layers, and those of the two largest layers: one computes, and the next is fetched."""
    layers = sorted(_bytes(layer) for layer in layers_of(model))
    return _bytes(model) - sum(layers) + sum(layers[-2:])


def _bytes(module: nn.Module) -> int:
    return sum(FLOAT * weight.numel() for weight in module.parameters())


def _activations(model: Model, images: int) -> int:
    """Bytes that the forward pass of `images` keeps for the backward pass; `model` is on the meta device."""
    known = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: dict[int, Tensor] = {}  # by their storage, which several tensors may share

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in known:
            kept[storage] = tensor
        return tensor

    weight = next(model.parameters())
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(weight.new_empty(images, model.in_channels, *model.image_size))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
