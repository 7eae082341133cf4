"""Decoded images of an earlier time serve again, but for those that could not be read then and can be now."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vitlab.data import ImageData, checked, decode, describe, load_data

JPEGS = 6 + 4 + 3  # of the animals; the other 15 are PNGs


def load(animals: Path) -> ImageData:
    return load_data(str(animals), cache=animals.parent / "cache", skip_bad_images=True)


def load_without_jpeg(animals: Path) -> ImageData:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "formats", lambda: ("PNG",))
        return load(animals)


def notes(animals: Path) -> Path:
    (file,) = (animals.parent / "cache").glob("*.sums.json")
    return file


def test_another_pillow_tries_the_images_again_that_were_unreadable(animals: Path) -> None:
    assert load_without_jpeg(animals).skipped == JPEGS and load_without_jpeg(animals).skipped == JPEGS
    assert not describe(str(animals), animals.parent / "cache").unread, "whether they are is not known"
    again, fresh = load(animals), load_data(str(animals), cache=animals.parent / "fresh")
    assert again.skipped == 0 and again.mean == fresh.mean
    every = torch.arange(len(fresh.train))
    assert torch.equal(again.train.images(every), fresh.train.images(every))


def test_notes_that_do_not_say_what_read_the_images(animals: Path) -> None:
    load_without_jpeg(animals)
    facts = checked.read_notes(notes(animals))
    checked.write_notes(notes(animals), {name: fact for name, fact in facts.items() if name != "reader"})
    assert load(animals).skipped == 0


def test_images_that_could_all_be_read_are_not_decoded_again(animals: Path) -> None:
    load(animals)
    facts = checked.read_notes(notes(animals))
    for older in ({**facts, "reader": "another"}, {name: fact for name, fact in facts.items() if name != "reader"}):
        checked.write_notes(notes(animals), older)
        before = notes(animals).stat().st_mtime_ns
        load(animals)
        assert notes(animals).stat().st_mtime_ns == before


def test_images_that_stay_unreadable_are_tried_once(animals: Path) -> None:
    (animals / "cat" / "000.png").write_bytes(b"nothing")
    assert load(animals).skipped == 1
    before = notes(animals).stat().st_mtime_ns
    assert load(animals).skipped == 1 and notes(animals).stat().st_mtime_ns == before
