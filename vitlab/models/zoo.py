"""The names of models: Table 1, the hybrids and BiT ResNets of the paper, and a family for small images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from vitlab.errors import suggest
from vitlab.models.config import Settings, ViTConfig
from vitlab.models.hybrid import HybridBackbone, SmallBackbone
from vitlab.models.resnet import ResNet, ResNetConfig
from vitlab.models.vit import ViT

Model = ViT | ResNet

PATCHES = (1, 2, 4, 7, 8, 14, 16, 32)
SMALL_STRIDES = tuple(SmallBackbone.STRIDES)

# Width, depth, heads: Table 1; Ti and S from "How to train your ViT" (arXiv 2106.10270); b is B at half width (fig. 4).
PAPER_VITS = {
    "Ti": (192, 12, 3),
    "S": (384, 12, 6),
    "b": (384, 12, 6),
    "B": (768, 12, 12),
    "L": (1024, 24, 16),
    "H": (1280, 32, 16),
}
# Three families for images of 8 to 64 px whose parameters agree within 10 % at each size (32 px, /4, 10 classes).
SMALL_VITS = {
    "Pico": (64, 2, 4),
    "Nano": (96, 3, 3),
    "Micro": (128, 6, 4),
    "Mini": (192, 6, 3),
    "Small": (256, 6, 4),
}
SMALL_HYBRIDS = {  # channels of the CNN's first block; then width, depth, heads
    "Pico": (12, 48, 2, 4),
    "Nano": (20, 96, 2, 3),
    "Micro": (36, 128, 4, 4),
    "Mini": (52, 192, 4, 3),
    "Small": (52, 256, 5, 4),
}
SMALL_RESNETS = {  # widths of the three stages; blocks in each
    "Pico": ((16, 32, 80), 1),
    "Nano": ((24, 48, 88), 2),
    "Micro": ((40, 80, 168), 2),
    "Mini": ((64, 128, 248), 2),
    "Small": ((80, 160, 336), 2),
}
BIT_LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
# Official hybrids: ViT size; ResNet stages; patch size on the feature map. R50 is in two forms, see `hybrid`.
HYBRIDS = {
    "R+ViT-Ti/16": ("Ti", (), 8),
    "R26+ViT-S/32": ("S", (2, 2, 2, 2), 1),
    "R26+ViT-B/32": ("B", (2, 2, 2, 2), 1),
    "R50+ViT-B/16": ("B", (3, 4, 9), 1),
    "R50+ViT-B/32": ("B", (3, 4, 6, 3), 1),
    "R50+ViT-L/16": ("L", (3, 4, 9), 1),
    "R50+ViT-L/32": ("L", (3, 4, 6, 3), 1),
}


class Count(NamedTuple):
    """Trainable parameters, and FLOPs of one image's forward pass, where a multiply-add counts as two."""

    parameters: int
    flops: int


def create(
    name: str, *, image_size: int | tuple[int, int], num_classes: int, in_channels: int = 3, **overrides: Any
) -> Model:
    """The model called `name`, see `names()`, with random weights and a classifier of zeros.

    `image_size`: pixels, one number or (height, width). `overrides`: any field of `ViTConfig` (for ViTs and hybrids) or
    `ResNetConfig`; hybrids with an R in their name also take `stage` and `numerics`, see `hybrid`.
    Raises ValueError for an unknown name or override, and if the image does not divide into patches.
    """
    if name not in builders():
        raise ValueError(f"There is no model {name!r}.{suggest(name, names())} {_alike(name)}")
    size = (image_size, image_size) if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))
    if min(size) < 1 or num_classes < 1 or in_channels < 1:
        raise ValueError(f"{image_size=}, {num_classes=} and {in_channels=} must all be at least 1")
    model = builders()[name](overrides, image_size=size, num_classes=num_classes, in_channels=in_channels)
    model.settings = Settings(name, size, num_classes, in_channels, dict(overrides))
    return model


def names() -> list[str]:
    """All model names, the paper's first."""
    return list(builders())


def _alike(name: str) -> str:
    """What there is in place of a name that there is not: its patch sizes, or all models."""
    stem = name.partition("/")[0]
    same = [known.partition("/")[2] for known in names() if known.startswith(f"{stem}/")]
    if same:
        return f"{stem} has patches of {', '.join(same)} px."
    stems = ", ".join(dict.fromkeys(known.partition("/")[0] for known in names()))
    return f"There are {stems}; ViTs and hybrids with a patch behind it, as in ViT-B/16."


