"""Where each tensor of a model lies in other people's files: timm, the authors' `.npz`, Hugging Face.

A layout is a list of `Entry`: one of our tensors, the name or names that hold it elsewhere, and how it is turned into
them and back. One list serves reading and writing, so that a round trip is exact. Names that differ between versions of
a foreign library are made uniform first, by `vitlab.models.names`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vitlab.models.hybrid import HybridBackbone
from vitlab.models.resnet import BottleneckBlock, ResNet
from vitlab.models.vit import ViT

LAYOUTS = ("vitlab", "timm", "official", "huggingface")


class Turn(NamedTuple):
    """How our tensor becomes the foreign ones (`out`) and back (`back`)."""

    out: Callable[[Tensor], tuple[Tensor, ...]]
    back: Callable[..., Tensor]


@dataclass(frozen=True)
class Entry:
    """`ours` is held by `theirs`, in that order, after `turn`."""

    ours: str
    theirs: tuple[str, ...]
    turn: Turn


SAME = Turn(lambda t: (t,), lambda t: t)
THIRDS = Turn(lambda t: t.chunk(3), lambda *parts: torch.cat(parts))  # queries, keys, values
TRANSPOSED = Turn(lambda t: (t.T,), lambda t: t.t())  # flax keeps (inputs, outputs)
KERNEL = Turn(lambda t: (t.permute(2, 3, 1, 0),), lambda t: t.permute(3, 2, 0, 1))  # OIHW <-> HWIO
VECTOR = Turn(lambda t: (t,), lambda t: t.flatten())  # older files keep the scales of group norms as (1, 1, 1, C)
CONV_HEAD = Turn(lambda t: (t[:, :, None, None],), lambda t: t.flatten(1))  # timm: (K, F, 1, 1)
FLAX_CONV_HEAD = Turn(lambda t: (t.T[None, None],), lambda t: t.flatten(0, 2).t())  # BiT: (1, 1, F, K)


def flax_heads(heads: int) -> tuple[Turn, Turn, Turn]:
    """Turns for flax's attention: kernels of q, k, v (D, h, d); their biases (h, d); kernel of the output (h, d, D)."""

    def split(weight: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.T.unflatten(1, (heads, -1)) for part in weight.chunk(3))

    def split_bias(bias: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.unflatten(0, (heads, -1)) for part in bias.chunk(3))

    return (
        Turn(split, lambda *parts: torch.cat([part.flatten(1).t() for part in parts])),
        Turn(split_bias, lambda *parts: torch.cat([part.flatten() for part in parts])),
        Turn(lambda t: (t.T.unflatten(0, (heads, -1)),), lambda t: t.flatten(0, 1).t()),
    )


def entries(model: nn.Module, layout: str) -> list[Entry]:
    """The list for a model; ValueError if `layout` is unknown or has no place for models of this kind."""
    if layout == "vitlab":
        return [Entry(name, (name,), SAME) for name in model.state_dict()]
    makers = {"timm": timm_entries, "official": official_entries, "huggingface": huggingface_entries}
    if layout not in makers:
        raise ValueError(f"layout={layout!r}: choose from {', '.join(LAYOUTS)}.")
    return list(makers[layout](model))


def pair(ours: str, theirs: str, turn: Turn = SAME) -> Iterator[Entry]:
    """Entries for the weight and the bias of a module that keeps them under the same names."""
    yield Entry(f"{ours}.weight", (f"{theirs}.weight",), turn)
    yield Entry(f"{ours}.bias", (f"{theirs}.bias",), SAME)


def flax_pair(ours: str, theirs: str, turn: Turn = TRANSPOSED) -> Iterator[Entry]:
    """Entries for a flax layer's kernel and bias."""
    yield Entry(f"{ours}.weight", (f"{theirs}/kernel",), turn)
    yield Entry(f"{ours}.bias", (f"{theirs}/bias",), SAME)


def flax_norm(ours: str, theirs: str, names: tuple[str, str] = ("scale", "bias")) -> Iterator[Entry]:
    """Entries for a flax norm's scale and bias."""
    yield Entry(f"{ours}.weight", (f"{theirs}/{names[0]}",), VECTOR)
    yield Entry(f"{ours}.bias", (f"{theirs}/{names[1]}",), VECTOR)


