"""A folder of class folders, with train/, val/ and test/ above them or not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vitlab.data.rows import SPLIT_WORDS, FileRows, Rows
from vitlab.errors import suggest

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .webp .tif .tiff .pgm .ppm .pnm .pbm .avif .jp2 .tga".split()
)


def class_folders(path: Path) -> tuple[tuple[str, ...], dict[str, Rows]]:
    """Classes in alphabetical order and files by split of the folder `path`; opens no image.

    Raises ValueError that says what is missing: class folders, a second class, images in a class.
    """
    splits = _split_folders(path)
    classes = tuple(folder.name for folder in _folders(splits["train"]))
    if not classes:
        raise ValueError(
            f"{path} has no class folders. Put the images of each class into a folder of its own, for example "
            f"{path / 'cat' / '1.jpg'} and {path / 'dog' / '1.jpg'}; train/, val/ and test/ may stand above them."
        )
    if len(classes) == 1:
        raise ValueError(f"{splits['train']} has one class folder, {classes[0]!r}; two or more are needed to classify.")
    return classes, {name: _files(folder, classes, name) for name, folder in splits.items()}


def _split_folders(path: Path) -> dict[str, Path]:
    found = {
        ours: folder for ours, words in SPLIT_WORDS.items() for folder in _folders(path) if folder.name.lower() in words
    }
    return found if "train" in found and _folders(found["train"]) else {"train": path}


def _files(folder: Path, classes: tuple[str, ...], split: str) -> FileRows:
    unknown = [entry.name for entry in _folders(folder) if entry.name not in classes]
    if unknown:
        raise ValueError(
            f"{folder} has the class {unknown[0]!r}, which the train folder lacks.{suggest(unknown[0], classes)}"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        images = _images(folder / name)
        if not images and split == "train":
            raise ValueError(
                f"The class folder {folder / name} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))}); "
                "put some in, or remove the folder."
            )
        paths += images
        labels += [number] * len(images)
    if not paths:
        raise ValueError(f"{folder} holds no images; fill it, or remove it and a {split} split will be carved out.")
    return FileRows(np.array(labels, dtype=np.int64), paths)


def _images(folder: Path) -> list[Path]:
    found = (Path(at) / name for at, _, names in os.walk(folder, followlinks=True) for name in names)
    kept = (path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and not hidden(path, folder))
    return sorted(kept, key=lambda path: path.relative_to(folder).as_posix())


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def hidden(path: Path, root: Path) -> bool:
    """Whether a part of the path below `root` begins with a dot."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)
