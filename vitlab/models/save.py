"""Weights out: vitlab's own `.safetensors`, timm's layout, the authors' `.npz`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vitlab.models.checkpoint import KEY, header_of, write_safetensors
from vitlab.models.layouts import entries
from vitlab.models.zoo import Model

COMMENT_BYTES = 2**16  # a zip archive's comment is shorter
SUFFIX = {"vitlab": ".safetensors", "timm": ".safetensors", "official": ".npz"}


def save(
    model: Model, path: str | Path, *, layout: str | None = None, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a model's weights; returns the path.

    `layout`: "vitlab" or "timm" for a `.safetensors` (timm: `timm.create_model(..., checkpoint_path=path)`), "official"
    for an `.npz` that google-research/vision_transformer and big_transfer read; by default what the path's ending says.
    `metadata`: see `save_checkpoint`. All three remember the model, so that `load(path)` gives it back to the bit.
    Other readers compute with constants of their own: the official code always has the tanh approximation of GELU.
    Raises ValueError if the layout has no place for this kind of model, or the ending does not go with it.
    """
    path = Path(path)
    layout = layout or ("official" if path.suffix == ".npz" else "vitlab")
    if SUFFIX.get(layout) != path.suffix:
        allowed = ", ".join(f"{name} ({suffix})" for name, suffix in SUFFIX.items())
        raise ValueError(f"layout {layout!r} and {path.name!r} do not go together: choose from {allowed}")
    weights, header = translated(model, layout), header_of(model, metadata or {})
    if layout == "official":
        write_npz(weights, path, comment=header[KEY])
    else:
        write_safetensors(weights, path, header)
    return path


def translated(model: Model, layout: str) -> dict[str, Tensor]:
    """The model's weights under the names and in the shapes of a layout."""
    state = model.state_dict()
    made: dict[str, Tensor] = {}
    for entry in entries(model, layout):
        parts = entry.turn.out(state[entry.ours].detach().cpu())
        made |= {name: part.contiguous().clone() for name, part in zip(entry.theirs, parts, strict=True)}
    return made


def write_npz(weights: Mapping[str, Tensor], path: Path, *, comment: str) -> None:
    """Write arrays as `.npz`, with `comment` where zip archives keep one (64 KiB at most), complete or not at all."""
    if (size := len(comment.encode())) >= COMMENT_BYTES:
        raise ValueError(
            f"{path.name} cannot hold the description of its model, {size:,} bytes; an .npz has room for "
            f"{COMMENT_BYTES - 1:,}. Leave metadata out, or write .safetensors"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        arrays: dict[str, Any] = {name: tensor.float().numpy() for name, tensor in weights.items()}
        np.savez(file, **arrays)
    with zipfile.ZipFile(part, "a") as archive:
        archive.comment = comment.encode()
    part.replace(path)