def timm_entries(model: nn.Module) -> Iterator[Entry]:
    """timm's `VisionTransformer` (with `HybridEmbed` for hybrids) and `ResNetV2`.

    timm 1.0 differs from the authors' code in the GELU (exact), in the small constants of the hybrids' CNN (see
    `HybridBackbone`), in the interpolation of positions (see `resize_grid`), and in models with `global_pool="avg"`,
    which normalise after the mean: their "fc_norm" has no place here, since the authors normalise before it (eq. 4).
    """
    if isinstance(model, ResNet):
        yield from timm_resnet(model)
        return
    vit = plain(model, "timm")
    yield from tokens(vit, "cls_token", "pos_embed")
    if isinstance(vit.backbone, HybridBackbone):
        yield from timm_backbone(vit.backbone)
    yield from pair("patch", "patch_embed.proj")
    for i in range(vit.depth):
        for ours, theirs in (("attention.qkv", "attn.qkv"), ("attention.out", "attn.proj")):
            yield from pair(f"blocks.{i}.{ours}", f"blocks.{i}.{theirs}")
        for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
            yield from pair(f"blocks.{i}.{name}", f"blocks.{i}.{name}")
    yield from pair("norm", "norm")
    yield from hidden(vit, pair("pre_logits.linear", "pre_logits.fc"))
    yield from pair("head", "head")


def timm_backbone(backbone: HybridBackbone) -> Iterator[Entry]:
    """The CNN in timm's hybrids; without stages timm has no module "stem" around the root."""
    prefix = "patch_embed.backbone."
    stem = f"{prefix}stem." if len(backbone.stages) else prefix
    yield Entry("backbone.root.weight", (f"{stem}conv.weight",), SAME)
    yield from pair("backbone.root_norm", f"{stem}norm")
    stages: Any = backbone.stages
    for i, stage in enumerate(stages):
        for j, unit in enumerate(stage):
            ours, theirs = f"backbone.stages.{i}.{j}.", f"{prefix}stages.{i}.blocks.{j}."
            for r in (1, 2, 3):
                yield Entry(f"{ours}conv{r}.weight", (f"{theirs}conv{r}.weight",), SAME)
                yield from pair(f"{ours}norm{r}", f"{theirs}norm{r}")
            if unit.project:
                yield Entry(f"{ours}conv_project.weight", (f"{theirs}downsample.conv.weight",), SAME)
                yield from pair(f"{ours}norm_project", f"{theirs}downsample.norm")


def timm_resnet(model: ResNet) -> Iterator[Entry]:
    """timm's `ResNetV2`, whose classifier is a 1x1 convolution."""
    yield Entry("stem.0.weight", ("stem.conv.weight",), SAME)
    stages: Any = model.stages
    for i, stage in enumerate(stages):
        for j, block in enumerate(stage):
            ours, theirs = f"stages.{i}.{j}.", f"stages.{i}.blocks.{j}."
            for r in (1, 2, 3) if isinstance(block, BottleneckBlock) else (1, 2):
                yield Entry(f"{ours}conv{r}.weight", (f"{theirs}conv{r}.weight",), SAME)
                yield from pair(f"{ours}norm{r}", f"{theirs}norm{r}")
            if block.shortcut is not None:
                yield Entry(f"{ours}shortcut.weight", (f"{theirs}downsample.conv.weight",), SAME)
    yield from pair("norm", "norm")
    yield from pair("head", "head.fc", CONV_HEAD)


def official_entries(model: nn.Module) -> Iterator[Entry]:
    """google-research/vision_transformer (ViT, augreg, hybrids) and google-research/big_transfer (BiT)."""
    if isinstance(model, ResNet):
        yield from official_resnet(model)
        return
    vit = plain(model, "official")
    yield from tokens(vit, "cls", "Transformer/posembed_input/pos_embedding")
    if isinstance(vit.backbone, HybridBackbone):
        yield from official_backbone(vit.backbone)
    yield from flax_pair("patch", "embedding", KERNEL)
    qkv, qkv_bias, out = flax_heads(vit.heads)
    for i in range(vit.depth):
        ours, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        attention = f"{theirs}MultiHeadDotProductAttention_1/"
        yield from flax_norm(f"{ours}norm1", f"{theirs}LayerNorm_0")
        three = [f"{attention}{name}" for name in ("query", "key", "value")]
        yield Entry(f"{ours}attention.qkv.weight", tuple(f"{name}/kernel" for name in three), qkv)
        yield Entry(f"{ours}attention.qkv.bias", tuple(f"{name}/bias" for name in three), qkv_bias)
        yield from flax_pair(f"{ours}attention.out", f"{attention}out", out)
        yield from flax_norm(f"{ours}norm2", f"{theirs}LayerNorm_2")
        yield from flax_pair(f"{ours}mlp.fc1", f"{theirs}MlpBlock_3/Dense_0")
        yield from flax_pair(f"{ours}mlp.fc2", f"{theirs}MlpBlock_3/Dense_1")
    yield from flax_norm("norm", "Transformer/encoder_norm")
    yield from hidden(vit, flax_pair("pre_logits.linear", "pre_logits"))
    yield from flax_pair("head", "head")


