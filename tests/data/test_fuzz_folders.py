"""Random trees of files, links, pipes and folders: a description or a ValueError, and no file twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.data.folders import class_folders

PIXELS = b"P6 4 4 255\n" + bytes(48)
NAMES = st.sampled_from(["cat", "dog", "train", "Val", "test", "eval", ".git", "__MACOSX", "a b", "x" * 240, "\udcff"])
FILES = st.sampled_from(
    ["1.ppm", "2.PPM", "3.png", "notes.txt", "raw.heic", "none", ".hidden.png", "\udcfe.ppm", "\n.ppm"]
)
PLACES = st.lists(NAMES, max_size=3)
ENTRIES = st.one_of(
    st.tuples(st.just("file"), PLACES, FILES, PLACES, FILES),
    st.tuples(st.sampled_from(["file", "link", "hard link", "folder link", "pipe"]), PLACES, FILES, PLACES, FILES),
    st.tuples(st.just("folder link"), PLACES, NAMES, PLACES, NAMES),
    st.tuples(st.just("up"), PLACES, NAMES, PLACES, NAMES),
)


def build(root: Path, entries: list[tuple[str, list[str], str, list[str], str]]) -> None:
    for number, (kind, place, name, other, target) in enumerate(entries):
        here, there = root.joinpath(*place, name), root.joinpath(*other, target)
        try:
            here.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                with here.open("xb") as file:  # a pipe that has the name already would wait for a reader
                    file.write(PIXELS + bytes([number % 256]))
            elif kind == "link":
                here.symlink_to(there)
            elif kind == "hard link":
                os.link(there, here)
            elif kind == "folder link":
                here.symlink_to(there.parent)
            elif kind == "up":
                here.symlink_to("/".join([".."] * (len(other) + 1)))
            else:
                os.mkfifo(here)
        except OSError:  # something else has that name, or the target is missing
            continue


def only_value_errors(root: Path, entries: list[tuple[str, list[str], str, list[str], str]]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    build(root, entries)
    try:
        found = class_folders(root)
    except ValueError as error:
        str(error).encode()
        assert str(root.parent) in str(error)
        return
    files = [path for rows in found.rows.values() for path in rows.paths]
    identities = [(path.stat().st_dev, path.stat().st_ino) for path in files]
    assert len(set(identities)) == len(files) and all(path.is_file() for path in files)
    assert all(rows.labels.max() < len(found.classes) for rows in found.rows.values())


@settings(max_examples=60)
@given(entries=st.lists(ENTRIES, min_size=4, max_size=30))
def test_random_trees(entries, tmp_path_factory):
    only_value_errors(tmp_path_factory.getbasetemp() / "trees" / "set", entries)


@pytest.mark.fault
@settings(max_examples=300)
@given(entries=st.lists(ENTRIES, min_size=4, max_size=60))
def test_many_random_trees(entries, tmp_path_factory):
    only_value_errors(tmp_path_factory.getbasetemp() / "trees" / "set", entries)