def count(model: Model | str, **arguments: Any) -> Count:
    """Parameters and forward FLOPs per image of a model, or of `create(model, **arguments)`; nothing is computed.

    Matrix products, convolutions and attention count; norms, non-linearities and additions do not. So a ViT of width D,
    depth L and MLP width M, with N patches of P x P x C numbers, T tokens (N and the class token) and K classes, takes
        2 (N C P^2 D + L T (4 D^2 + 2 D M + 2 T D) + D K),
    and 2 D^2 more for a tanh layer. An axial layer is two blocks, each with T D times the tokens of a line for T^2 D.
    """
    with torch.device("meta"):
        copy = (create(model, **arguments) if isinstance(model, str) else recreate(settings_of(model))).eval()
        images = torch.empty(1, copy.in_channels, *copy.image_size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            copy(images)
    return Count(sum(p.numel() for p in copy.parameters()), counter.get_total_flops())


def settings_of(model: Model) -> Settings:
    """What a model is now: its creation's settings, and what `reset_head` and loaded weights have changed since."""
    made = model.settings
    overrides = dict(made.overrides)
    now: dict[str, Any] = {}
    if isinstance(model, ViT):
        default = ViTConfig(1, 1, 1, 1)
        for name in ("head", "activation", "norm_eps"):
            now[name] = getattr(model.config, name), getattr(default, name)
        if isinstance(model.backbone, HybridBackbone):
            now["numerics"] = model.backbone.numerics, "official"
    for name, (value, usual) in now.items():
        overrides.pop(name, None)
        if value != usual:
            overrides[name] = value
    return replace(made, num_classes=model.head.out_features, overrides=overrides)


def recreate(settings: Settings) -> Model:
    """A model with these settings and random weights."""
    arguments = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "overrides"}
    return create(**arguments, **settings.overrides)


Builder = Callable[..., Model]


@cache
def builders() -> dict[str, Builder]:
    """Name -> function of (overrides, image_size, num_classes, in_channels)."""
    made: dict[str, Builder] = {}
    for size, (width, depth, heads) in {**PAPER_VITS, **SMALL_VITS}.items():
        for patch in PATCHES:
            made[f"ViT-{size}/{patch}"] = vit(ViTConfig(patch, width, depth, heads))
    for name, (size, layers, patch) in HYBRIDS.items():
        made[name] = hybrid(ViTConfig(patch, *PAPER_VITS[size]), layers)
    for depth in BIT_LAYERS:
        for factor in (1, 2, 3, 4):
            made[f"R{depth}x{factor}"] = resnet(bit_config(depth, factor))
    for size, (channels, width, depth, heads) in SMALL_HYBRIDS.items():
        for stride in SMALL_STRIDES:
            made[f"HybridViT-{size}/{stride}"] = small_hybrid(ViTConfig(1, width, depth, heads), channels, stride)
    for size, (widths, blocks) in SMALL_RESNETS.items():
        made[f"ResNet-{size}"] = resnet(ResNetConfig((blocks,) * 3, widths, widths[0], small_images=True))
    return made


def vit(config: ViTConfig) -> Builder:
    """A builder of plain ViTs."""
    return lambda overrides, **arguments: ViT(override(config, overrides), **arguments)


def small_hybrid(config: ViTConfig, channels: int, stride: int) -> Builder:
    """A builder of hybrids for small images, whose tokens are `stride` px of the image."""

    def build(overrides: Mapping[str, Any], *, in_channels: int, **arguments: Any) -> ViT:
        backbone = SmallBackbone(in_channels, channels, stride=stride)
        return ViT(override(config, overrides), in_channels=in_channels, backbone=backbone, **arguments)

    return build


def hybrid(config: ViTConfig, layers: tuple[int, ...]) -> Builder:
    """A builder of official hybrids. Two more overrides:

    `stage`: 4 for the output of stage 4 of a regular ResNet-50 (/32), 3 for stage 3 extended to the same number of
    layers (/16, a four times longer sequence; section 3.1); by default what the name says.
    `numerics`: see `HybridBackbone`.
    """

    def build(overrides: Mapping[str, Any], *, in_channels: int, **arguments: Any) -> ViT:
        rest = dict(overrides)
        stages = hybrid_layers(layers, rest.pop("stage", None))
        backbone = HybridBackbone(in_channels, stages, numerics=rest.pop("numerics", "official"))
        made = override(config, rest, also=("stage", "numerics"))
        return ViT(made, in_channels=in_channels, backbone=backbone, **arguments)

    return build


def hybrid_layers(layers: tuple[int, ...], stage: int | None) -> tuple[int, ...]:
    """Blocks of each stage: 3-4-6-3 to stage 4, or 3-4-9 with the blocks of stage 4 in stage 3; else ValueError."""
    if stage is None:
        return layers
    if sum(layers) != 16 or stage not in (3, 4):
        raise ValueError(f"stage={stage!r}: hybrids with an R50 take 3 or 4, the others have no such choice")
    return (3, 4, 9) if stage == 3 else (3, 4, 6, 3)


def bit_config(depth: int, factor: int) -> ResNetConfig:
    """BiT's R{depth}x{factor}: a ResNet of that depth with all widths multiplied by the factor."""
    widths = tuple(256 * 2**stage * factor for stage in range(4))
    return ResNetConfig(BIT_LAYERS[depth], widths, 64 * factor)


def resnet(config: ResNetConfig) -> Builder:
    """A builder of ResNets."""
    return lambda overrides, **arguments: ResNet(override(config, overrides), **arguments)


def override(config: Any, overrides: Mapping[str, Any], *, also: tuple[str, ...] = ()) -> Any:
    """`config` with some fields replaced; ValueError names what does not exist."""
    allowed = [f.name for f in fields(config)]
    for key in overrides:
        if key not in allowed:
            known = [*allowed, *also]
            raise ValueError(f"This model has no setting {key!r}.{suggest(key, known)} It has: {', '.join(known)}.")
    return replace(config, **overrides)
