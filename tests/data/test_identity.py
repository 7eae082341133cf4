"""Fingerprints that earlier runs are named by: they may never change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vitlab.data import describe, info
from vitlab.data.layout import STAMP

PINNED = {
    "digits": "d98b5a23fef97e4b",
    "folder": "d3f446fb09e179d9",
    "splits": "faa78b6719f8b25f",
    "caltech101_64": "f51f254e462b5711",
    "cifar10": "deabdfa38c5a5111",
    "eurosat_64": "b45396bec82e92ad",
    "flowers89_64": "d9d3ca7b69ce6bbd",
    "tiny_imagenet_32": "f51bbebfc3337a22",
}


def write_pixmaps(root: Path, counts: dict[str, int], level: int = 0) -> Path:
    """Class folders of 4 x 4 px PPM files, a name of capitals and a folder in a folder among them."""
    for name, count in counts.items():
        for index in range(count):
            file = root / name / ("more" if index == 2 else "") / f"{'B' if index % 2 else 'a'}{index}.ppm"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"P6 4 4 255\n" + bytes((level + index + pixel) % 256 for pixel in range(48)))
    return root


def test_digits() -> None:
    assert describe("digits").fingerprint == PINNED["digits"]


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    root = write_pixmaps(tmp_path / "things", {"cat": 7, "Dog": 5})
    assert describe(str(root)).fingerprint == PINNED["folder"]


def test_a_folder_with_splits(tmp_path: Path) -> None:
    for level, split in enumerate(("Training", "val", "TEST")):
        write_pixmaps(tmp_path / "things" / split, {"cat": 7, "Dog": 5}, level)
    assert describe(str(tmp_path / "things")).fingerprint == PINNED["splits"]


@pytest.mark.skipif("VITLAB_DATA" not in os.environ, reason="VITLAB_DATA names no folder with the real data sets")
@pytest.mark.parametrize("name", sorted(set(PINNED) - {"digits", "folder", "splits"}))
def test_real_copies(name: str) -> None:
    assert describe(str(Path(os.environ["VITLAB_DATA"]) / name)).fingerprint == PINNED[name]


def test_files_too_large_to_be_hashed_are_told_apart_by_place_and_change(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(info, "CHEAP_BYTES", 0)
    roots = [
        write_pixmaps(tmp_path / name / "photos", {"cat": 8, "dog": 8}, level) for name, level in (("a", 0), ("b", 9))
    ]
    first, other = (describe(str(root)).fingerprint for root in roots)
    assert first and first.startswith(STAMP) and first == describe(str(roots[0])).fingerprint != other
    changed = next(roots[0].rglob("*.ppm"))
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    os.utime(changed, (1, 1))
    assert describe(str(roots[0])).fingerprint != first
