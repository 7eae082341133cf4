"""Weights in: any source that `sources` reads, into a model of the zoo."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitlab.models.archives import naming
from vitlab.models.hybrid import HybridBackbone
from vitlab.models.layers import zero_
from vitlab.models.layouts import entries
from vitlab.models.positions import resize_grid, resize_table, sincos2d
from vitlab.models.resnet import ResNet
from vitlab.models.trust import fits_in, model_bytes
from vitlab.models.vit import ViT
from vitlab.models.weight_files import INTERPOLATION, Found, Source, read_source
from vitlab.models.zoo import Model, create, recreate

HEADS = {  # names, in any layout, that are not read
    "keep": r"(?!)",
    "zero": r"(head|classifier|resnet/head)[./]",
    "drop": r"(head|classifier|resnet/head|pre_logits|pooler)[./]",
}
COMPUTES = ("heads", "pooling", "positions", "positions_at", "attention", "norm")  # of a config, which shapes hide
LISTED = 1000  # names in a message; the largest ViT has 500
TABLES = ("pos_embed", "Transformer/posembed_input/pos_embedding", "embeddings.position_embeddings")

CLASS_TOKENS = {"timm": "cls_token", "official": "cls", "huggingface": "embeddings.cls_token"}


def load(
    model: Model | str | Path | None,
    source: Source | None = None,
    *,
    head: str = "keep",
    image_size: int | tuple[int, int] | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    source_grid: tuple[int, int] | None = None,
    interpolation: str | None = None,
    **overrides: Any,
) -> Model:
    """Put weights into a model, changed in place, or make the model first if a name is given; returns the model.

    `model`: a module of the zoo, a name, or None if `source` is a file that vitlab wrote; `load(path)` does too.
    `source`: an official `.npz`, `.safetensors`, `.ckpt`/`.pt`/`.pth`/`.bin` (read with `weights_only`), a Hugging Face
    directory, the folder of a run, a timm name or a state dict, in the layout of vitlab, timm, the authors or
    Hugging Face.
    `head`: "keep" it; "zero": all but the classifier, which becomes zero; "drop": neither classifier nor tanh layer.
    `image_size`, `num_classes`, `in_channels`, `overrides`: for `create`; by default what the source says.
    `source_grid`: rows and columns of the source's position embeddings, if they are not square and it does not say.
    `interpolation`: see `resize_grid`; by default that of the library whose layout the source has.
    The model computes with the non-linearity and small constants that the weights were trained with, unless overridden.
    Raises ValueError that names the source and lists everything missing, left over and of the wrong shape, what its
    model computes in another way (heads, pooling, ...) than one that exists, or why the source cannot be read or
    trusted; the model is then unchanged.
    """
    if source is None:
        model, source = None, source_of(model)
    arguments = {"image_size": image_size, "num_classes": num_classes, "in_channels": in_channels}
    check_request(model, head, {**arguments, **overrides})
    found = read_source(source)
    with naming(found.where, "cannot be put into a model"):
        if isinstance(model, Model):
            check_alike(model, found)
        target = model if isinstance(model, Model) else create_for(found, model, head, arguments, overrides)
        state = matched(target, found, head, source_grid, interpolation or INTERPOLATION[found.layout])
        put(state, target, head)
        adopt(target, found.numerics, keep=overrides)
    return target


def check_request(model: Model | str | Path | None, head: str, settings: Mapping[str, Any]) -> None:
    """Raise ValueError for an unknown `head`, a module of elsewhere, and settings for a model that exists."""
    if head not in HEADS:
        raise ValueError(f"head={head!r}: choose from {', '.join(HEADS)}.")
    if isinstance(model, nn.Module) and not isinstance(model, Model):
        raise ValueError(f"load fills models that vitlab.models.create made, not a {type(model).__name__}")
    if isinstance(model, Model) and (given := [name for name, value in settings.items() if value is not None]):
        raise ValueError(f"{', '.join(given)} would not change a model that exists: give its name, or leave them out")


def check_alike(model: Model, found: Found) -> None:
    """Raise ValueError where the model that a file was made of computes something else from tensors of these shapes."""
    if found.settings is None or not isinstance(model, ViT):
        return
    with torch.device("meta"):
        made = recreate(found.settings)
    theirs = getattr(made, "config", None)
    differ = [name for name in COMPUTES if theirs and getattr(theirs, name) != getattr(model.config, name)]
    if differ:
        words = "; ".join(f"{name}={getattr(theirs, name)!r}, not {getattr(model.config, name)!r}" for name in differ)
        raise ValueError(f"The weights of {found.where} are of a {found.settings.name} with {words}")


def put(state: Mapping[str, Tensor], target: Model, head: str) -> None:
    """Change the model's weights to `state`, which `matched` has made sure of, and its head as `head` says."""
    if head == "drop":
        target.reset_head(target.head.out_features)
    target.load_state_dict(state, strict=False)
    if head == "zero":
        zero_(target.head.weight)
        zero_(target.head.bias)


