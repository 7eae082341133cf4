"""The Vision Transformer: equations 1 to 4 of Dosovitskiy et al., ICLR 2021 (arXiv 2010.11929)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitlab.errors import suggest
from vitlab.models import positions
from vitlab.models.attention import AxialAttention, SelfAttention

ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh"), "relu": F.relu}
CHOICES = {
    "head": ("linear", "tanh"),
    "pooling": ("cls", "gap"),
    "positions": positions.KINDS,
    "positions_at": positions.PLACES,
    "attention": ("full", "axial"),
    "norm": ("pre", "post"),
    "activation": tuple(ACTIVATIONS),
}


@dataclass(frozen=True)
class ViTConfig:
    """The shape of a ViT and its switches; the defaults are the paper's model with the fine-tuning head.

    `patch`: P in pixels (of the feature map in a hybrid); `width`: D; `mlp_width`: 4 D where it is None.
    `head`: "tanh" puts a hidden layer of width D before the classifier (pre-training, section 3.1).
    `pooling`: "cls" token or "gap", the mean over patch tokens (D.3). `class_token`: None means that there is one where
    `pooling` uses it; True with "gap" keeps one that the mean leaves out. `positions`, `positions_at`: D.4; relative
    positions act in every layer and go with "stem" only. `attention`: "axial" is D.6 and needs "gap".
    `norm`: "post" is the original Transformer's order, without a final norm. `activation`: the official JAX
    code has "gelu_tanh". `dropout`: after positions, after each projection and in the MLP;
    `drop_path`: stochastic depth, growing linearly to this rate at the last layer.
    """

    patch: int
    width: int
    depth: int
    heads: int
    mlp_width: int | None = None
    head: str = "linear"
    pooling: str = "cls"
    class_token: bool | None = None
    positions: str = "1d"
    positions_at: str = "stem"
    attention: str = "full"
    norm: str = "pre"
    activation: str = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"{field}={value!r}: choose from {', '.join(allowed)}.{suggest(str(value), allowed)}")
        for field in ("patch", "width", "depth", "heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}: change one of them")
        for field in ("dropout", "attention_dropout", "drop_path"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be in [0, 1)")
        if self.positions in ("relative", "none") and self.positions_at != "stem":
            raise ValueError(f"positions={self.positions!r} are not added to tokens: leave positions_at at 'stem'")
        if self.pooling == "cls" and self.class_token is False:
            raise ValueError("pooling='cls' needs the class token: drop class_token=False or take pooling='gap'")
        if self.attention == "axial" and (self.prefix_tokens or self.positions == "relative"):
            raise ValueError(
                "attention='axial' works on the token grid: take pooling='gap' and positions not 'relative'"
            )

    @property
    def prefix_tokens(self) -> int:
        """1 with a class token before the patch tokens, else 0."""
        return int(self.pooling == "cls" if self.class_token is None else self.class_token)


@dataclass(frozen=True)
class Inspection:
    """What a model computed on the way to its logits; shapes with batch B, tokens T, width D, heads h.

    `logits` (B, K); `pre_logits` (B, F), the input of the last linear layer; `tokens`: (B, T, D) after each block;
    `attention`: (B, h, T, T) of each block, rows sum to one. An axial layer counts as two blocks, row then column.
    A ResNet has no tokens and attention, but `maps`: (B, C, H, W) after each stage.
    """

    logits: Tensor
    pre_logits: Tensor
    tokens: tuple[Tensor, ...] = ()
    attention: tuple[Tensor, ...] = ()
    maps: tuple[Tensor, ...] = ()


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
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
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


class ViT(nn.Module):
    """A Vision Transformer on image patches, or, with a `backbone`, a hybrid on the feature map of a CNN.

    `image_size`: (height, width) in pixels. `backbone`: maps (B, C, H, W) to (B, channels, H/stride, W/stride) and has the
    attributes `channels` and `stride`; None for the patches themselves. The classifier starts at zero (section 3.1).
    Raises ValueError if the image does not divide into patches.
    """

    def __init__(
        self,
        config: ViTConfig,
        *,
        image_size: tuple[int, int],
        num_classes: int,
        in_channels: int = 3,
        backbone: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.config, self.image_size, self.in_channels = config, image_size, in_channels
        self.width, self.depth, self.heads = config.width, config.depth, config.heads
        self.prefix_tokens = config.prefix_tokens
        stride, channels = (1, in_channels) if backbone is None else (backbone.stride, backbone.channels)
        self.token_stride = stride * config.patch
        self.grid = token_grid(image_size, stride, config.patch)
        self.backbone = nn.Identity() if backbone is None else backbone
        self.patch = nn.Conv2d(channels, config.width, config.patch, stride=config.patch)  # E of eq. 1
        lecun_normal_(self.patch.weight)
        nn.init.zeros_(self.patch.bias)
        self.cls = nn.Parameter(torch.zeros(1, self.prefix_tokens, config.width))  # x_class, empty without it
        self.positions = nn.ModuleList(self._position_embeddings())
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(self._blocks())
        self.norm = nn.LayerNorm(config.width, eps=1e-6) if config.norm == "pre" else nn.Identity()
        self.pre_logits: nn.Module = PreLogits(config.width) if config.head == "tanh" else nn.Identity()
        self.head = zero_linear(config.width, num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Patch embeddings x_p^i E of eq. 1: (B, C, H, W) -> (B, N, D), before positions and the class token."""
        if images.shape[-2:] != self.image_size or images.shape[-3] != self.in_channels:
            raise ValueError(
                f"images of shape {tuple(images.shape)} do not fit this model: it was made for "
                f"{self.in_channels} channels of {self.image_size[0]} x {self.image_size[1]} px. Resize the images, or create "
                "the model with another image_size (loading weights interpolates its positions)."
            )
        return self.patch(self.backbone(images)).flatten(2).transpose(1, 2)

    def encode(self, embeddings: Tensor) -> Tensor:
        """Class token and positions, all blocks, final LayerNorm: (B, N, D) -> (B, P+N, D), P class tokens first."""
        z = self._start(embeddings)
        for index, block in enumerate(self.blocks):
            z = block(self._placed(z, index))
        return self.norm(z)

    def features(self, images: Tensor) -> Tensor:
        """Pre-logits, the input of the last linear layer: (B, C, H, W) -> (B, D)."""
        return self._pool(self.encode(self.embed(images)))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) normalised images -> (B, K) logits; raises ValueError for images of another size."""
        return self.head(self.features(images))

    def inspect(self, images: Tensor) -> Inspection:
        """The forward pass with everything that it computed, see `Inspection`."""
        z = self._start(self.embed(images))
        tokens, attention = [], []
        for index, block in enumerate(self.blocks):
            z, weights = block.inspect(self._placed(z, index))
            tokens.append(z)
            attention.append(weights)
        pre_logits = self._pool(self.norm(z))
        return Inspection(self.head(pre_logits), pre_logits, tuple(tokens), tuple(attention))

    def reset_head(self, num_classes: int) -> None:
        """A new linear classifier, zero, for `num_classes`; a tanh layer before it is removed (fine-tuning, section 3.2)."""
        self.pre_logits = nn.Identity()
        self.head = zero_linear(self.width, num_classes).to(self.head.weight)

    def set_activation(self, activation: str) -> None:
        """Change the MLPs' non-linearity, for weights that were trained with another one; ValueError if unknown."""
        self.config = replace(self.config, activation=activation)
        for block in self.blocks:
            block.mlp.activation = activation

    def _start(self, embeddings: Tensor) -> Tensor:
        """z_0 = [x_class; x_p^1 E; ...; x_p^N E] + E_pos (eq. 1): (B, N, D) -> (B, P+N, D)."""
        z = torch.cat([self.cls.to(embeddings).expand(len(embeddings), -1, -1), embeddings], dim=1)
        if self.config.positions_at == "stem" and self.positions:
            z = z + self.positions[0]()
        return self.dropout(z)

    def _placed(self, z: Tensor, index: int) -> Tensor:
        """Add positions at the beginning of layer `index`, where `positions_at` asks for it (D.4)."""
        if self.config.positions_at == "stem" or not self.positions:
            return z
        return z + self.positions[index if self.config.positions_at == "every_layer" else 0]()

    def _pool(self, encoded: Tensor) -> Tensor:
        """y = LN(z_L^0) (eq. 4), or the mean over patches: (B, P+N, D) -> (B, D)."""
        pooled = encoded[:, 0] if self.config.pooling == "cls" else encoded[:, self.prefix_tokens :].mean(dim=1)
        return self.pre_logits(pooled)

    def _position_embeddings(self) -> list[nn.Module]:
        count = len(self._drop_path_rates()) if self.config.positions_at == "every_layer" else 1
        made = (
            positions.position_embedding(self.config.positions, self.grid, self.width, prefix=self.prefix_tokens)
            for _ in range(count)
        )
        return [module for module in made if module is not None]

    def _blocks(self) -> list[Block]:
        return [
            Block(self.config, self._attention(index), drop_path=rate)
            for index, rate in enumerate(self._drop_path_rates())
        ]

    def _drop_path_rates(self) -> list[float]:
        """One rate for each block; an axial layer is two blocks, so that each attention has its own MLP (D.6)."""
        repeats = 2 if self.config.attention == "axial" else 1
        last = max(self.depth - 1, 1)
        return [self.config.drop_path * layer / last for layer in range(self.depth) for _ in range(repeats)]

    def _attention(self, index: int) -> SelfAttention:
        c = self.config
        if c.attention == "axial":
            axis = "column" if index % 2 else "row"
            return AxialAttention(c.width, c.heads, grid=self.grid, axis=axis, dropout=c.attention_dropout)
        tokens = self.prefix_tokens + self.grid[0] * self.grid[1] if c.positions == "relative" else None
        return SelfAttention(c.width, c.heads, dropout=c.attention_dropout, relative_tokens=tokens)


