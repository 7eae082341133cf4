"""Cutting the patch tokens out of attention matrices, with a check that the grid fits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def check_attention(attention: Sequence[Tensor], grid: tuple[int, int], prefix: int) -> None:
    """Raise ValueError unless `attention` is one or more (B, heads, T, T), T = prefix + h w for the `grid` (h, w)."""
    tokens = prefix + grid[0] * grid[1]
    if not attention:
        raise ValueError("The model gave no attention matrices: it has no attention layers (a ResNet has none).")
    for layer, matrix in enumerate(attention):
        if matrix.ndim != 4 or matrix.shape[2:] != (tokens, tokens):
            raise ValueError(
                f"Attention of layer {layer} is {tuple(matrix.shape)}, but a grid of {grid[0]} x {grid[1]} patches and "
                f"{prefix} prefix tokens need (images, heads, {tokens}, {tokens}); pass the model's own grid and "
                "prefix_tokens for this image size."
            )


def grid_distances(grid: tuple[int, int]) -> Tensor:
    """Return the Euclidean distances (N, N), in patches, of all positions of a grid (h, w), N = h w, row by row."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    coordinates = torch.stack([rows.flatten(), columns.flatten()], dim=1).double()  # (N, 2)
    return (coordinates[:, None] - coordinates[None]).square().sum(-1).sqrt()
