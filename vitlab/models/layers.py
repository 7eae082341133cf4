"""The parts of a Transformer layer, and the initial values of weights as the official code draws them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from vitlab.models.attention import SelfAttention
from vitlab.models.config import ViTConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


class DropPath(nn.Module):
    """Stochastic depth: drop a residual branch for an image at `rate`, scaling the others (arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if not self.training or self.rate == 0:
            return branch
        keep = branch.new_empty(branch.shape[0], *[1] * (branch.ndim - 1)).bernoulli_(1 - self.rate)
        return branch * keep / (1 - self.rate)


class MLP(nn.Module):
    """Two linear layers with a non-linearity between them (section 3.1)."""

    def __init__(self, width: int, hidden: int, *, activation: str, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.activation, self.dropout = activation, dropout
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, z: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        z = F.dropout(ACTIVATIONS[self.activation](self.fc1(z)), self.dropout, self.training)  # (B, T, 4D)
        return F.dropout(self.fc2(z), self.dropout, self.training)


class Block(nn.Module):
    """One layer: eq. 2 and 3; with `norm="post"` each norm comes after the addition instead."""

    def __init__(self, config: ViTConfig, attention: SelfAttention, *, drop_path: float) -> None:
        super().__init__()
        d = config.width
        self.post = config.norm == "post"
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=config.norm_eps), nn.LayerNorm(d, eps=config.norm_eps)
        self.attention = attention
        self.mlp = MLP(d, config.mlp_width or 4 * d, activation=config.activation, dropout=config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, z: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.residuals(z, self.attention(z if self.post else self.norm1(z)))

    def inspect(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) -> output (B, T, D) and attention weights (B, h, T, T)."""
        attended, weights = self.attention.inspect(z if self.post else self.norm1(z))
        return self.residuals(z, attended), weights

    def residuals(self, z: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer, given the output of its attention."""
        z = self.drop_path(self.dropout(attended)) + z  # z'_l = MSA(LN(z_{l-1})) + z_{l-1}        (2)
        if self.post:
            z = self.norm1(z)
            return self.norm2(self.drop_path(self.mlp(z)) + z)
        return self.drop_path(self.mlp(self.norm2(z))) + z  # z_l = MLP(LN(z'_l)) + z'_l           (3)


class Backbone(nn.Module):
    """A CNN below a Transformer: `channels` of its feature map, and pixels of the image for each of its positions."""

    channels: int
    stride: int


class PreLogits(nn.Module):
    """The hidden layer of the pre-training head: tanh of a linear map of width D (section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        lecun_normal_(self.linear.weight)
        zero_(self.linear.bias)

    def forward(self, y: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return self.linear(y).tanh()


def zero_linear(width: int, num_classes: int) -> nn.Linear:
    """A linear classifier whose weights and biases are zero (section 3.2)."""
    head = nn.Linear(width, num_classes)
    nn.init.zeros_(head.weight)
    zero_(head.bias)
    return head


def zero_(parameter: Tensor | None) -> None:
    """Set to zero, in place, a parameter that is there."""
    assert parameter is not None
    nn.init.zeros_(parameter)


def lecun_normal_(weight: Tensor) -> Tensor:
    """Normal of variance 1/fan_in, truncated at two deviations and rescaled: flax's default for layers (in place)."""
    std = math.sqrt(1 / weight[0].numel()) / 0.87962566103423978  # deviation of a normal truncated at +-2
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
