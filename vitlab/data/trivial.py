"""The changes of TrivialAugment for a batch: the images are sorted by the change that they drew, each done at once."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample

Change = Callable[[Tensor, Tensor], Tensor]  # images (b, 3, H, W) in [0, 1], strengths (b, 1, 1, 1) in [-1, 1]


def trivial_augment(images: Tensor, generator: Generator) -> Tensor:
    """Give each image (B, 3, H, W), float in [0, 1], one change and a strength, both drawn evenly."""
    device = images.device
    kinds = torch.randint(len(CHANGES), (len(images),), generator=generator, device=device)
    strengths = 2 * torch.rand(len(images), 1, 1, 1, generator=generator, device=device) - 1
    changed = images.clone()
    for kind, change in enumerate(CHANGES):
        chosen = (kinds == kind).nonzero().squeeze(1)
        if len(chosen):
            changed[chosen] = change(images[chosen], strengths[chosen]).clamp(0, 1)
    return changed


def identity(images: Tensor, strength: Tensor) -> Tensor:
    return images


def brightness(images: Tensor, strength: Tensor) -> Tensor:
    return images * (1 + 0.99 * strength)


def contrast(images: Tensor, strength: Tensor) -> Tensor:
    return _grey(images).mean((2, 3), keepdim=True).lerp(images, 1 + 0.99 * strength)


def saturation(images: Tensor, strength: Tensor) -> Tensor:
    return _grey(images).lerp(images, 1 + 0.99 * strength)


def sharpness(images: Tensor, strength: Tensor) -> Tensor:
    """Away from, or towards, the image smoothed by a 3 x 3 kernel; the border stays."""
    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]], device=images.device).div(13).expand(3, 1, 3, 3)
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = conv2d(images, kernel, groups=3)
    return smooth.lerp(images, 1 + 0.99 * strength)


def posterise(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the upper 8 to 2 bits of each channel."""
    step = 2.0 ** torch.round(6 * strength.abs())
    return torch.floor(images * 255 / step) * step / 255


def solarise(images: Tensor, strength: Tensor) -> Tensor:
    """Invert what is brighter than a threshold."""
    return torch.where(images > 1 - strength.abs(), 1 - images, images)


def autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel from black to white."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1e-6), images)


def equalise(images: Tensor, strength: Tensor) -> Tensor:
    """Make each channel's histogram flat: a pixel becomes the share of pixels that are darker; the brightest is 1."""
    levels = (images * 255).round().long().flatten(2)  # (b, 3, H*W)
    histogram = torch.zeros(*levels.shape[:2], 256, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=histogram.dtype))
    darker = histogram.cumsum(2) - histogram
    most = darker.gather(2, levels.amax(2, keepdim=True))  # 0 where the channel has one level only, which stays
    equal = (darker / most.clamp_min(1)).gather(2, levels).view_as(images)
    return torch.where(most[..., None] > 0, equal, images)


def rotate(images: Tensor, strength: Tensor) -> Tensor:
    """Up to 135 degrees either way."""
    angle = strength.flatten() * (135 * math.pi / 180)
    return _affine(images, {(0, 0): angle.cos(), (0, 1): -angle.sin(), (1, 0): angle.sin(), (1, 1): angle.cos()})


def shear_x(images: Tensor, strength: Tensor) -> Tensor:
    return _affine(images, {(0, 1): 0.99 * strength.flatten()})


def shear_y(images: Tensor, strength: Tensor) -> Tensor:
    return _affine(images, {(1, 0): 0.99 * strength.flatten()})


def translate_x(images: Tensor, strength: Tensor) -> Tensor:
    """Up to the width either way (32 px at the 32 px of the paper)."""
    return _affine(images, {(0, 2): 2 * strength.flatten()})


def translate_y(images: Tensor, strength: Tensor) -> Tensor:
    return _affine(images, {(1, 2): 2 * strength.flatten()})


CHANGES: tuple[Change, ...] = (
    identity,
    autocontrast,
    equalise,
    rotate,
    solarise,
    saturation,
    posterise,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)


def _affine(images: Tensor, entries: dict[tuple[int, int], Tensor]) -> Tensor:
    """Resample (nearest, black outside) through the identity matrix with `entries` (b,) put in."""
    matrix = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    for (row, column), value in entries.items():
        matrix[:, row, column] = value
    return grid_sample(images, affine_grid(matrix, list(images.shape), False), mode="nearest", align_corners=False)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]
