"""Weights in."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vitlab.models.checkpoint import read_metadata, read_weights, settings_from
from vitlab.models.zoo import recreate


def load(model: nn.Module | str | Path | None, source: str | Path | None = None) -> nn.Module:
    """The model of a vitlab `.safetensors` file: `load(path)`, or into a model of the same shape: `load(model, path)`."""
    path = source or model
    target = model if isinstance(model, nn.Module) else recreate(settings_from(read_metadata(path)))
    target.load_state_dict(read_weights(path))
    return target