class PreLogits(nn.Module):
    """The hidden layer of the pre-training head: tanh of a linear map of width D (section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        lecun_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, y: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return self.linear(y).tanh()


def token_grid(image_size: tuple[int, int], stride: int, patch: int) -> tuple[int, int]:
    """Rows and columns of tokens; a CNN of `stride` rounds up, patches must divide its map, else ValueError."""
    rows, columns = (math.ceil(side / stride) for side in image_size)
    if rows % patch or columns % patch or min(rows, columns) < patch:
        what = "the image" if stride == 1 else f"the feature map (image size / {stride}, rounded up)"
        raise ValueError(
            f"image_size {image_size[0]} x {image_size[1]}: {what} of {rows} x {columns} does not divide into patches of "
            f"{patch}. Take a multiple of {stride * patch} px, or a model with another patch size."
        )
    return rows // patch, columns // patch


def zero_linear(width: int, num_classes: int) -> nn.Linear:
    """A linear classifier whose weights and biases are zero (section 3.2)."""
    head = nn.Linear(width, num_classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def lecun_normal_(weight: Tensor) -> Tensor:
    """Normal of variance 1/fan_in, truncated at two deviations and rescaled: flax's default for layers (in place)."""
    std = math.sqrt(1 / weight[0].numel()) / 0.87962566103423978  # deviation of a normal truncated at +-2
    return nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
