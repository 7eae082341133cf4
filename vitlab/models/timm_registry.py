"""vitlab's models under timm's names, so that timm's own tools can train and test them.

`timm.create_model("vitlab_vit_tiny_patch4_32")` is ViT-Ti/4 for 32 px; `timm.list_models("vitlab_*")` lists all.
"""

from __future__ import annotations

import re
from typing import Any

import timm
from timm.models import register_model
from torch import Tensor, nn

from vitlab.models.checkpoint import read_metadata
from vitlab.models.load import load
from vitlab.models.zoo import create, names
from vitlab.weights import find, shipped

SIZES = {"Ti": "tiny", "S": "small", "b": "halfbase", "B": "base", "L": "large", "H": "huge", "Small": "smallimage"}
SMALL_PX, LARGE_PX = (8, 28, 32, 48, 64), (224, 384)
IGNORED = ("pretrained_cfg_overlay", "cache_dir", "scriptable", "exportable", "no_jit")


class TimmModel(nn.Module):
    """A model of the zoo with the methods and attributes that timm's tools expect."""

    def __init__(self, name: str, *, image_size: int | tuple[int, int], num_classes: int, **arguments: Any) -> None:
        super().__init__()
        self.model = create(name, image_size=image_size, num_classes=max(num_classes, 1), **arguments)
        self.num_classes, self.num_features = num_classes, self.model.width
        self.head_hidden_size = self.num_features
        size = (self.model.in_channels, *self.model.image_size)
        half = (0.5,) * self.model.in_channels
        config = {
            "url": "",
            "architecture": name,
            "num_classes": num_classes,
            "input_size": size,
            "mean": half,
            "std": half,
        }
        self.pretrained_cfg = self.default_cfg = {**config, "crop_pct": 1.0, "interpolation": "bicubic"}

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F), the input of the last linear layer."""
        return self.model.features(images)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """(B, F) -> (B, K), or the features themselves without a classifier."""
        return features if pre_logits or self.num_classes == 0 else self.model.head(features)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, K)."""
        return self.forward_head(self.forward_features(images))

    def get_classifier(self) -> nn.Module:
        """The last linear layer."""
        return self.model.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier, zero; with 0 classes the model gives features."""
        self.num_classes = num_classes
        if num_classes:
            self.model.reset_head(num_classes)

    def no_weight_decay(self) -> set[str]:
        """Class token and position embeddings."""
        return {name for name, _ in self.named_parameters() if name.startswith(("model.cls", "model.positions."))}

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Layers for timm's layer-wise learning rates."""
        return {"stem": r"^model\.(?:cls|positions|patch|backbone|stem)", "blocks": r"^model\.(?:blocks|stages)\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """ValueError if enabled: there is none."""
        if enable:
            raise ValueError("vitlab's models have no gradient checkpointing: leave --grad-checkpointing out")


def timm_names() -> dict[str, tuple[str, int]]:
    """timm's name -> the zoo's name and the size of images in pixels."""
    table = {}
    for name in names():
        family, _, patch = name.partition("/")
        kind, _, size = family.rpartition("-")
        words = "_".join([*kind.lower().replace("+", "_").split("_"), SIZES.get(size, size.lower())]).strip("_")
        patched = re.sub(r"[^a-z0-9_]", "", words) + (f"_patch{patch}" if patch else "")
        for px in SMALL_PX + LARGE_PX:
            if fits(name, patch, px):
                table[f"vitlab_{patched}_{px}"] = (name, px)
    return table


def fits(name: str, patch: str, px: int) -> bool:
    """Whether a model is registered for images of `px`: patches divide it, and large models have large images."""
    large = name.startswith("R") and not name.startswith("ResNet")
    return px % int(patch or 1) == 0 and not (large and px in SMALL_PX)


def register() -> None:
    """Make all names known to timm; harmless when repeated."""
    for timm_name, (name, px) in timm_names().items():
        if not timm.is_model(timm_name):
            register_model(entry_point(timm_name, name, px))


def pretrained_for(timm_name: str, name: str, px: int) -> tuple[str, dict[str, Any]]:
    """The weights of a model that come with vitlab, and what their file says; ValueError where there are none."""
    for source in shipped():
        about = read_metadata(find(source))
        if about["name"] == name and tuple(about["image_size"]) == (px, px):
            return source, about
    raise ValueError(f"{timm_name} has no pretrained weights: take timm's own, or vitlab.models.load")


def is_resnet(name: str) -> bool:
    """Whether a name of the zoo is a ResNet's, and no hybrid's."""
    return name.startswith("R") and "+" not in name


def pooling_of(name: str, global_pool: str | None) -> dict[str, str]:
    """timm's `global_pool` as a setting of the model; ValueError for one that it cannot have."""
    allowed = {"avg": {}} if is_resnet(name) else {"avg": {"pooling": "gap"}, "token": {"pooling": "cls"}}
    if global_pool and global_pool not in allowed:
        raise ValueError(f"global_pool={global_pool!r} of {name}: choose from {', '.join(allowed)}")
    return allowed[global_pool] if global_pool else {}


def entry_point(timm_name: str, name: str, px: int) -> Any:
    """The function that timm calls for one of our names; it takes `img_size`, `in_chans`, `num_classes`, `drop_rate`,
    `drop_path_rate`, and the settings of the model. `drop_rate` is the paper's dropout, in all layers; a ResNet has
    none, and takes the zeros that timm's tools pass."""

    def make(pretrained: bool = False, pretrained_cfg: Any = None, **arguments: Any) -> TimmModel:
        ours = {"in_chans": "in_channels", "drop_rate": "dropout", "drop_path_rate": "drop_path"}
        kept = {ours.get(key, key): value for key, value in arguments.items() if key not in IGNORED}
        kept |= pooling_of(name, kept.pop("global_pool", None))
        if is_resnet(name):
            kept = {key: value for key, value in kept.items() if value or key not in ("dropout", "drop_path")}
        source, about = pretrained_for(timm_name, name, px) if pretrained else ("", {})
        known = about.get("num_classes", 1000)
        classes = kept.pop("num_classes", known)
        model = TimmModel(name, image_size=kept.pop("img_size", px), num_classes=classes, **kept)
        if source:
            load(model.model, source, head="keep" if classes == known else "drop")
            model.pretrained_cfg |= {key: tuple(about[key]) for key in ("mean", "std") if key in about}
        return model

    make.__name__ = make.__qualname__ = timm_name
    make.__doc__ = f"{name} for {px} px."
    return make
