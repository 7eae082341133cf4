"""vitlab's own weight files: `.safetensors` that say which model they belong to, with a model card in the header.

One that ends in `.safetensors.xz` is such a file compressed, as two that come with vitlab.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitlab import __version__
from vitlab.models.archives import naming, regular, unpacked
from vitlab.models.trust import read_record
from vitlab.models.zoo import Model, settings_of
from vitlab.weights import PACKED

KEY = "vitlab"
UNREADABLE = "cannot be read as .safetensors"


def save_checkpoint(model: Model, path: str | Path, *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write a model's weights with everything that `load(path)` needs to make the model again; returns the path.

    `metadata`: more to remember, of plain JSON values, such as "mean" and "std" of the pixels, "classes" (their names)
    or "card" (free text for the model card). The file appears complete or not at all. ValueError for other values.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_safetensors(weights, Path(path), header_of(model, metadata or {}))
    return Path(path)


def header_of(model: Model, metadata: Mapping[str, Any]) -> dict[str, str]:
    """The header of a file: what makes the model again, as JSON, and a model card; ValueError if JSON cannot."""
    record = {**asdict(settings_of(model)), **metadata, "vitlab": __version__}
    try:
        return {KEY: json.dumps(record), "card": model_card(model, record), "format": "pt"}
    except TypeError as error:
        raise ValueError(f"metadata must be plain JSON values (str, numbers, lists, dicts): {error}") from error


def write_safetensors(weights: Mapping[str, Tensor], path: Path, header: Mapping[str, str]) -> None:
    """Write a `.safetensors` file, or one compressed, under another name first: a kill leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    save_file(dict(weights), part, metadata=dict(header))
    if path.suffix == PACKED:
        part.write_bytes(lzma.compress(part.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    part.replace(path)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote beside the weights: name, image_size, num_classes, in_channels, overrides, and more.

    Reads only the header. Raises ValueError if the file is not one of vitlab's.
    """
    header = read_header(path)
    if KEY not in header:
        raise ValueError(f"{path} does not say which vitlab model it belongs to: name the model, load(name, path)")
    return read_record(header[KEY], path)


def read_header(path: str | Path) -> dict[str, str]:
    """The free text in the header of a `.safetensors` file; ValueError if it is none."""
    with _opened(Path(path)) as file:
        return file.metadata() or {}


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a `.safetensors` file, on the CPU; ValueError if it is none."""
    with _opened(Path(path)) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a file, not a dict)


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """A `.safetensors` file open for reading; a compressed one for the time being under another name."""
    with naming(path, UNREADABLE), ExitStack() as opened:
        whole = regular(path)
        if path.suffix == PACKED:
            whole = Path(opened.enter_context(TemporaryDirectory()), "model.safetensors")
            whole.write_bytes(unpacked(path))
        yield opened.enter_context(safe_open(whole, framework="pt"))


def model_card(model: Model, record: Mapping[str, Any]) -> str:
    """A few lines of Markdown for people who find the file."""
    height, width = record["image_size"]
    parameters = sum(p.numel() for p in model.parameters())
    lines = [
        f"# {record['name']}",
        f"{parameters:,} parameters, {record['num_classes']} classes, {height} x {width} px, "
        f"{record['in_channels']} channels, made with vitlab {__version__}.",
        f"Settings that differ from the model's defaults: {record['overrides'] or 'none'}.",
        f"Pixels in [0, 1] are normalised with mean {record['mean']} and deviation {record['std']}."
        if "mean" in record and "std" in record
        else "",
        str(record.get("card", "")),
    ]
    return "\n\n".join(line for line in lines if line)
