"""Effective receptive field of a CNN (Luo et al. 2016, arXiv 1701.04128), to stand beside attention distance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


def effective_receptive_field(feature_map: Callable[[Tensor], Tensor], batches: Iterable[Tensor]) -> Tensor:
    """Return how strongly each pixel moves the centre of a feature map: (H, W), float64, summing to one.

    `feature_map` takes images (B, C, H, W) to features (B, F, h, w); `lambda x: model.inspect(x).maps[2]` is the
    third stage of a ResNet, in evaluation mode. For each image of `batches`, the sum over channels of the feature at
    row h // 2 and column w // 2 is differentiated with respect to the image; absolute values are summed over colours,
    averaged over images, and divided by their sum. Raises ValueError without images and when no gradient reaches
    them.
    """
    total: Tensor | None = None
    for images in batches:
        pixels = images.detach().clone().requires_grad_()
        with torch.enable_grad():
            features = feature_map(pixels)
            centre = features[:, :, features.shape[2] // 2, features.shape[3] // 2].sum()
            (gradient,) = torch.autograd.grad(centre, pixels)
        strength = gradient.abs().double().sum((0, 1)).cpu()  # (H, W)
        total = strength if total is None else total + strength
    if total is None:
        raise ValueError("No images to measure a receptive field on: the batches were empty.")
    if not total.sum() > 0:
        raise ValueError("No gradient reaches the image: the feature at the centre of this map does not depend on it.")
    return total / total.sum()


@dataclass(frozen=True)
class FieldSize:
    """Size, in pixels, of a receptive field around its own centre of mass.

    mean_distance: mean Euclidean distance of its mass, the same measure as the attention distance of a head.
    radius_95: radius of the circle that holds 95% of it.
    two_deviations: twice its standard deviation along one axis (root mean square of both).
    """

    mean_distance: float
    radius_95: float
    two_deviations: float


def field_size(field: Tensor) -> FieldSize:
    """Measure `field` (H, W), which is not negative; its scale makes no difference."""
    mass = field.double().cpu() / field.double().sum().cpu()
    rows, columns = (torch.arange(side).double() for side in mass.shape)
    row, column = (mass.sum(1) * rows).sum(), (mass.sum(0) * columns).sum()
    squared = (rows[:, None] - row) ** 2 + (columns - column) ** 2  # (H, W)
    nearest, order = squared.sqrt().flatten().sort()
    # A field of one pixel has radius 0: rounding must not push 95% beyond the last pixel.
    inside = torch.searchsorted(mass.flatten()[order].cumsum(0), torch.tensor(0.95, dtype=torch.float64))
    return FieldSize(
        mean_distance=float((mass * squared.sqrt()).sum()),
        radius_95=float(nearest[inside.clamp_max(len(nearest) - 1)]),
        two_deviations=2 * float((mass * squared).sum() / 2) ** 0.5,
    )
