"""The Vision Transformer: equations 1 to 4 of Dosovitskiy et al., ICLR 2021 (arXiv 2010.11929)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vitlab.models.attention import AxialAttention, SelfAttention
from vitlab.models.config import Settings, ViTConfig
from vitlab.models.layers import MLP, Backbone, Block, PreLogits, lecun_normal_, zero_, zero_linear
from vitlab.models.positions import position_embedding


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


class ViT(nn.Module):
    """A Vision Transformer on image patches, or, with a `backbone`, a hybrid on the feature map of a CNN.

    `image_size`: (height, width) in pixels. `backbone`: maps (B, C, H, W) to (B, channels, H/stride, W/stride) and has
    the attributes `channels` and `stride`; None for the patches themselves. The classifier starts at zero.
    Raises ValueError if the image does not divide into patches.
    """

    settings: Settings  # how `create` made it

    def __init__(
        self,
        config: ViTConfig,
        *,
        image_size: tuple[int, int],
        num_classes: int,
        in_channels: int = 3,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        self.config, self.image_size, self.in_channels = config, image_size, in_channels
        self.width, self.depth, self.heads = config.width, config.depth, config.heads
        self.prefix_tokens = config.prefix_tokens
        stride, channels = (1, in_channels) if backbone is None else (backbone.stride, backbone.channels)
        self.token_stride = stride * config.patch
        self.grid = token_grid(image_size, stride, config.patch)
        self.backbone: nn.Module = nn.Identity() if backbone is None else backbone
        self.patch = nn.Conv2d(channels, config.width, config.patch, stride=config.patch)  # E of eq. 1
        lecun_normal_(self.patch.weight)
        zero_(self.patch.bias)
        self.cls = nn.Parameter(torch.zeros(1, self.prefix_tokens, config.width))  # x_class, empty without it
        self.positions = nn.ModuleList(self._position_embeddings())
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(self._blocks())
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps) if config.norm == "pre" else nn.Identity()
        self.pre_logits: nn.Module = PreLogits(config.width) if config.head == "tanh" else nn.Identity()
        self.head = zero_linear(config.width, num_classes)

    def embed(self, images: Tensor) -> Tensor:
        """Patch embeddings x_p^i E of eq. 1: (B, C, H, W) -> (B, N, D), before positions and the class token."""
        if images.shape[-2:] != self.image_size or images.shape[-3] != self.in_channels:
            raise ValueError(
                f"images of shape {tuple(images.shape)} do not fit this model: it was made for "
                f"{self.in_channels} channels of {self.image_size[0]} x {self.image_size[1]} px. Resize the images, or "
                "create the model with another image_size (loading weights interpolates its positions)."
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
            assert isinstance(block, Block)
            z, weights = block.inspect(self._placed(z, index))
            tokens.append(z)
            attention.append(weights)
        pre_logits = self._pool(self.norm(z))
        return Inspection(self.head(pre_logits), pre_logits, tuple(tokens), tuple(attention))

    def reset_head(self, num_classes: int) -> None:
        """A new linear classifier, zero, for `num_classes`; a tanh layer before it is removed (section 3.2)."""
        self.config, self.pre_logits = replace(self.config, head="linear"), nn.Identity()
        self.head = zero_linear(self.width, num_classes).to(self.head.weight)

    def set_numerics(self, *, activation: str, norm_eps: float) -> None:
        """Take the non-linearity and the constant of layer norms that weights were made with; ValueError if unknown."""
        self.config = replace(self.config, activation=activation, norm_eps=norm_eps)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = norm_eps
            elif isinstance(module, MLP):
                module.activation = activation

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
            position_embedding(self.config.positions, self.grid, self.width, prefix=self.prefix_tokens)
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


def token_grid(image_size: tuple[int, int], stride: int, patch: int) -> tuple[int, int]:
    """Rows and columns of tokens; a CNN of `stride` rounds up, patches must divide its map, else ValueError."""
    rows, columns = (math.ceil(side / stride) for side in image_size)
    if rows % patch or columns % patch or min(rows, columns) < patch:
        what = "the image" if stride == 1 else f"the feature map (image size / {stride}, rounded up)"
        raise ValueError(
            f"image_size {image_size[0]} x {image_size[1]}: {what} of {rows} x {columns} does not divide into patches "
            f"of {patch}. Take a multiple of {stride * patch} px, or a model with another patch size."
        )
    return rows // patch, columns // patch