def official_backbone(backbone: HybridBackbone) -> Iterator[Entry]:
    """The CNN in the official hybrids."""
    yield Entry("backbone.root.weight", ("conv_root/kernel",), KERNEL)
    yield from flax_norm("backbone.root_norm", "gn_root")
    stages: Any = backbone.stages
    for i, stage in enumerate(stages):
        for j, unit in enumerate(stage):
            ours, theirs = f"backbone.stages.{i}.{j}.", f"block{i + 1}/unit{j + 1}/"
            for part in ("1", "2", "3", *(["_project"] if unit.project else [])):
                name = part.replace("_project", "_proj")
                yield Entry(f"{ours}conv{part}.weight", (f"{theirs}conv{name}/kernel",), KERNEL)
                yield from flax_norm(f"{ours}norm{part}", f"{theirs}gn{name}")


def official_resnet(model: ResNet) -> Iterator[Entry]:
    """The `.npz` of BiT; ValueError for the ResNets for small images, which the authors do not have."""
    if model.config.small_images:
        raise ValueError("ResNets for small images have no official layout: use 'vitlab' or 'timm'")
    kernel, norm = "standardized_conv2d/kernel", ("gamma", "beta")
    yield Entry("stem.0.weight", (f"resnet/root_block/{kernel}",), KERNEL)
    stages: Any = model.stages
    for i, stage in enumerate(stages):
        for j, block in enumerate(stage):
            ours, theirs = f"stages.{i}.{j}.", f"resnet/block{i + 1}/unit{j + 1:02d}/"
            for r, letter in enumerate("abc", start=1):
                yield Entry(f"{ours}conv{r}.weight", (f"{theirs}{letter}/{kernel}",), KERNEL)
                yield from flax_norm(f"{ours}norm{r}", f"{theirs}{letter}/group_norm", norm)
            if block.shortcut is not None:
                yield Entry(f"{ours}shortcut.weight", (f"{theirs}a/proj/{kernel}",), KERNEL)
    yield from flax_norm("norm", "resnet/group_norm", norm)
    yield from flax_pair("head", "resnet/head/conv2d", FLAX_CONV_HEAD)


def huggingface_entries(model: nn.Module) -> Iterator[Entry]:
    """transformers' `ViTModel` and `ViTForImageClassification`, as their files name things; ViTs without a CNN only."""
    vit = plain(model, "huggingface")
    if not isinstance(vit.backbone, nn.Identity):
        raise ValueError("transformers' ViT has no hybrids: take a plain ViT")
    yield from tokens(vit, "embeddings.cls_token", "embeddings.position_embeddings")
    yield from pair("patch", "embeddings.patch_embeddings.projection")
    for i in range(vit.depth):
        ours, theirs = f"blocks.{i}.", f"encoder.layer.{i}."
        three = [f"{theirs}attention.attention.{name}" for name in ("query", "key", "value")]
        for kind in ("weight", "bias"):
            yield Entry(f"{ours}attention.qkv.{kind}", tuple(f"{name}.{kind}" for name in three), THIRDS)
        for mine, name in (
            ("attention.out", "attention.output.dense"),
            ("norm1", "layernorm_before"),
            ("norm2", "layernorm_after"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ):
            yield from pair(f"{ours}{mine}", f"{theirs}{name}")
    yield from pair("norm", "layernorm")
    yield from hidden(vit, pair("pre_logits.linear", "pooler.dense"))
    yield from pair("head", "classifier")


def plain(model: nn.Module, layout: str) -> ViT:
    """The model, if it is a ViT that other libraries know; ValueError says which of its switches they do not."""
    if not isinstance(model, ViT):
        raise ValueError(f"The {layout} layout has no place for a {type(model).__name__}")
    c = model.config
    odd = {"attention": "full", "norm": "pre", "positions_at": "stem"}
    wrong = [f"{name}={getattr(c, name)!r}" for name, value in odd.items() if getattr(c, name) != value]
    if c.positions in ("2d", "relative"):
        wrong.append(f"positions={c.positions!r}")
    if not isinstance(model.backbone, nn.Identity | HybridBackbone):
        wrong.append("the CNN for small images")
    if wrong:
        raise ValueError(f"The {layout} layout has no place for {', '.join(wrong)}: use vitlab's own")
    return model


def tokens(vit: ViT, cls: str, positions: str) -> Iterator[Entry]:
    """Entries for the class token and the learned positions, where the model has them."""
    if vit.prefix_tokens:
        yield Entry("cls", (cls,), SAME)
    if vit.config.positions == "1d":
        yield Entry("positions.0.table", (positions,), SAME)


def hidden(vit: ViT, found: Iterator[Entry]) -> Iterator[Entry]:
    """`found`, the entries of the tanh layer, if the model has one."""
    return found if vit.config.head == "tanh" else iter(())
