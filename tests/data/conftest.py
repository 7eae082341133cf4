"""Small folders of images, made of noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COUNTS = {"cat": 12, "dog": 9, "owl": 7}


def noise(seed: int, size: int = 20) -> Image.Image:
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (size, size + 4, 3)).astype(np.uint8))


def write_folder(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            noise(seed := seed + 1).save(root / name / f"{index:03}.{'jpg' if index % 2 else 'png'}")
    return root


@pytest.fixture
def folder() -> Callable[..., Path]:
    """Write class folders of PNG and JPEG files: `folder(root, {class: images}, seed)`."""
    return write_folder


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """28 images of cat, dog and owl."""
    return write_folder(tmp_path / "animals")
