"""CNNs under a Vision Transformer: its sequence is their flattened feature map (section 3.1, "Hybrid Architecture")."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vitlab.models.convolution import StdConv2d, group_norm, pad_same
from vitlab.models.layers import Backbone
from vitlab.models.resnet import BasicBlock

NUMERICS = ("official", "timm")


class ResidualUnit(nn.Module):
    """Bottleneck of the official hybrids: norm after each convolution, ReLU after the addition (not pre-activation)."""

    def __init__(self, inputs: int, inner: int, *, stride: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.conv1, self.norm1 = StdConv2d(inputs, inner, 1, same=True), group_norm(inner)
        self.conv2, self.norm2 = StdConv2d(inner, inner, 3, stride=stride, same=True), group_norm(inner)
        self.conv3, self.norm3 = StdConv2d(inner, outputs, 1, same=True), group_norm(outputs)
        nn.init.zeros_(self.norm3.weight)  # each unit starts as its shortcut
        self.project = inputs != outputs or stride > 1
        if self.project:
            self.conv_project = StdConv2d(inputs, outputs, 1, stride=stride, same=True)
            self.norm_project = group_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, 4 inner, H/stride, W/stride)."""
        shortcut = self.norm_project(self.conv_project(x)) if self.project else x
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(shortcut + self.norm3(self.conv3(y)))


class HybridBackbone(Backbone):
    """The ResNet under the official hybrids: 7x7 root and pooling (stride 4), then a stage for each of `layers`.

    All padding is SAME. `numerics`: "official" for the constants of google-research/vision_transformer, 1e-5 added to
    the deviation of filters and 1e-6 in group norm; "timm" for those of timm 1.0, 1e-8 added to the variance and 1e-5.
    Without stages the stride is 4, root and pooling, so that the official "R+ViT-Ti/16", with patches of 8 on it,
    has tokens of 32 px, whatever its name says.
    """

    def __init__(self, in_channels: int, layers: tuple[int, ...], *, numerics: str = "official") -> None:
        super().__init__()
        self.root, self.root_norm = StdConv2d(in_channels, 64, 7, stride=2, same=True), group_norm(64)
        self.stages = nn.Sequential()
        self.channels, self.stride = 64, 4
        for index, depth in enumerate(layers):
            self.stages.append(self._stage(64 * 2**index, depth, stride=1 if index == 0 else 2))
        self.set_numerics(numerics)

    def _stage(self, inner: int, depth: int, *, stride: int) -> nn.Sequential:
        first = ResidualUnit(self.channels, inner, stride=stride)
        self.channels, self.stride = 4 * inner, self.stride * stride
        return nn.Sequential(first, *(ResidualUnit(4 * inner, inner, stride=1) for _ in range(depth - 1)))

    def set_numerics(self, numerics: str) -> None:
        """Take the small constants of the implementation that weights come from; ValueError if it is unknown."""
        if numerics not in NUMERICS:
            raise ValueError(f"numerics={numerics!r}: choose from {', '.join(NUMERICS)}.")
        self.numerics, official = numerics, numerics == "official"
        for module in self.modules():
            if isinstance(module, StdConv2d):
                module.eps, module.eps_on_deviation = (1e-5, True) if official else (1e-8, False)
            elif isinstance(module, nn.GroupNorm):
                module.eps = 1e-6 if official else 1e-5

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, channels, H/stride, W/stride), rounded up."""
        x = F.relu(self.root_norm(self.root(images)))
        x = F.max_pool2d(pad_same(x, 3, 2, value=float("-inf")), 3, 2)
        return self.stages(x)


class SmallBackbone(Backbone):
    """A pre-activation ResNet of three blocks for small images, with the stride of one token: 1, 2, 4 or 8.

    Blocks have `width`, 2 `width` and 4 `width` channels at every stride, so that the number of parameters is the
    same; the strides sit in the last blocks. ValueError for another stride.
    """

    STRIDES = {1: (1, 1, 1), 2: (1, 1, 2), 4: (1, 2, 2), 8: (2, 2, 2)}

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        if stride not in self.STRIDES:
            raise ValueError(f"a small hybrid has tokens of 1, 2, 4 or 8 px, not {stride}")
        self.stride, self.channels = stride, 4 * width
        self.stem = StdConv2d(in_channels, width, 3)
        widths = zip((width, width, 2 * width), (width, 2 * width, 4 * width), self.STRIDES[stride], strict=True)
        self.blocks = nn.Sequential(*(BasicBlock(i, o, stride=s, project=i != o or s > 1) for i, o, s in widths))
        self.norm = group_norm(self.channels)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, channels, H/stride, W/stride), rounded up."""
        return F.relu(self.norm(self.blocks(self.stem(images))))
