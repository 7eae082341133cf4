"""Means over many images with the memory of few: attention matrices are large, what is read from them is small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_LAYERS_IN_WORK = 4  # scores, their softmax, and what a statistic makes of one layer
_WIDTHS_IN_WORK = 12  # queries, keys, values and the hidden layer of one MLP, and its input and output


def safe_batch_size(tokens: int, heads: int, layers: int, *, width: int = 0, budget: int = 2**30) -> int:
    """Return how many images at once keep the attention and tokens of all layers below `budget` bytes, at least 1.

    One image has `layers` matrices of heads x tokens x tokens float32 (192 MB for B/16 at 384 px: 577 tokens, 12
    heads, 12 layers) and as many outputs of tokens x `width`, and a layer in work some more of each. The default of 1
    GiB leaves the other half of 2 GiB to the weights and the libraries.
    """
    matrices = (layers + _LAYERS_IN_WORK) * heads * tokens**2
    outputs = (layers + _WIDTHS_IN_WORK) * tokens * width
    return max(1, budget // (4 * (matrices + outputs)))


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1; NaN for one image) over `images` images, float64, of one statistic."""

    mean: Tensor
    deviation: Tensor
    images: int


def accumulate(
    model: nn.Module,
    batches: Iterable[Tensor],
    statistics: Mapping[str, Callable[[Any], Tensor]],
    *,
    batch_size: int | None = None,
) -> dict[str, Summary]:
    """Return mean and deviation over all images of each statistic of what `model.inspect` shows.

    `batches` yields normalised images (B, C, H, W). Each is cut into pieces of `batch_size` images (by default
    `safe_batch_size` for a model with heads, and the batch as it is for one without), the inspection of a piece is
    given to every function in `statistics`, which returns (B, ...), and forgotten. The model runs in evaluation
    mode, without gradients. Raises ValueError when there are no images.

        accumulate(model, batches, {
            "distance": lambda seen: attention_distances(
                seen.attention, grid=model.grid, stride=model.token_stride, prefix=model.prefix_tokens),
        })["distance"].mean  # (layers, heads), in pixels
    """
    size = batch_size or _batch_size_of(model)
    totals: dict[str, tuple[Tensor, Tensor]] = {}
    images, was_training = 0, model.training
    model.eval()
    try:
        for piece in (piece for batch in batches for piece in batch.split(size or len(batch))):
            for name, values in _measure(model, piece, statistics).items():
                sums = values.sum(0), values.square().sum(0)
                totals[name] = (totals[name][0] + sums[0], totals[name][1] + sums[1]) if name in totals else sums
            images += len(piece)
    finally:
        model.train(was_training)
    if not images:
        raise ValueError("No images to inspect: the batches were empty.")
    return {name: _summary(*sums, images) for name, sums in totals.items()}


def _measure(model: nn.Module, images: Tensor, statistics: Mapping[str, Callable[[Any], Tensor]]) -> dict[str, Tensor]:
    """Return each statistic (B, ...), float64 on the CPU; the inspection that it came from is freed on return."""
    inspect: Any = model.inspect
    device = next((parameter.device for parameter in model.parameters()), images.device)
    with torch.no_grad():
        seen = inspect(images.to(device))
        return {name: statistic(seen).double().cpu() for name, statistic in statistics.items()}


def _summary(total: Tensor, squares: Tensor, images: int) -> Summary:
    mean = total / images
    # Rounding can make the sum of squares smaller than that of the mean.
    variance = (squares - images * mean.square()).clamp_min(0) / max(images - 1, 1)
    return Summary(mean, variance.sqrt() if images > 1 else torch.full_like(mean, torch.nan), images)


def _batch_size_of(model: nn.Module) -> int | None:
    if not hasattr(model, "heads"):
        return None
    vit: Any = model
    tokens = vit.prefix_tokens + vit.grid[0] * vit.grid[1]
    return safe_batch_size(tokens, vit.heads, len(vit.blocks), width=vit.width)
