"""Position embeddings of section 3.1 and the ablation D.4: 1-D, 2-D, sine-cosine. Relative ones are in `attention`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitlab.errors import suggest


class Learned1D(nn.Module):
    """E_pos of eq. 1: one learned vector for each token in raster order; `prefix` counts class tokens before them."""

    def __init__(self, grid: tuple[int, int], width: int, *, prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.table = nn.Parameter(torch.empty(1, prefix + grid[0] * grid[1], width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self) -> Tensor:
        """The embeddings, (1, P+N, D)."""
        return self.table


class Learned2D(nn.Module):
    """Two sets of D/2, for columns and rows, concatenated for each patch (D.4); class tokens have their own vectors."""

    def __init__(self, grid: tuple[int, int], width: int, *, prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.rows = nn.Parameter(torch.empty(grid[0], width // 2))
        self.columns = nn.Parameter(torch.empty(grid[1], width - width // 2))
        self.cls = nn.Parameter(torch.empty(1, prefix, width))
        for table in (self.rows, self.columns, self.cls):
            nn.init.normal_(table, std=0.02)

    def forward(self) -> Tensor:
        """The embeddings, (1, P+N, D)."""
        h, w = self.grid
        x, y = self.columns.expand(h, -1, -1), self.rows[:, None].expand(-1, w, -1)  # (h, w, D/2) each
        return torch.cat([self.cls, torch.cat([x, y], dim=-1).flatten(0, 1)[None]], dim=1)


class SinCos2D(nn.Module):
    """Fixed sines and cosines of the column and of the row, D/4 of each; zero for class tokens.

    The form of google-research/big_vision: frequencies from 1 to 1/10000, spaced geometrically.
    """

    table: Tensor

    def __init__(self, grid: tuple[int, int], width: int, *, prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.register_buffer("table", sincos2d(grid, width, prefix=prefix), persistent=False)

    def forward(self) -> Tensor:
        """The embeddings, (1, P+N, D)."""
        return self.table


def sincos2d(grid: tuple[int, int], width: int, *, prefix: int = 0) -> Tensor:
    """Sine-cosine embeddings of a grid: (1, prefix + h w, width); raises ValueError if 4 does not divide `width`."""
    if width % 4 or width < 8:
        raise ValueError(f"positions='sincos2d' need a width that is a multiple of 4 and at least 8, not {width}")
    quarter = width // 4
    frequency = 10_000.0 ** -(torch.arange(quarter) / (quarter - 1))
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    angle_x, angle_y = x.reshape(-1, 1) * frequency, y.reshape(-1, 1) * frequency  # (N, D/4)
    table = torch.cat([angle_x.sin(), angle_x.cos(), angle_y.sin(), angle_y.cos()], dim=1)
    return torch.cat([table.new_zeros(prefix, width), table])[None]


def position_embedding(kind: str, grid: tuple[int, int], width: int, *, prefix: int) -> nn.Module | None:
    """The module for `kind`, or None where nothing is added to the tokens ("none", "relative")."""
    made = {"1d": Learned1D, "2d": Learned2D, "sincos2d": SinCos2D}.get(kind)
    return None if made is None else made(grid, width, prefix=prefix)


INTERPOLATIONS: dict[str, dict[str, Any]] = {
    "corners": {"mode": "bilinear", "align_corners": True},
    "bilinear": {"mode": "bilinear", "align_corners": False},
    "bicubic": {"mode": "bicubic", "align_corners": False},
    "bicubic_antialias": {"mode": "bicubic", "align_corners": False, "antialias": True},
}


def resize_grid(table: Tensor, size: tuple[int, int], *, how: str = "corners") -> Tensor:
    """Interpolate a grid of vectors by location in the image (section 3.2): (h, w, D) -> (*size, D).

    The target is a size, not a factor, whose rounding would be off by one for some sizes. The same size gives the very
    same tensor. `how`: "corners" is what the authors do (`scipy.ndimage.zoom` of order 1: the corner patches keep their
    vectors); "bicubic_antialias" is timm's way with its own weights and "bilinear" its way with the authors'; "bicubic"
    is that of transformers. Raises ValueError for other values.
    """
    if how not in INTERPOLATIONS:
        allowed = ", ".join(INTERPOLATIONS)
        raise ValueError(f"interpolation={how!r}: choose from {allowed}.{suggest(how, INTERPOLATIONS)}")
    if table.shape[:2] == size:
        return table
    precise = table.permute(2, 0, 1)[None].double()  # (1, D, h, w)
    return F.interpolate(precise, size, **INTERPOLATIONS[how])[0].permute(1, 2, 0).to(table.dtype)


def resize_table(
    table: Tensor, old: tuple[int, int], new: tuple[int, int], *, prefix: int, how: str = "corners"
) -> Tensor:
    """`resize_grid` for a sequence in raster order behind `prefix` vectors, which stay: (1, P+hw, D) -> (1, P+h'w', D).

    Raises ValueError if the table is not that long.
    """
    if table.shape[1] != prefix + old[0] * old[1]:
        raise ValueError(
            f"{table.shape[1]} position embeddings are not {prefix} for class tokens and {old[0]} x {old[1]} for "
            "patches: give the grid that they were made for as source_grid=(rows, columns)"
        )
    if old == new:
        return table
    grid = resize_grid(table[0, prefix:].unflatten(0, old), new, how=how)
    return torch.cat([table[:, :prefix], grid.flatten(0, 1)[None]], dim=1)