def source_of(model: object) -> str | Path:
    """The path in `load(path)`."""
    if isinstance(model, str | Path):
        return model
    raise ValueError("load needs a source: load(model_or_name, source), or load(path) for a file that vitlab wrote")


def create_for(
    found: Found, model: str | Path | None, head: str, arguments: dict[str, Any], overrides: dict[str, Any]
) -> Model:
    """The model to fill: what the caller says, then what the file says, then what the shapes of the weights say."""
    made, name = found.settings, None if model is None else str(model)
    if name is None and made is None:
        raise ValueError(f"{found.where} does not say which model it belongs to: name the model, load(name, source)")
    if made is not None and name in (None, made.name):
        name, overrides = made.name, {**made.overrides, **overrides}
        if head == "drop":
            overrides.pop("head", None)
    assert name is not None
    hidden = any(re.match(r"(pre_logits|pooler)[./]", key) for key in found.weights)
    if hidden and head != "drop":
        overrides = {"head": "tanh", **overrides}
    if found.layout in CLASS_TOKENS and CLASS_TOKENS[found.layout] not in found.weights and not is_resnet(found):
        overrides = {"pooling": "gap", **overrides}
    known = {} if made is None else {key: getattr(made, key) for key in arguments}
    given, arguments = arguments, {key: known.get(key) if value is None else value for key, value in arguments.items()}
    arguments["num_classes"] = arguments["num_classes"] or classes_in(found)
    arguments["in_channels"] = arguments["in_channels"] or 3
    arguments["image_size"] = arguments["image_size"] or image_size_of(found, name, overrides)
    check_memory(found, name, given, arguments, overrides)
    return create(name, **arguments, **overrides)


def check_memory(
    found: Found, name: str, given: Mapping[str, Any], arguments: dict[str, Any], overrides: dict[str, Any]
) -> None:
    """Refuse a model whose classes and positions, as far as the caller has not `given` them, would dwarf the source."""
    with torch.device("meta"):
        asked = create(name, **arguments, **overrides)
        one_token = {"image_size": getattr(asked, "token_stride", 32), "num_classes": 1}
        least = create(name, **{**arguments, **one_token, **{k: v for k, v in given.items() if v}}, **overrides)
    fits_in(model_bytes(asked), found.weights, found.where, known=2 * model_bytes(least))


def is_resnet(found: Found) -> bool:
    """Whether the weights are those of a BiT ResNet."""
    return any(name in found.weights for name in ("stem.conv.weight", "resnet/root_block/standardized_conv2d/kernel"))


def classes_in(found: Found) -> int:
    """The number of classes of the source's classifier."""
    names = ("head.bias", "head.fc.bias", "head/bias", "resnet/head/conv2d/bias", "classifier.bias")
    sizes = [found.weights[name].numel() for name in names if name in found.weights]
    if not sizes:
        raise ValueError(f"{found.where} has no classifier: give num_classes, and head='drop'")
    return sizes[0]


def image_size_of(found: Found, name: str, overrides: Mapping[str, Any]) -> tuple[int, int]:
    """Pixels that the source's positions are for; ValueError if they do not tell."""
    with torch.device("meta"):
        probe = create(name, image_size=224, num_classes=1, **overrides)
    if isinstance(probe, ResNet):
        return 224, 224
    tables = [found.weights[table] for table in (*TABLES, "positions.0.table") if table in found.weights]
    lengths = [table.shape[1] - probe.prefix_tokens for table in tables if table.ndim == 3]
    grid = found.grid
    if grid is None and lengths:
        side = math.isqrt(max(lengths[0], 0))
        grid = (side, side) if side**2 == lengths[0] else None
    if grid is None or min(grid) < 1 or (lengths and grid[0] * grid[1] != lengths[0]):
        raise ValueError(f"{found.where} does not tell the size of its images: give image_size")
    return grid[0] * probe.token_stride, grid[1] * probe.token_stride


