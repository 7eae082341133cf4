"""Mean attention distance: how far heads look, as a receptive field does for a CNN (ViT paper, Figures 7 and 11)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitlab.inspection.patches import check_attention, grid_distances


def attention_distances(attention: Sequence[Tensor], *, grid: tuple[int, int], stride: float, prefix: int) -> Tensor:
    """Return the mean attention distance (B, L, heads), in pixels of the image, of every image, layer and head.

    `attention` holds L matrices (B, heads, T, T), rows being queries and summing to one; the first `prefix` tokens
    (CLS) are not patches. Their rows and columns are left out and each row is renormalised to sum to one, else
    attention paid to CLS would count as distance zero. For query q the distance is sum_k a_qk |q - k|, Euclidean on
    the `grid` (h, w) and times `stride`, the pixels per patch; the result is its mean over queries. Queries that give
    the patches no attention at all are left out; where all do, the result is NaN. The mean over images, as in section
    4.5, is the caller's (`accumulate`).

    Raises ValueError when the matrices do not fit the grid.
    """
    check_attention(attention, grid, prefix)
    pixels = (stride * grid_distances(grid)).to(attention[0])
    return torch.stack([_mean_distance(layer[..., prefix:, prefix:], pixels) for layer in attention], dim=1)


def _mean_distance(attention: Tensor, distances: Tensor) -> Tensor:
    """(B, h, N, N) and (N, N) -> (B, h)."""
    given = attention.sum(-1)  # (B, h, N)
    weighted = (attention * distances).sum(-1)
    seen = given > 0
    return torch.where(seen, weighted / given.where(seen, 1), 0).sum(-1) / seen.sum(-1)


def uniform_distance(grid: tuple[int, int], stride: float) -> float:
    """Return the mean distance, in pixels, of a head that attends to all patches alike: the value of global attention.

    In closed form, (h - |i|)(w - |j|) of the (h w)^2 pairs of patches are i rows and j columns apart:

        stride / (h w)^2  sum_{|i| < h} sum_{|j| < w} (h - |i|) (w - |j|) sqrt(i^2 + j^2)
    """
    h, w = grid
    i, j = torch.arange(1.0 - h, h).double()[:, None], torch.arange(1.0 - w, w).double()
    total = ((h - i.abs()) * (w - j.abs()) * (i**2 + j**2).sqrt()).sum()
    return stride * float(total) / (h * w) ** 2
