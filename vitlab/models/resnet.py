"""The paper's ResNet baseline, BiT: group norm, weight standardisation, pre-activation (section 4.1; arXiv 1912.11370).

The function of the authors' PyTorch code in google-research/big_transfer, except that they add 1e-10 to the variance of
filters where timm, whose results we match to rounding, adds 1e-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from vitlab.models.config import Settings
from vitlab.models.convolution import StdConv2d, group_norm
from vitlab.models.layers import zero_linear
from vitlab.models.vit import Inspection


@dataclass(frozen=True)
class ResNetConfig:
    """The shape of a BiT ResNet.

    `layers`: blocks in each stage; `widths`: output channels of each stage; `stem_width`: channels of the stem.
    `small_images`: 3x3 stem without stride, no pooling and blocks of two 3x3 convolutions; else the 7x7 stem with
    stride 2, max-pooling with stride 2 and bottleneck blocks. Each stage but the first halves the resolution.
    """

    layers: tuple[int, ...]
    widths: tuple[int, ...]
    stem_width: int
    small_images: bool = False

    def __post_init__(self) -> None:
        if not self.layers or len(self.layers) != len(self.widths):
            raise ValueError(f"layers {self.layers} and widths {self.widths} must have one number for each stage")


class BottleneckBlock(nn.Module):
    """Pre-activation bottleneck: x + conv1x1 conv3x3 conv1x1, each after group norm and ReLU; stride in the 3x3."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, project: bool) -> None:
        super().__init__()
        inner = outputs // 4
        self.norm1, self.conv1 = group_norm(inputs), StdConv2d(inputs, inner, 1)
        self.norm2, self.conv2 = group_norm(inner), StdConv2d(inner, inner, 3, stride=stride)
        self.norm3, self.conv3 = group_norm(inner), StdConv2d(inner, outputs, 1)
        self.shortcut = StdConv2d(inputs, outputs, 1, stride=stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H/stride, W/stride)."""
        activated = F.relu(self.norm1(x))
        y = self.conv1(activated)
        y = self.conv2(F.relu(self.norm2(y)))
        y = self.conv3(F.relu(self.norm3(y)))
        return y + (x if self.shortcut is None else self.shortcut(activated))


class BasicBlock(nn.Module):
    """Pre-activation block of two 3x3 convolutions, for networks too narrow for a bottleneck (arXiv 1603.05027)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, project: bool) -> None:
        super().__init__()
        self.norm1, self.conv1 = group_norm(inputs), StdConv2d(inputs, outputs, 3, stride=stride)
        self.norm2, self.conv2 = group_norm(outputs), StdConv2d(outputs, outputs, 3)
        self.shortcut = StdConv2d(inputs, outputs, 1, stride=stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H/stride, W/stride)."""
        activated = F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(activated))))
        return y + (x if self.shortcut is None else self.shortcut(activated))


class ResNet(nn.Module):
    """A BiT ResNet: stem, stages, group norm, ReLU, mean over space, linear classifier (zero at the start).

    `image_size` is what the model is made for, in pixels; a ResNet takes every other size too.
    """

    settings: Settings  # how `create` made it

    def __init__(
        self, config: ResNetConfig, *, image_size: tuple[int, int], num_classes: int, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.config, self.image_size, self.in_channels = config, image_size, in_channels
        self.width = config.widths[-1]
        self.stem = small_stem(in_channels, config.stem_width) if config.small_images else stem(in_channels, config)
        inputs = (config.stem_width, *config.widths[:-1])
        shapes = zip(inputs, config.widths, config.layers, strict=True)
        self.stages = nn.Sequential(*(stage(config, i, o, n, index) for index, (i, o, n) in enumerate(shapes)))
        self.norm = group_norm(self.width)
        self.head = zero_linear(self.width, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Pre-logits, the input of the last linear layer: (B, C, H, W) -> (B, F)."""
        return self._pool(self.stages(self.stem(images)))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) normalised images -> (B, K) logits."""
        return self.head(self.features(images))

    def inspect(self, images: Tensor) -> Inspection:
        """The forward pass with the feature map of each stage in `maps`."""
        x, maps = self.stem(images), []
        for block_stack in self.stages:
            x = block_stack(x)
            maps.append(x)
        pre_logits = self._pool(x)
        return Inspection(self.head(pre_logits), pre_logits, maps=tuple(maps))

    def reset_head(self, num_classes: int) -> None:
        """A new linear classifier, zero, for `num_classes`."""
        self.head = zero_linear(self.width, num_classes).to(self.head.weight)

    def _pool(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x)).mean(dim=(2, 3))


def stem(in_channels: int, config: ResNetConfig) -> nn.Sequential:
    """7x7 convolution with stride 2 and 3x3 max-pooling with stride 2, padded with zeros as BiT does, not with -inf."""
    conv = StdConv2d(in_channels, config.stem_width, 7, stride=2)
    return nn.Sequential(conv, nn.ConstantPad2d(1, 0.0), nn.MaxPool2d(3, stride=2))


def small_stem(in_channels: int, width: int) -> nn.Sequential:
    """A 3x3 convolution that keeps the resolution, for images of a few dozen pixels."""
    return nn.Sequential(StdConv2d(in_channels, width, 3))


def stage(config: ResNetConfig, inputs: int, outputs: int, depth: int, index: int) -> nn.Sequential:
    """The `index`-th stage: `depth` blocks; the first has the stride and a projection on its shortcut."""
    block = BasicBlock if config.small_images else BottleneckBlock
    stride = 1 if index == 0 else 2
    first = block(inputs, outputs, stride=stride, project=True)
    return nn.Sequential(first, *(block(outputs, outputs, stride=1, project=False) for _ in range(depth - 1)))
