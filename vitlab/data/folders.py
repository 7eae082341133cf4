"""A folder of class folders, with train/, val/ and test/ above them or not."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitlab.data.encoded import FileRows, Rows
from vitlab.data.walk import IMAGE_SUFFIXES, LeftOut, Walk, counted, few, shown
from vitlab.data.words import named_splits, split_word
from vitlab.errors import suggest

CLAIM = ("test", "validation", "train")  # a file that lies in two splits counts in the first of these


@dataclass(frozen=True)
class Folders:
    """Classes in alphabetical order, files by split, where each split lies, and what was left out."""

    classes: tuple[str, ...]
    rows: Mapping[str, Rows]
    origins: Mapping[str, str]
    left_out: LeftOut


def class_folders(path: Path) -> Folders:
    """The classes and images of the folder `path`; opens no image.

    Raises ValueError that says what is missing (class folders, a second class, images in a class) or what the folder
    seems to be instead: splits without train, the parent of several data sets.
    """
    try:
        walk = Walk(path)
        top = walk.folders({"": path})[""]
        splits = find_splits(path, top)
        below = walk.folders(splits) if splits else {"train": top}
        classes = _classes(splits.get("train", path), below["train"])
        _check_same(splits, below, classes)
        found = _images(walk, below)
        _count_the_rest(walk, path, top, splits)
    except OSError as error:
        raise ValueError(f"The folder {shown(path)} cannot be read: {error}.") from error
    rows: dict[str, Rows] = {
        name: _rows(splits.get(name, path), classes, found[name], name, walk)
        for name in ("train", "validation", "test")
        if name in below
    }
    origins = {name: f"{folder.name}/ of the folder" for name, folder in splits.items()}
    return Folders(classes, rows, origins or {"train": "the class folders"}, walk.left_out())


def find_splits(path: Path, top: Sequence[Path]) -> dict[str, Path]:
    """The folders of the splits among those in `path`, none where these are classes.

    Raises ValueError for folders that look like splits and cannot serve as such.
    """
    named = [folder for folder in top if split_word(folder.name)]
    full = [folder for folder in named if subfolders(folder)]
    if any(split_word(folder.name) in ("train", "training") for folder in full):
        return {ours: path / name for ours, name in named_splits((folder.name for folder in named), path).items()}
    if full:
        raise ValueError(
            f"{shown(path)} holds the split{'s' if len(full) > 1 else ''} {_names(full)} and no train folder with "
            "class folders. Name one of them train; test and validation splits that are missing are carved out of it."
        )
    if len(named) == len(top) > 1:
        raise ValueError(
            f"The folders {_names(named)} of {shown(path)} look like splits and hold no class folders. Put the "
            f"images of each class into a folder of its own, for example {shown(named[0] / 'cat' / '1.jpg')}."
        )
    return {}


def subfolders(path: Path) -> list[Path]:
    """The folders in `path`, without hidden ones."""
    with os.scandir(path) as entries:
        return sorted(
            Path(entry.path)  # os.path says no of a link that leads to itself, where the entry raises
            for entry in entries
            if os.path.isdir(entry.path) and not entry.name.startswith((".", "__"))
        )


def holds_images(path: Path) -> bool:
    """Whether image files lie in `path` itself."""
    with os.scandir(path) as entries:
        return any(os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES for entry in entries)


def is_data_set(path: Path) -> bool:
    """Whether `path` looks like a folder of class folders: two with images in them, or a train folder above some."""
    inside = subfolders(path)
    trains = (folder for folder in inside if split_word(folder.name) in ("train", "training"))
    return any(map(subfolders, trains)) or sum(map(holds_images, inside)) > 1


def _classes(root: Path, folders: Sequence[Path]) -> tuple[str, ...]:
    if not folders:
        raise ValueError(
            f"{shown(root)} has no class folders. Put the images of each class into a folder of its own, for example "
            f"{shown(root / 'cat' / '1.jpg')} and {shown(root / 'dog' / '1.jpg')}; train/, val/ and test/ may stand "
            "above them."
        )
    names = tuple(folder.name for folder in folders)
    if len(names) == 1:
        raise ValueError(
            f"{shown(root)} has one class folder, {names[0]!r}; two or more are needed to classify.{_likely(folders)}"
        )
    for name in names:
        if shown(name) != name:
            raise ValueError(f"The class folder {shown(root / name)} has letters that cannot be printed; rename it.")
    _check_no_parent(root, folders)
    return names


def _check_no_parent(root: Path, folders: Sequence[Path]) -> None:
    """Refuse class folders that hold nothing but class folders of other names, and those that hold splits."""
    if any(map(holds_images, folders)):
        return
    if splits := [inside for folder in folders for inside in subfolders(folder) if split_word(inside.name) == "train"]:
        if not any(map(subfolders, splits)):
            raise ValueError(
                f"{shown(root)} has splits in its class folders, such as {shown(splits[0])}. Put them above the "
                f"classes: {shown(root / 'train' / folders[0].name)}."
            )
    sets = [folder for folder in folders if is_data_set(folder)]
    inside = [folder.name for some in sets for folder in subfolders(some)]
    related = len(set(inside)) <= 0.75 * len(inside)  # cat/day, cat/night, dog/day, dog/night belong together
    if any(map(subfolders, splits)) or (sets and len(sets) == len(folders) and not related):
        raise ValueError(
            f"{shown(root)} holds {len(sets)} folders that hold class folders themselves, so it looks like the parent "
            f"of several data sets.{_likely(folders)} If {_names(folders[:2])} are the classes, put the images right "
            "into their folders."
        )


def _check_same(splits: Mapping[str, Path], below: Mapping[str, Sequence[Path]], classes: Sequence[str]) -> None:
    for split, folders in below.items():
        unknown = [folder.name for folder in folders if folder.name not in classes]
        if unknown:
            raise ValueError(
                f"{shown(splits[split])} has the class {unknown[0]!r}, which the train folder lacks."
                f"{suggest(unknown[0], classes)}"
            )


def _images(walk: Walk, below: Mapping[str, Sequence[Path]]) -> dict[str, dict[str, list[Path]]]:
    """Image files by split and class."""
    classes = {(split, folder.name): folder for split in CLAIM if split in below for folder in below[split]}
    found: dict[str, dict[str, list[Path]]] = {split: {} for split in below}
    for (split, name), files in walk.images(classes).items():
        found[split][name] = files
    return found


def _count_the_rest(walk: Walk, path: Path, top: Sequence[Path], splits: Mapping[str, Path]) -> None:
    walk.count_unused(path, "outside of class folders")
    for folder in splits.values():
        walk.count_unused(folder, f"in {shown(folder.name)}/, outside of class folders")
    if splits:
        for folder in top:
            if folder not in splits.values():
                walk.count_extra(folder, f"in {shown(folder.name)}/, which is no split")


def _rows(folder: Path, classes: Sequence[str], images: Mapping[str, list[Path]], split: str, walk: Walk) -> FileRows:
    for name in classes:
        if split == "train" and not images.get(name):
            raise ValueError(
                f"The class folder {shown(folder / name)} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))}); put "
                f"some in, or remove the folder.{_elsewhere(walk)}{_likely(subfolders(folder))}"
            )
    paths = [path for name in classes for path in images.get(name, [])]
    if not paths:
        raise ValueError(
            f"{shown(folder)} holds no images in class folders; fill it, or remove it and a {split} split will be "
            f"carved out.{_elsewhere(walk)}"
        )
    labels = np.repeat(np.arange(len(classes)), [len(images.get(name, [])) for name in classes])
    return FileRows(labels.astype(np.int64), paths)


def _elsewhere(walk: Walk) -> str:
    """Where images lie that were looked for in vain."""
    some = f" {counted(len(walk.repeated), 'link')} to files found before: {few(walk.repeated, 1)}."
    other = f" {counted(len(walk.broken), 'image')} that cannot be opened: {few(walk.broken, 1)}."
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in walk.ignored.most_common(3) if suffix)
    ignored = f" Files that are not read as images: {kinds}; convert photographs to JPEG or PNG." if kinds else ""
    outside = "".join(f" {counted(count, 'image')} {where}." for where, count in walk.unused.items())
    return (some if walk.repeated else "") + (other if walk.broken else "") + outside + ignored


def _likely(folders: Sequence[Path]) -> str:
    """The data sets among `folders`, or in the only folder of one, as a hint."""
    nested = [inside[0] for folder in folders if len(inside := subfolders(folder)) == 1]
    sets = [shown(folder) for folder in (*folders, *nested) if is_data_set(folder)]
    return f" Did you mean {few(sets)}?" if sets else ""


def _names(folders: Sequence[Path]) -> str:
    return " and ".join(repr(folder.name) for folder in folders[:3])
