"""Where the output looks: attention of the class token, and rollout through all layers (Figures 6 and 14)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitlab.inspection.patches import check_attention


def rollout_matrix(attention: Sequence[Tensor]) -> Tensor:
    """Return how much of each input token reaches each output token, (B, T, T), rows being outputs and summing to one.

    `attention` holds the matrices (B, heads, T, T) of the layers, first to last. Heads are averaged, the identity is
    added for the residual connection, rows are renormalised, and the layers are multiplied (attention rollout, Abnar &
    Zuidema 2020, arXiv 2005.00928; ViT paper, D.7).
    """
    identity = torch.eye(attention[0].shape[-1]).to(attention[0])
    rollout = identity.expand(attention[0].shape[0], -1, -1)
    for layer in attention:
        mixing = layer.mean(1) + identity  # (B, T, T)
        rollout = mixing / mixing.sum(-1, keepdim=True) @ rollout
    return rollout


def attention_rollout(
    attention: Sequence[Tensor], *, grid: tuple[int, int], prefix: int, pooling: str | None = None
) -> Tensor:
    """Return how much of each patch reaches the representation, as maps (B, h, w) over the `grid`.

    `pooling` says what the representation is: "cls", the row of the class token, whose sum is one less what stays in
    the token itself; "gap", the mean of the rows of all patches. By default it is "cls" where there is such a token
    (`prefix` = 1). Raises ValueError when the matrices do not fit the grid, and for another `pooling`.
    """
    check_attention(attention, grid, prefix)
    pooling = pooling or ("cls" if prefix else "gap")
    if pooling not in ("cls", "gap") or (pooling == "cls" and not prefix):
        raise ValueError(f"pooling must be 'gap', or 'cls' for a model with a class token, not {pooling!r}.")
    rollout = rollout_matrix(attention)
    row = rollout[:, 0, prefix:] if pooling == "cls" else rollout[:, prefix:, prefix:].mean(1)  # (B, N)
    return row.unflatten(1, grid)


def cls_attention(attention: Tensor, *, grid: tuple[int, int]) -> Tensor:
    """Return what the class token of one layer attends to, per head: maps (B, heads, h, w) over the `grid`.

    The values are those of `attention` (B, heads, 1 + h w, 1 + h w): a map sums to one less the attention that the
    token pays to itself. Raises ValueError when the matrix does not fit, as for a model without a class token.
    """
    if attention.ndim == 4 and attention.shape[-1] == grid[0] * grid[1]:
        raise ValueError(
            "This model has no class token (its tokens are averaged), so no token's attention stands for the image; "
            "use attention_rollout, which averages over all queries."
        )
    check_attention([attention], grid, 1)
    return attention[:, :, 0, 1:].unflatten(-1, grid)
