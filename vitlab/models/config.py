"""The settings of a Vision Transformer: its shape (Table 1) and the switches of the paper's ablations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vitlab.errors import suggest

CHOICES = {
    "head": ("linear", "tanh"),
    "pooling": ("cls", "gap"),
    "positions": ("none", "1d", "2d", "relative", "sincos2d"),
    "positions_at": ("stem", "every_layer", "every_layer_shared"),
    "attention": ("full", "axial"),
    "norm": ("pre", "post"),
    "activation": ("gelu", "gelu_tanh", "relu"),
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
    code has "gelu_tanh", timm and most PyTorch code the exact "gelu". `norm_eps`: added to the variance in layer norms;
    `dropout`: after positions, after each projection and in the MLP;
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
    norm_eps: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name}={value!r}: choose from {', '.join(allowed)}.{suggest(str(value), allowed)}")
        for name in ("patch", "width", "depth", "heads", "mlp_width"):
            if (size := getattr(self, name)) is not None and size < 1:
                raise ValueError(f"{name}={size} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}: change one of them")
        for name in ("dropout", "attention_dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be in [0, 1)")
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
class Settings:
    """The arguments that make a model again: `create(name, image_size=..., num_classes=..., ..., **overrides)`."""

    name: str
    image_size: tuple[int, int]
    num_classes: int
    in_channels: int = 3
    overrides: Mapping[str, Any] = field(default_factory=dict)
