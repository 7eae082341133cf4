"""Weight files of strangers: what they say of themselves is held against the tensors in them, before anything is built.

A few bytes can claim a model of any size. So every number that a file states must show in the shapes that it holds, and
the model that it describes may not be much larger than the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_type_hints

import torch
from torch import Tensor

from vitlab.models.archives import SPARE, naming
from vitlab.models.config import Settings, ViTConfig
from vitlab.models.resnet import ResNetConfig
from vitlab.models.zoo import Model, builders, recreate
from vitlab.typed import misfit, shortened

RECORD = {
    "name": str,
    "image_size": tuple[int, int],
    "num_classes": int,
    "in_channels": int,
    "overrides": Mapping[str, Any],
}
FACTS = {"mean": tuple[float, ...], "std": tuple[float, ...], "classes": tuple[str, ...]}
HYBRID_SETTINGS = {"stage": int | None, "numerics": str}


def read_record(text: str, where: object) -> dict[str, Any]:
    """The JSON that vitlab leaves in its files, with the types that it should have; ValueError names key and file."""
    with naming(where, "holds a damaged description of its model"):
        record = json.loads(text)
        if wrong := misfit(record, Mapping[str, Any]):
            raise ValueError(wrong)
    for key, annotation in {**RECORD, **{key: kind for key, kind in FACTS.items() if key in record}}.items():
        if key not in record:
            raise ValueError(f"{where} does not say {key} of its model")
        if wrong := misfit(record[key], annotation):
            raise ValueError(f"{where} says {key} of its model, but {wrong}")
    return record


def settings_from(record: Mapping[str, Any], weights: Mapping[str, Tensor], where: object) -> Settings:
    """The settings in what `read_record` returned, if a model with them can hold `weights`; ValueError if not."""
    overrides = {key: tuple(v) if isinstance(v, list) else v for key, v in record["overrides"].items()}
    height, width = record["image_size"]
    settings = Settings(record["name"], (height, width), record["num_classes"], record["in_channels"], overrides)
    if settings.name not in builders():
        raise ValueError(f"{where} says that it belongs to the model {settings.name[:80]!r}, which there is not")
    _check_overrides(settings, weights, where)
    with naming(where, "does not describe a model that can be"):
        fits_in(memory_of(settings), weights, where)
    return settings


def memory_of(settings: Settings) -> int:
    """Bytes of a model's weights and tables, in float32; nothing of it is computed."""
    with torch.device("meta"):
        return model_bytes(recreate(settings))


def model_bytes(model: Model) -> int:
    """Bytes of a model's weights and tables, in float32."""
    return 4 * sum(tensor.numel() for tensors in (model.parameters(), model.buffers()) for tensor in tensors)


def fits_in(need: int, weights: Mapping[str, Tensor], where: object, known: int = 0) -> None:
    """Raise ValueError for a model of `need` bytes that is far larger than `weights`, and than `known` bytes."""
    held = 4 * sum(tensor.numel() for tensor in weights.values())
    if need > max(2 * held, known) + SPARE:
        raise ValueError(
            f"{where} describes a model of {need / 2**20:,.0f} MiB and holds {held / 2**20:,.1f} MiB of weights: it is "
            "damaged, or made to take up memory"
        )


def _check_overrides(settings: Settings, weights: Mapping[str, Tensor], where: object) -> None:
    """Types of the settings, and no number beyond what the shapes show."""
    resnet = settings.name.startswith("R") and "+" not in settings.name
    known = get_type_hints(ResNetConfig) if resnet else {**get_type_hints(ViTConfig), **HYBRID_SETTINGS}
    largest = max((side for tensor in weights.values() for side in tensor.shape), default=0)
    stated = {"num_classes": settings.num_classes, "in_channels": settings.in_channels, **settings.overrides}
    for key, value in stated.items():
        if key not in (*known, "num_classes", "in_channels"):
            raise ValueError(f"{where} says {key[:80]!r} of its model, which has no such setting")
        if key in known and (wrong := misfit(value, known[key])):
            raise ValueError(f"{where} says {key} of its model, but {wrong}")
        limit = max(1, len(weights) if key in ("depth", "layers") else largest)
        numbers = [number for number in (value if isinstance(value, tuple) else (value,)) if isinstance(number, int)]
        if len(numbers) > limit or any(not 0 <= number <= limit for number in numbers):
            raise ValueError(f"{where} says {key}={shortened(value)} of its model, but holds no tensors of that size")
    if not 0 <= float(settings.overrides.get("norm_eps", 0)) < 1:
        raise ValueError(f"{where} says norm_eps={settings.overrides['norm_eps']}; it is a small number below 1")
