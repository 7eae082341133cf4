"""Weight-standardised convolutions and group norm, shared by BiT ResNets and the hybrids' stems."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitlab.models.layers import lecun_normal_


class StdConv2d(nn.Conv2d):
    """A convolution without bias whose filters have mean 0 and deviation 1 (arXiv 1903.10520).

    `same`: pad as TensorFlow's SAME, which for stride 2 puts more at the end; else k // 2 on every side, as BiT does.
    `eps`: added to the variance, or, with `eps_on_deviation`, to the deviation, as the official hybrids do.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, same: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=0 if same else kernel // 2, bias=False)
        self.same, self.eps, self.eps_on_deviation = same, 1e-8, False
        lecun_normal_(self.weight)

    def standardized(self) -> Tensor:
        """The filters that are convolved with: (O, I, k, k)."""
        flat = self.weight.flatten(1)  # (O, I k k)
        if self.eps_on_deviation:
            centred = flat - flat.mean(dim=1, keepdim=True)
            return (centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + self.eps)).view_as(self.weight)
        # Batch norm over one "image" whose channels are the filters: one operation, and timm's, so that results agree
        # to the bit. Rounding alone flips ReLUs, which changes single gradients of a deep ResNet by per cents.
        return F.batch_norm(flat[None], None, None, training=True, eps=self.eps).view_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, O, H/stride, W/stride), rounded up."""
        if self.same:
            x = pad_same(x, self.kernel_size[0], self.stride[0])
        if self.kernel_size == (1, 1) and x.device.type == "cpu" and x.dtype == torch.bfloat16:
            # The pixels that a strided shortcut does not look at are left out first: the same numbers to the bit
            # for less time, most of it in the backward pass. In float32 the last bit can differ, so it stays as it was.
            return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.standardized())
        return F.conv2d(x, self.standardized(), None, self.stride, self.padding)


def pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad the last two dimensions as TensorFlow's SAME: output size = input size / stride, the odd pixel at the end."""
    height, width = (
        max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in (x.shape[-2], x.shape[-1])
    )
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2), value=value)


def group_norm(channels: int, *, eps: float = 1e-5) -> nn.GroupNorm:
    """32 groups as in BiT; where they do not fit, as many as divide the channels and hold 4 or more of them."""
    fits = channels % 32 == 0 and channels >= 64
    most = 32 if fits else max(min(32, channels // 4), 1)
    return nn.GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels, eps=eps)
