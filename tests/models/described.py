"""A small model, and files of it whose description is written anew."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from vitlab import models
from vitlab.models.checkpoint import KEY


def small(**options: Any) -> models.ViT:
    return models.create("ViT-Pico/4", image_size=16, num_classes=5, **options)


def parts_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and its tensors."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def rewrite(path: Path, record: str) -> Path:
    """Put `record` where the file describes its model."""
    header, tensors = parts_of(path)
    header["__metadata__"][KEY] = record
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    return path
