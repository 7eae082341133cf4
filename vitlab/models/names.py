"""The names of tensors in weight files: whose they are, and one spelling for those that differ between versions."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor


def detect(names: Mapping[str, object]) -> str | None:
    """The layout that names belong to, after `canonical`, or None."""
    signs = {
        "vitlab": ("patch.weight", "stem.0.weight"),
        "timm": ("patch_embed.proj.weight", "stem.conv.weight"),
        "official": ("embedding/kernel", "resnet/root_block/standardized_conv2d/kernel"),
        "huggingface": ("embeddings.patch_embeddings.projection.weight",),
    }
    return next((layout for layout, marks in signs.items() if any(mark in names for mark in marks)), None)


RENAMED = (
    (r"^opt/target/", ""),  # optimiser states around the weights
    (r"^(Transformer/encoderblock_\d+/)LayerNorm_1/", r"\1LayerNorm_2/"),  # linen counts by class, its
    (r"^(Transformer/encoderblock_\d+/)MultiHeadDotProductAttention_0/", r"\1MultiHeadDotProductAttention_1/"),
    (r"^(Transformer/encoderblock_\d+/)MlpBlock_0/", r"\1MlpBlock_3/"),  # predecessor, and the files, all layers
    (r"^vit\.", ""),  # transformers' classifier
    (r"^layers\.(\d+)\.attention\.([qkv])_proj\.", r"encoder.layer.\1.attention.attention.\2."),  # transformers 5
    (r"^(encoder\.layer\.\d+\.attention\.attention\.)q\.", r"\1query."),
    (r"^(encoder\.layer\.\d+\.attention\.attention\.)k\.", r"\1key."),
    (r"^(encoder\.layer\.\d+\.attention\.attention\.)v\.", r"\1value."),
    (r"^layers\.(\d+)\.attention\.o_proj\.", r"encoder.layer.\1.attention.output.dense."),
    (r"^layers\.(\d+)\.mlp\.fc1\.", r"encoder.layer.\1.intermediate.dense."),
    (r"^layers\.(\d+)\.mlp\.fc2\.", r"encoder.layer.\1.output.dense."),
    (r"^layers\.(\d+)\.layernorm_", r"encoder.layer.\1.layernorm_"),
)


def canonical(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names that `entries` use, without wrappers' prefixes and optimiser states."""
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith("opt/state/")}
    for prefix in ("_orig_mod.", "module.", "model."):  # torch.compile; data-parallel; a LightningModule's model
        inside = {name.removeprefix(prefix): t for name, t in weights.items() if name.startswith(prefix)}
        if inside:
            weights = inside
    renamed = {}
    for name, tensor in weights.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed
