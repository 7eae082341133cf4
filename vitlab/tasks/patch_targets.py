"""What masked patch prediction predicts of a patch (appendix B.1.2 of arXiv 2010.11929), from images in [0, 1].

A target turns the patches of an image into values, says how far predictions are from them, and paints them as colours.
All targets share `truth -> loss`, `guess -> good -> paint`, so that tasks and pictures need not know which one it is.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from vitlab.errors import suggest
from vitlab.tasks.settings import TARGETS

LEVELS = 8  # 3 bits a channel
COLORS = LEVELS**3
CELLS = 4  # a patch is down-sized to CELLS x CELLS colours
# Means of bytes fall exactly on the border between two levels now and then, and undoing a normalisation moves them by
# rounding: a border colour belongs to the level above, whichever way the rounding went.
BORDER = 1e-4


class Target(Protocol):
    """`values` has C numbers a patch; the model gives `outputs` numbers a patch; M counts patches."""

    outputs: int

    def truth(self, patches: Tensor) -> Tensor:
        """Patches (..., 3, s, s) in [0, 1] -> values (..., C)."""

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """Mean loss of outputs (M, outputs) against values (M, C)."""

    def guess(self, outputs: Tensor) -> Tensor:
        """The predicted values: (M, outputs) -> (M, C)."""

    def of_color(self, colors: Tensor) -> Tensor:
        """The values of patches in one colour: (..., 3) -> (..., C)."""

    def good(self, guess: Tensor, truth: Tensor) -> Tensor:
        """Two sums (2,) over values (M, C); their ratio is the score: accuracy for classes, R^2 for pixels."""

    def paint(self, values: Tensor) -> Tensor:
        """Values (M, C) as square tiles of colour (M, 3, c, c) in [0, 1]."""


class ColorTarget:
    """3-bit colours of the patch, down-sized to `cells` x `cells` by averaging: 512 classes each, cross-entropy.

    One cell is the paper's mean colour. The score is the share of right classes.
    """

    def __init__(self, cells: int) -> None:
        self.cells, self.outputs = cells, cells * cells * COLORS

    def truth(self, patches: Tensor) -> Tensor:
        """Classes of the cells, rows first: (..., 3, s, s) -> (..., cells^2)."""
        means = F.adaptive_avg_pool2d(patches.flatten(0, -4), self.cells)  # (M, 3, cells, cells)
        return color_class(means.flatten(2).transpose(1, 2)).unflatten(0, patches.shape[:-3])

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """Cross-entropy, averaged over patches and cells."""
        return F.cross_entropy(outputs.float().view(-1, COLORS), truth.flatten())

    def guess(self, outputs: Tensor) -> Tensor:
        """The likeliest class of each cell."""
        return outputs.unflatten(-1, (-1, COLORS)).argmax(-1)

    def of_color(self, colors: Tensor) -> Tensor:
        """The colour's class, in every cell."""
        return color_class(colors).unsqueeze(-1).expand(*colors.shape[:-1], self.cells**2)

    def good(self, guess: Tensor, truth: Tensor) -> Tensor:
        """Right classes, and how many there are."""
        right = guess == truth
        return torch.stack([right.sum(), right.new_tensor(right.numel(), dtype=torch.long)]).double()

    def paint(self, values: Tensor) -> Tensor:
        """Each cell in the middle of its colour's range."""
        return class_color(values).transpose(1, 2).unflatten(2, (self.cells, self.cells))


