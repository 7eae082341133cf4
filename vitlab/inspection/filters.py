"""What the patch embedding looks for: principal components of its filters (ViT paper, Figure 7 left)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FilterComponents:
    """Principal components of filters, most important first.

    tiles: (n, P, Q, 3) RGB in [0, 1], zero being mid-grey and the largest weight of each tile black or white.
    explained: (n,) share of the filters' variance that each explains, in [0, 1].
    """

    tiles: Tensor
    explained: Tensor


def principal_filters(weight: Tensor, components: int = 28) -> FilterComponents:
    """Return the first principal components of patch-embedding filters `weight` (D, C, P, Q) with C = 1 or 3.

    The D filters are the samples and the C P Q pixels the variables, with the mean filter removed. The sign of a
    component is arbitrary; it is chosen so that its largest weight is positive. There are at most min(D, C P Q)
    components (12 for patches of 2 x 2 pixels in colour), fewer than asked for if need be.

    Raises ValueError for other numbers of channels: the 1 x 1 patch embedding of a hybrid sees CNN features, not
    colours.
    """
    if weight.ndim != 4 or weight.shape[1] not in (1, 3):
        raise ValueError(
            f"Filters must be (filters, 1 or 3 channels, height, width) to be shown as colours, not "
            f"{tuple(weight.shape)}; for a hybrid, pass the first convolution of its CNN stem."
        )
    samples = weight.detach().double().cpu().flatten(1)  # (D, C P Q)
    _, deviations, axes = torch.linalg.svd(samples - samples.mean(0), full_matrices=False)
    variance = deviations.square()
    axes = axes[:components]  # (n, C P Q)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))  # (n, 1), with its sign
    tiles = (0.5 + 0.5 * axes / largest).unflatten(1, weight.shape[1:]).permute(0, 2, 3, 1)
    explained = variance[:components] / variance.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return FilterComponents(tiles.expand(-1, -1, -1, 3).float(), explained.float())
