"""Images without their neighbourhoods: one fixed permutation of patches, the same for every image of every split.

A ViT whose patches are the shuffled ones reads the same bag of patches and can learn anew where they lie; a convolution
finds other neighbours. What a model loses under the shuffle is what it owed to the layout of images (section 4.5).
The permutation comes last, after augmentation: crops and flips are those of the images as they were.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vitlab.data.loading import ImageData


def patch_order(image_size: int, side: int, seed: int) -> Tensor:
    """Which pixel comes to each position, (H W,) int64 in raster order, when patches of `side` px are permuted.

    A function of the arguments alone, so that all data of one size is shuffled alike. `side` 1 shuffles single pixels.
    Raises ValueError for a side that does not cut the image into several patches.
    """
    allowed = [whole for whole in range(1, image_size) if image_size % whole == 0]
    if side not in allowed:
        raise ValueError(
            f"shuffle={side}: patches of {side} px do not tile images of {image_size} px, or there is only one; "
            f"choose from {', '.join(map(str, allowed)) or 'larger images'}."
        )
    grid = image_size // side
    patches = np.arange(image_size**2).reshape(grid, side, grid, side).swapaxes(1, 2).reshape(grid**2, side, side)
    moved = patches[np.random.RandomState(seed).permutation(grid**2)]
    return torch.from_numpy(moved.reshape(grid, grid, side, side).swapaxes(1, 2).reshape(-1).copy())


def shuffle_patches(data: ImageData, side: int, seed: int) -> ImageData:
    """`data` whose images reach models with their patches shuffled, see `patch_order`; what is stored stays.

    Raises ValueError for a side that does not fit the images.
    """
    return replace(data, order=patch_order(data.image_size, side, seed))


def arranged(images: Tensor, data: ImageData) -> Tensor:
    """Images (B, 3, H, W) as models of `data` see them: shuffled where it says so, else the very same tensor.

    Everything that shows images to a model passes here, after augmentation. Channels keep their statistics, so that it
    makes no difference whether normalisation comes before or after.
    """
    if data.order is None:
        return images
    return images.flatten(2).index_select(2, data.order.to(images.device)).view(images.shape)