class PixelTarget:
    """All pixels of a patch of `side` pixels, squared error. The score is R^2 against always saying `mean` (3,)."""

    def __init__(self, side: int, mean: Tensor) -> None:
        self.side, self.outputs = side, 3 * side * side
        self.mean = mean.float().repeat_interleave(side * side)  # (3 s s,)

    def truth(self, patches: Tensor) -> Tensor:
        """The pixels in a row: (..., 3, s, s) -> (..., 3 s s)."""
        return patches.flatten(-3)

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """Squared error, averaged over patches and pixels."""
        return F.mse_loss(outputs.float(), truth)

    def guess(self, outputs: Tensor) -> Tensor:
        """The outputs as they are."""
        return outputs.float()

    def of_color(self, colors: Tensor) -> Tensor:
        """The colour in every pixel."""
        return colors.repeat_interleave(self.side**2, dim=-1)

    def good(self, guess: Tensor, truth: Tensor) -> Tensor:
        """The squared error that was saved against the constant `mean`, and that of the constant."""
        constant = (truth - self.mean.to(truth)).square().sum()
        return torch.stack([constant - (guess - truth).square().sum(), constant]).double()

    def paint(self, values: Tensor) -> Tensor:
        """The pixels, cut to [0, 1]."""
        return values.unflatten(1, (3, self.side, self.side)).clamp(0, 1)


def make_target(name: str, side: int, mean: Tensor) -> Target:
    """The target called `name` for patches of `side` pixels; `mean` (3,) is the train images' mean colour.

    "downsized" has 4 x 4 colours, or one a pixel where the patch is smaller than that. Raises ValueError for a name
    that is none of `TARGETS`.
    """
    if name == "mean_color":
        return ColorTarget(1)
    if name == "downsized":
        return ColorTarget(min(CELLS, side))
    if name == "pixels":
        return PixelTarget(side, mean)
    raise ValueError(f"There is no target {name!r}; allowed: {', '.join(TARGETS)}.{suggest(name, TARGETS)}")


def color_class(colors: Tensor) -> Tensor:
    """The class 64 r + 8 g + b of colours (..., 3) in [0, 1], whose 3-bit levels are r, g and b: (...,) long."""
    levels = (colors.float() * LEVELS + BORDER).long().clamp(0, LEVELS - 1)
    return (levels * levels.new_tensor([LEVELS**2, LEVELS, 1])).sum(-1)


def class_color(classes: Tensor) -> Tensor:
    """The colour in the middle of a class: (...,) -> (..., 3) in [0, 1]."""
    levels = classes.unsqueeze(-1) // classes.new_tensor([LEVELS**2, LEVELS, 1]) % LEVELS
    return (levels + 0.5) / LEVELS


def patches_of(images: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Cut images (B, 3, H, W) into the squares of a model's tokens, row by row: (B, N, 3, side, side).

    A CNN whose stride does not divide the image rounds its map up; the last squares are then filled with edge pixels.
    """
    rows, columns = grid
    missing = (0, columns * side - images.shape[-1], 0, rows * side - images.shape[-2])
    full = F.pad(images, missing, mode="replicate") if any(missing) else images
    cut = full.unfold(2, side, side).unfold(3, side, side)  # (B, 3, h, w, side, side)
    return cut.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)


def neighbour_colors(colors: Tensor, visible: Tensor, grid: tuple[int, int]) -> Tensor:
    """Mean colour of the visible ones among each patch's 8 neighbours: (B, N, 3), visible (B, N) bool -> (B, N, 3).

    Where no neighbour is visible it is the mean of all visible patches of the image (mid-grey if there are none).
    """
    seen = visible.to(colors).unsqueeze(-1)  # (B, N, 1)
    known = torch.cat([colors * seen, seen], -1).transpose(1, 2).unflatten(2, grid)  # (B, 4, h, w)
    ring = torch.ones(4, 1, 3, 3, device=colors.device, dtype=colors.dtype)
    ring[:, :, 1, 1] = 0
    near = F.conv2d(known, ring, padding=1, groups=4)
    everywhere = known.sum((2, 3), keepdim=True).expand_as(near)
    chosen = torch.where(near[:, 3:] > 0, near, everywhere).flatten(2).transpose(1, 2)  # (B, N, 4)
    return torch.where(chosen[..., 3:] > 0, chosen[..., :3] / chosen[..., 3:].clamp_min(1), 0.5)
