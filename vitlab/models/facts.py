"""What a source of weights says beside them: how its pixels were normalised, and what its classes are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitlab.models.checkpoint import read_metadata
from vitlab.models.trust import FACTS, read_record
from vitlab.models.weight_files import npz_record
from vitlab.weights import find

HALVES = (0.5, 0.5, 0.5)  # the authors' weights take pixels scaled to [-1, 1]


def known_facts(source: str | Path) -> dict[str, Any]:
    """`mean` and `std` of pixels in [0, 1], and `classes`, as far as `source` tells; tuples.

    `source`: what `vitlab.models.load` takes, by name or by path alike: a name of ours or timm's, a weight file, the
    folder of a run or of Hugging Face.
    """
    path = find(source)
    if path.is_dir() and (path / "config.json").exists():
        return _huggingface(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if path.is_file():
        return {name: tuple(value) for name, value in _record(path).items() if name in FACTS}
    from timm.models import get_pretrained_cfg  # only this source needs it, and it takes seconds

    config = get_pretrained_cfg(str(source))
    return {} if config is None else {"mean": tuple(config.mean), "std": tuple(config.std)}


def _record(path: Path) -> dict[str, Any]:
    """What vitlab left in a file; of others' only the authors' say something, by their format."""
    if path.suffix == ".npz":
        record = npz_record(path)
        return {"mean": HALVES, "std": HALVES} if record is None else read_record(record, path)
    try:
        return read_metadata(path)
    except ValueError:
        return {}


def _huggingface(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    config = json.loads((folder / "config.json").read_text())
    preparation = folder / "preprocessor_config.json"
    if preparation.is_file():
        facts |= _pixels(json.loads(preparation.read_text()), config.get("num_channels", 3))
    if labels := config.get("id2label"):
        facts["classes"] = tuple(labels[key] for key in sorted(labels, key=int))
    return facts


def _pixels(preparation: dict[str, Any], channels: int) -> dict[str, Any]:
    """`mean` and `std` as far as they are told; those of pixels that stay as they are where nothing is normalised."""
    if preparation.get("do_normalize") is False:
        return {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    given = {"mean": preparation.get("image_mean"), "std": preparation.get("image_std")}
    return {name: tuple(values) for name, values in given.items() if values is not None}
