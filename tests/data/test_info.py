"""What a dry run says of a data set, and that it does nothing else."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from vitlab.data import describe, load_data
from vitlab.data.info import lines
from vitlab.data.leaks import Leaks

Folder = Callable[..., Path]


def listing(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def test_what_was_understood_of_a_folder(tmp_path: Path, folder: Folder) -> None:
    root = folder(tmp_path / "set" / "Train", {"cat": 30, "dog": 10}).parent
    folder(root / "Val", {"cat": 4, "dog": 4}, 100)
    folder(root / "more", {"cat": 3}, 200)
    for name in ("cat/1.HEIC", "cat/2.heic", "dog/3.cr2", "dog/notes.txt"):
        (root / "Train" / name).write_bytes(b"-")
    (root / "Train" / "stray.png").write_bytes(b"-")
    info = describe(str(root))
    assert info.classes == {"cat": 34, "dog": 14} and info.chance == 0.5
    by_name = {split.name: split for split in info.splits}
    assert by_name["test"].origin == "carved: 20% of train, seed 2010"
    assert by_name["test"].classes == {"cat": 6, "dog": 2}
    assert by_name["validation"].origin == "Val/ of the folder" and by_name["validation"].size == 8
    assert info.majority == ("cat", 0.75)
    assert dict(info.left_out.ignored) == {".heic": 2, ".cr2": 1, ".txt": 1}
    assert info.left_out.unused == {"in Train/, outside of class folders": 1, "in more/, which is no split": 3}
    assert info.native and (info.native.low, info.native.median, info.native.high) == (20, 20, 20)
    assert "\n".join(lines(info)) == (
        "set: 48 images of 2 classes: cat 34, dog 14.\n"
        "  train: 32 images (Train/ of the folder)\n"
        "  validation: 8 images (Val/ of the folder)\n"
        "  test: 8 images (carved: 20% of train, seed 2010)\n"
        "  Shorter side 20 px; 32 px by default.\n"
        "  Chance is 50.0%; always saying 'cat' is right for 75.0% of the test split.\n"
        "  Not used: 4 files of other kinds (2 .heic, 1 .cr2, 1 .txt); 1 image in Train/, outside of "
        "class folders; 3 images in more/, which is no split."
    )


def test_test_images_that_are_those_of_training_are_counted(tmp_path: Path, folder: Folder) -> None:
    root = folder(tmp_path / "set" / "train", {"cat": 10, "dog": 10}).parent
    folder(root / "test", {"cat": 5, "dog": 5}, 100)
    assert describe(str(root)).leaks == Leaks()
    for place in ("cat/copy.png", "dog/copy.png"):  # also under another label
        (root / "test" / place).write_bytes((root / "train" / "cat" / "000.png").read_bytes())
    assert describe(str(root)).leaks == Leaks({"cat": 1, "dog": 1})
    folder(root / "train", {"owl": 10}, 200)
    assert describe(str(root)).only((1, 2)).leaks == Leaks({"dog": 1})


def test_folders_below_classes_that_are_split_are_counted(tmp_path: Path, folder: Folder) -> None:
    root = tmp_path / "patients"
    for number, name in enumerate(("ill", "well")):
        folder(root / name, {f"patient{one}": 10 for one in range(4)}, 100 * number)
    assert 1 <= describe(str(root)).leaks.folders <= 8
    whole = folder(tmp_path / "other" / "cat", {"photos": 20}).parent  # one folder is no group
    folder(whole, {"dog": 20}, 200)
    assert describe(str(whole)).leaks == Leaks()
    folder(tmp_path / "both" / "train" / "cat", {"a": 9, "b": 9})
    folder(tmp_path / "both" / "train", {"dog": 9}, 300)
    folder(tmp_path / "both" / "test", {"cat": 4, "dog": 4}, 400)  # by hand
    assert describe(str(tmp_path / "both")).leaks == Leaks()


def test_a_set_that_is_not_here_is_described_by_its_card() -> None:
    info = describe("imagenet")
    assert info.classes == {} and info.majority is None and info.native is None and info.chance == 1 / 1000
    assert "train: 1,268,355 images (as its card says, not fetched yet)" in "\n".join(lines(info))


def test_the_digits_are_described_too() -> None:
    info = describe("digits")
    assert sum(info.classes.values()) == 1797 and info.majority and 0.09 < info.majority[1] < 0.11
    assert "10 classes: 3 183" in lines(info)[0]


def test_describing_writes_nothing(animals: Path, tmp_path: Path) -> None:
    before, cache = listing(tmp_path), tmp_path / "cache"
    described = describe(str(animals), cache)
    assert listing(tmp_path) == before
    data = load_data(str(animals), cache=cache)
    files = {file: file.stat().st_mtime_ns for file in listing(tmp_path)}
    assert describe(str(animals), cache).fingerprint == described.fingerprint == data.fingerprint
    assert {file: file.stat().st_mtime_ns for file in listing(tmp_path)} == files


def test_images_that_a_load_left_out_are_told_afterwards(animals: Path, tmp_path: Path) -> None:
    (animals / "dog" / "003.jpg").write_bytes(b"nothing")
    assert describe(str(animals), tmp_path / "cache").unread == {}
    load_data(str(animals), cache=tmp_path / "cache", skip_bad_images=True)
    info = describe(str(animals), tmp_path / "cache")
    assert list(info.unread) == [str(animals / "dog" / "003.jpg")]
    assert "1 image that could not be read" in lines(info)[-1] and "003.jpg" in lines(info)[-1]


@pytest.mark.parametrize("classes", [4, pytest.param(40, marks=pytest.mark.fault)])
def test_describing_a_folder_opens_each_file_once_but_for_a_few(classes: int, tmp_path: Path) -> None:
    place = tmp_path / "many"
    for number in range(1000 * classes):
        path = place / f"class {number % classes:02}" / f"{number}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"P6 4 4 255\n" + bytes(48))
    opened: Counter[str] = Counter()

    def count(event: str, given: tuple[object, ...]) -> None:  # a hook stays for good, and must cost others nothing
        if event == "open" and str(given[0]).startswith(f"{place}{os.sep}"):
            opened[str(given[0])] += 1

    sys.addaudithook(count)
    info = describe(str(place))
    assert sum(info.sizes.values()) == len(opened) == 1000 * classes
    assert opened.total() < 1000 * classes + 100


@pytest.mark.parametrize("count", [2, 30])
def test_many_classes_take_one_line(count: int, tmp_path: Path, folder: Folder) -> None:
    names = {f"class {number:02}": 4 + number % 3 for number in range(count)}
    first = lines(describe(str(folder(tmp_path / "set", names))))[0]
    assert len(first) < 120 and ("from 4 (" in first) == (count > 12)


def test_some_classes_are_described_alone(animals: Path) -> None:
    whole = describe(str(animals))
    some = whole.only((0, 2))
    names = list(whole.classes)
    assert some.num_classes == 2 and list(some.classes) == [names[0], names[2]] and some.chance == 0.5
    assert some.sizes == {
        name: sum(split.classes.values()) for name, split in zip(some.sizes, some.splits, strict=True)
    }
    assert sum(some.sizes.values()) == sum(whole.classes[name] for name in some.classes)
    assert whole.only(()) is whole
    card = describe("cifar10")
    assert card.only((3, 5)).sizes == {name: size / 5 for name, size in card.sizes.items()}
