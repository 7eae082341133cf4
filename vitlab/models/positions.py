"""Position embeddings of section 3.1 and the ablation D.4: 1-D, 2-D, sine-cosine. Relative ones are in `attention`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
