"""Optimisers and learning-rate schedules of the paper's Tables 3 and 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from vitlab.tasks.settings import Decay, Recipe


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW with decoupled decay, Adam, or SGD with momentum 0.9; `recipe.decay` says what decays."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    chosen = {id(p) for p in decaying(model, recipe.decay)}
    groups = [
        {"params": [p for p in parameters if id(p) in chosen], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if id(p) not in chosen], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.999), fused=True)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, betas=(0.9, 0.999), fused=True)
    whole = not any(isinstance(p, DTensor) for p in parameters)  # torch has no fused SGD for shards.
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, fused=whole)


def decaying(model: nn.Module, decay: Decay) -> list[Tensor]:
    """The parameters that weight decay acts on.

    "matrices": all with more than one dimension; in a ViT the tables of positions and the class token are among them.
    "kernels": the weights of linear maps and convolutions alone, as big_vision's default has it (".*/kernel$").
    """
    if decay == "matrices":
        return [p for p in model.parameters() if p.ndim > 1]
    return [module.weight for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def schedule(recipe: Recipe, steps: int) -> Callable[[int], float]:
    """The factor on the peak rate at each step: linear warm-up, then cosine or linear decay to zero, or no decay."""
    return partial(_factor, recipe.schedule, min(recipe.warmup_steps, steps // 2), steps)


def _factor(kind: str, warmup: int, steps: int, step: int) -> float:
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[kind]