def matched(model: Model, found: Found, head: str, source_grid: tuple[int, int] | None, how: str) -> dict[str, Tensor]:
    """The model's new state; ValueError that lists every name without a partner and every wrong shape."""
    skipped = re.compile(HEADS[head])
    table = entries(model, found.layout)
    wanted = [entry for entry in table if not skipped.match(entry.ours)]
    own, state = model.state_dict(), {}
    missing, misshapen = [], []
    for entry in wanted:
        absent = [name for name in entry.theirs if name not in found.weights]
        missing += absent
        if absent:
            continue
        parts = [found.weights[name] for name in entry.theirs]
        value, reason = turned(entry.turn.back, parts), ""
        if value is not None and (entry.ours.startswith("positions.") or entry.ours.endswith(".relative.offsets")):
            try:
                value = resized(model, entry.ours, value, own[entry.ours], source_grid or grid_of(found), how)
            except ValueError as error:
                value, reason = None, f" ({error})"
        if value is None or value.shape != own[entry.ours].shape:
            is_, should = ", ".join(str(tuple(part.shape)) for part in parts), tuple(own[entry.ours].shape)
            misshapen.append(f"{', '.join(entry.theirs)} is {is_}, but the model's {entry.ours} is {should}{reason}")
        else:
            state[entry.ours] = value
    used = {name for entry in table for name in entry.theirs}
    left = [n for n in found.weights if n not in used and not skipped.match(n) and not recomputed(model, found, n)]
    if missing or left or misshapen:
        raise ValueError(mismatch(model, found, missing, left, misshapen))
    return state


def turned(back: Any, parts: list[Tensor]) -> Tensor | None:
    """The foreign tensors in our form, or None where their shapes make that impossible."""
    try:
        return back(*parts)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None


def resized(model: Model, name: str, value: Tensor, own: Tensor, grid: tuple[int, int] | None, how: str) -> Tensor:
    """Position embeddings for the model's grid: tables and 2-D sets by location, relative ones by offset."""
    assert isinstance(model, ViT)
    if name.endswith(".cls") or value.ndim != own.ndim or value.shape[-1] != own.shape[-1] or 0 in value.shape:
        return value
    if name.endswith((".rows", ".columns", ".offsets")):
        return resize_grid(value[:, None], (len(own), 1), how=how)[:, 0]
    patches = value.shape[1] - model.prefix_tokens
    if grid is None and value.shape == own.shape:
        return value
    side = math.isqrt(max(patches, 0))
    return resize_table(value, grid or (side, side), model.grid, prefix=model.prefix_tokens, how=how)


def grid_of(found: Found) -> tuple[int, int] | None:
    """Rows and columns of patches that the source was made for, if it says."""
    if found.settings is None:
        return found.grid
    with torch.device("meta"):
        return getattr(recreate(found.settings), "grid", None)


def recomputed(model: Model, found: Found, name: str) -> bool:
    """Whether a left-over table is the sines and cosines that the model computes itself for its own grid."""
    if name not in TABLES or not isinstance(model, ViT) or model.config.positions != "sincos2d":
        return False
    table = found.weights[name]
    if table.ndim != 3 or len(table) != 1:
        return False
    side = math.isqrt(max(table.shape[1] - model.prefix_tokens, 0))
    grid = found.grid or (side, side)
    if table.shape[1] != model.prefix_tokens + grid[0] * grid[1] or table.shape[2] != model.width:
        return False
    return torch.allclose(table[:, model.prefix_tokens :].float(), sincos2d(grid, model.width), atol=1e-4)


def mismatch(model: Model, found: Found, missing: list[str], left: list[str], misshapen: list[str]) -> str:
    """The message of the error, with everything in it."""
    lists = {"missing": missing, "left over": left, "wrong shape": misshapen}
    lines = [f"{model.settings.name} does not take the weights of {found.where} ({found.layout} layout)."]
    lines += [f"  {what} ({len(items)}): {'; '.join(items[:LISTED])}" for what, items in lists.items() if items]
    if any(re.match(HEADS["drop"], item) for items in lists.values() for item in items):
        lines.append("The classifier differs: head='zero' leaves it out, head='drop' its tanh layer too.")
    return "\n".join(lines)


def adopt(model: Model, numerics: Mapping[str, Any], *, keep: Mapping[str, Any]) -> None:
    """Compute as the weights' origin does, except for what the caller has fixed."""
    if not isinstance(model, ViT):
        return
    chosen = {**numerics, **{name: value for name, value in keep.items() if name in numerics}}
    now = {"activation": model.config.activation, "norm_eps": model.config.norm_eps}
    model.set_numerics(**{name: chosen.get(name, value) for name, value in now.items()})
    if isinstance(model.backbone, HybridBackbone) and "numerics" in chosen:
        model.backbone.set_numerics(chosen["numerics"])
