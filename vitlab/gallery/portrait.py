"""From a model and images to the arrays that its pictures are drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from vitlab.gallery.subjects import Subject
from vitlab.inspection import attention_rollout, cls_attention, principal_filters
from vitlab.models import Inspection, ResNet, ViT
from vitlab.report.inspection import Portrait, View
from vitlab.runs.inspecting import similarity_of

Picture = tuple[str, Tensor, str]  # name, uint8 (3, H, W), the right class or ""
MOST_LAYERS = 6
LARGEST_MATRIX = 224  # beyond that a panel has fewer dots than the matrix has tokens


def portrait(subject: Subject, pictures: Sequence[Picture], *, best: int = 5) -> Portrait:
    """Look at `pictures` through a model, one at a time, so that only one image's attention is in memory.

    Raises ValueError for a ResNet, which has no attention.
    """
    model = subject.model
    if isinstance(model, ResNet):
        raise ValueError(
            f"{subject.source} is a ResNet ({subject.name}), which has no attention to draw: put a ViT or a hybrid "
            "first; a ResNet may follow, for its receptive field."
        )
    views = []
    for name, pixels, truth in pictures:
        with torch.no_grad():
            seen = model.inspect(subject.normalise(pixels[None]))
        views.append(view(subject, model, seen, name, pixels, truth, best))
        del seen  # before the next image makes its own
    tiles = principal_filters(first_filters(model))
    similarity = similarity_of(model)
    n = model.grid[0] * model.grid[1]
    return Portrait(
        subject.name,
        int(model.token_stride),
        model.grid,
        model.prefix_tokens,
        tuple(views),
        filters=(tiles.tiles * 255).round().byte().numpy(),
        explained=tiles.explained.numpy(),
        similarity=None if similarity is None else similarity.reshape(n, n).numpy(),
        hybrid=not isinstance(model.backbone, torch.nn.Identity),
    )


def view(subject: Subject, model: ViT, seen: Inspection, name: str, pixels: Tensor, truth: str, best: int) -> View:
    """One image through the model's eyes."""
    chosen = spread(len(seen.attention))
    kept = [seen.attention[layer] for layer in chosen]
    focus = [focus_of(matrix, model)[0] for matrix in kept]
    shares, classes = seen.logits[0].softmax(-1).topk(min(best, seen.logits.shape[1]))
    return View(
        name,
        pixels.permute(1, 2, 0).numpy(),
        tuple((subject.classes[int(k)], float(share)) for k, share in zip(classes, shares, strict=True)),
        tuple(layer + 1 for layer in chosen),
        np.stack([reduced(matrix[0]).numpy() for matrix in kept]),
        torch.stack(focus).numpy(),
        attention_rollout(seen.attention, grid=model.grid, prefix=model.prefix_tokens)[0].numpy(),
        truth,
    )


def spread(layers: int) -> list[int]:
    """All layers if they are few, else four from first to last."""
    return list(range(layers)) if layers <= MOST_LAYERS else [round(place * (layers - 1) / 3) for place in range(4)]


def focus_of(attention: Tensor, model: ViT) -> Tensor:
    """Maps (B, heads, h, w): what the class token attends to, or what all tokens do on average where there is none."""
    if model.prefix_tokens:
        return cls_attention(attention, grid=model.grid)
    return attention.mean(2).unflatten(-1, model.grid)


def reduced(matrix: Tensor) -> Tensor:
    """(heads, T, T) averaged down to at most `LARGEST_MATRIX` a side."""
    return matrix if matrix.shape[-1] <= LARGEST_MATRIX else adaptive_avg_pool2d(matrix, LARGEST_MATRIX)


def first_filters(model: ViT) -> Tensor:
    """The filters that see pixels: the patch embedding, or in a hybrid the first convolution of its CNN."""
    convolution = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    if isinstance(model.backbone, torch.nn.Identity):
        convolution = model.patch
    return convolution.weight
