"""Augmentation of whole batches on the device that they are on, with every random number from a given generator."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from vitlab.data.trivial import trivial_augment
from vitlab.errors import suggest


class Samples(NamedTuple):
    """`images` (B, 3, H, W), uint8 or float in [0, 1]; `targets` (B,) int64 classes, or (B, K) shares of classes."""

    images: Tensor
    targets: Tensor


Augmentation = Callable[[Samples, int, Generator], Samples]  # samples, number of classes, generator


def augmentations() -> list[str]:
    """The names of all augmentations."""
    return list(REGISTRY)


def check_augmentations(names: Sequence[str], image_size: int) -> None:
    """Raise ValueError for an augmentation that there is not, with the nearest name, and for too few pixels for one."""
    for name in names:
        if name not in REGISTRY:
            raise ValueError(
                f"Unknown augmentation {name!r}; there are {', '.join(REGISTRY)}.{suggest(name, REGISTRY)}"
            )
        if image_size < (least := LEAST_PIXELS.get(name, 1)):
            raise ValueError(
                f"The augmentation {name!r} needs images of {least} px or more, and these have {image_size} px; leave "
                "it out of --augment, or give a larger --image_size."
            )


def apply_augmentations(samples: Samples, names: Sequence[str], num_classes: int, generator: Generator) -> Samples:
    """Apply the augmentations called `names` in turn. Raises ValueError as `check_augmentations` does."""
    check_augmentations(names, samples.images.shape[-1])
    for name in names:
        samples = REGISTRY[name](samples, num_classes, generator)
    return samples


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, 3, H, W) uint8, or float in [0, 1], to float32 with (pixel - mean) / std per channel."""
    scale = 1 / 255 if images.dtype == torch.uint8 else 1.0
    factor = torch.tensor([scale / deviation for deviation in std], device=images.device).view(1, -1, 1, 1)
    offset = torch.tensor([-m / deviation for m, deviation in zip(mean, std, strict=True)], device=images.device)
    return images.to(torch.float32, copy=True).mul_(factor).add_(offset.view(1, -1, 1, 1))


def denormalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The inverse of `normalise`: float pixels in [0, 1] up to rounding, (B, 3, H, W)."""
    factor = torch.tensor(list(std), device=images.device).view(1, -1, 1, 1)
    return images.float() * factor + torch.tensor(list(mean), device=images.device).view(1, -1, 1, 1)


def as_float(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def move(images: Tensor, down: Tensor, right: Tensor, mirror: Tensor, *, reflect: bool) -> Tensor:
    """Each image read `down` and `right` (B,) pixels away, left to right or mirrored (B,).

    What lies outside is the image reflected at its border, or zero. One gather for all of it, whatever the dtype.
    """
    batch, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) + down[:, None]  # (B, H)
    columns = torch.arange(width, device=images.device).expand(batch, width)
    columns = torch.where(mirror[:, None], width - 1 - columns, columns) + right[:, None]  # (B, W)
    inside = None if reflect else _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
    pixels = _reflect(rows, height)[:, :, None] * width + _reflect(columns, width)[:, None, :]  # (B, H, W)
    pixels = pixels.view(batch, 1, height * width).expand(batch, channels, height * width)
    moved = images.reshape(batch, channels, height * width).gather(2, pixels).view(images.shape)
    return moved if inside is None else moved.mul_(inside[:, None].to(moved.dtype))


def flip(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """Mirror each image left to right with probability 1/2."""
    images = samples.images
    mirror = _uniform(len(images), generator) < 0.5
    still = torch.zeros_like(mirror, dtype=torch.int64)
    return samples._replace(images=move(images, still, still, mirror, reflect=True))


def crop(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """Random crop from the image padded by its reflection, an eighth of its size on each side (4 px of 32)."""
    return samples._replace(images=_displace(samples.images, generator, reflect=True))


def shift(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """Random crop from the image padded with black, an eighth of its size on each side: for black backgrounds."""
    return samples._replace(images=_displace(samples.images, generator, reflect=False))


def cutout(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """A grey square, half as wide as the image, at a random centre. DeVries and Taylor 2017, arXiv:1708.04552."""
    images = samples.images
    sides = torch.full((len(images),), max(1, images.shape[-1] // 2), device=images.device)
    hole = _boxes(images, sides, sides, generator)
    grey = 128 if images.dtype == torch.uint8 else 0.5
    return samples._replace(images=images.masked_fill(hole, grey))


def erasing(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """With probability 1/4, noise in a box of 2-33% of the area, of an aspect from 0.3 to 3.3. arXiv:1708.04896."""
    images = as_float(samples.images)
    count, height, width = len(images), *images.shape[-2:]
    area = (0.02 + 0.31 * _uniform(count, generator)) * height * width
    aspect = torch.exp((2 * _uniform(count, generator) - 1) * math.log(3.3))
    hole = _boxes(images, (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long(), generator)
    hole &= (_uniform(count, generator) < 0.25).view(-1, 1, 1, 1)
    noise = torch.rand(images.shape, generator=generator, device=images.device)
    return samples._replace(images=torch.where(hole, noise, images))


def color(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """Brightness, contrast and saturation, each times 0.6 to 1.4, drawn for each image."""
    images = as_float(samples.images)
    factors = 0.6 + 0.8 * torch.rand(3, len(images), 1, 1, 1, generator=generator, device=images.device)
    images = (images * factors[0]).clamp_(0, 1)
    grey = luminance(images)
    images = (grey.mean((2, 3), keepdim=True).lerp(images, factors[1])).clamp_(0, 1)
    return samples._replace(images=luminance(images).lerp(images, factors[2]).clamp_(0, 1))


def mixup(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """Every image mixed with another of the batch, share ~ Beta(0.2, 0.2), and its target too. arXiv:1710.09412."""
    images, targets = as_float(samples.images), soft(samples.targets, num_classes)
    share = _number(generator).betavariate(0.2, 0.2)
    other = _permutation(len(images), generator)
    return Samples(images * share + images[other] * (1 - share), targets * share + targets[other] * (1 - share))


def cutmix(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """A box of another image of the batch, its area uniform in [0, 1]; targets by area. arXiv:1905.04899."""
    images, targets = samples.images, soft(samples.targets, num_classes)
    height, width = images.shape[-2:]
    edge = math.sqrt(_number(generator).random())
    tall, wide = (torch.full((1,), round(edge * size), device=images.device) for size in (height, width))
    box = _boxes(images[:1], tall, wide, generator)  # (1, 1, H, W)
    share = box.float().mean()
    other = _permutation(len(images), generator)
    return Samples(torch.where(box, images[other], images), targets.lerp(targets[other], share))


def trivial(samples: Samples, num_classes: int, generator: Generator) -> Samples:
    """TrivialAugment: for each image one of 14 changes, of a random strength. arXiv:2103.10158."""
    return samples._replace(images=trivial_augment(as_float(samples.images), generator))


def soft(targets: Tensor, num_classes: int) -> Tensor:
    """Classes (B,) as rows of shares (B, K) float32; shares stay as they are."""
    return one_hot(targets, num_classes).float() if targets.ndim == 1 else targets


def luminance(images: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 1, H, W) by the weights of ITU-R BT.601."""
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None]


REGISTRY: dict[str, Augmentation] = {
    "flip": flip,
    "crop": crop,
    "shift": shift,
    "cutout": cutout,
    "erasing": erasing,
    "color": color,
    "mixup": mixup,
    "cutmix": cutmix,
    "trivial": trivial,
}
LEAST_PIXELS = {"crop": 2, "shift": 2, "trivial": 3}  # a side: to move by one, and for a kernel of 3 x 3


def _displace(images: Tensor, generator: Generator, *, reflect: bool) -> Tensor:
    reach = max(1, images.shape[-1] // 8)
    offsets = torch.randint(-reach, reach + 1, (2, len(images)), generator=generator, device=generator.device)
    still = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    return move(images, offsets[0], offsets[1], still, reflect=reflect)


def _boxes(images: Tensor, tall: Tensor, wide: Tensor, generator: Generator) -> Tensor:
    """(B, 1, H, W), true within a box of `tall` x `wide` (B,) around a random pixel, cut off at the border."""
    height, width = images.shape[-2:]
    rows = torch.randint(height, (len(images), 1), generator=generator, device=images.device)
    columns = torch.randint(width, (len(images), 1), generator=generator, device=images.device)
    top, left = rows - tall[:, None] // 2, columns - wide[:, None] // 2
    down, along = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    within = (down >= top) & (down < top + tall[:, None])  # (B, H)
    beside = (along >= left) & (along < left + wide[:, None])  # (B, W)
    return (within[:, :, None] & beside[:, None, :])[:, None]


def _reflect(indices: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - indices.abs()).abs()


def _inside(indices: Tensor, size: int) -> Tensor:
    return (indices >= 0) & (indices < size)


def _uniform(count: int, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device)


def _permutation(count: int, generator: Generator) -> Tensor:
    return torch.randperm(count, generator=generator, device=generator.device)


def _number(generator: Generator) -> random.Random:
    """Python's generator, for the distributions that torch draws from without a generator, seeded from `generator`."""
    return random.Random(int(torch.randint(2**31, (), generator=generator, device=generator.device)))
