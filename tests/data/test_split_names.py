"""Which folders are taken for splits and for classes; others are refused with the likely right path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vitlab.data import describe, load_data
from vitlab.data.words import named_splits, parted, split_word

Folder = Callable[..., Path]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Training", "Testing"), {"train": "Training", "test": "Testing"}),
        (("Train", "Val"), {"train": "Train", "validation": "Val"}),
        (("TRAIN", "valid", "Test"), {"train": "TRAIN", "validation": "valid", "test": "Test"}),
        (("train_set", "dev"), {"train": "train_set", "validation": "dev"}),
        (("training images", "validation-data", "test"), None),
        (("train", "eval"), {"train": "train", "test": "eval"}),
        (("eval", "test", "train"), {"train": "train", "validation": "eval", "test": "test"}),
        (("train", "cat", "testament"), {"train": "train"}),
    ],
)
def test_the_usual_words_in_any_case(names: tuple[str, ...], expected: dict[str, str] | None) -> None:
    found = named_splits(names, "here")
    assert list(found) == [split for split in ("train", "validation", "test") if split in found]
    assert found == (expected or {"train": names[0], "validation": names[1], "test": names[2]})


def test_other_words_are_no_splits() -> None:
    assert not any(map(split_word, ("tram", "trains_and_cars", "protest", "value", "eva", "testimonial", "")))


def test_two_folders_for_one_split_are_refused() -> None:
    with pytest.raises(ValueError, match="two validation splits, 'val' and 'valid'"):
        named_splits(("train", "val", "valid"), "here")


@pytest.mark.parametrize("names", [("Training", "Testing"), ("Train", "Val"), ("train", "dev", "eval")])
def test_splits_of_a_folder_are_used_and_not_carved(names: tuple[str, ...], tmp_path: Path, folder: Folder) -> None:
    for seed, name in enumerate(names):
        folder(tmp_path / "set" / name, {"cat": 10 + seed, "dog": 10}, 100 * seed)
    info = describe(str(tmp_path / "set"))
    origins = {split.name: split.origin for split in info.splits}
    second = "test" if "Test" in names[1] else "validation"
    assert info.sizes[second] == 21 and origins[second] == f"{names[1]}/ of the folder"
    carved = [name for name, origin in origins.items() if origin.startswith("carved")]
    assert len(carved) == 3 - len(names)
    assert sum(info.sizes.values()) == sum(20 + seed for seed in range(len(names)))


def test_a_class_may_be_called_train(tmp_path: Path, folder: Folder) -> None:
    info = describe(str(folder(tmp_path / "vehicles", {"bus": 6, "train": 6, "tram": 6})))
    assert list(info.classes) == ["bus", "train", "tram"]


def strange(root: Path, folder: Folder) -> dict[str, tuple[Path, str]]:
    for name in ("test", "val"):
        folder(root / "headless" / name, {"cat": 6, "dog": 6})
    folder(root / "flat", {"train": 6, "test": 6})
    for name in ("flowers", "terrain"):
        folder(root / "parent" / name, {f"{name}-a": 6, f"{name}-b": 6})
    for name in ("flowers", "terrain"):
        folder(root / "parents" / name / "train", {"a": 6, "b": 6})
    folder(root / "wrapped" / "PetImages", {"Cat": 6, "Dog": 6})
    folder(root / "archive" / "data" / "images", {"Cat": 6, "Dog": 6})
    folder(root / "notes" / "images", {"Cat": 6, "Dog": 6})
    (root / "notes" / "annotations").mkdir()
    for name in ("cat", "dog"):
        folder(root / "upside down" / name, {"train": 6, "test": 6})
    folder(root / "unlabelled" / "train", {"Cat": 6, "Dog": 6})
    folder(root / "unlabelled", {"test": 7})
    return {
        "no train": (root / "headless", "holds the splits 'test' and 'val' and no train folder"),
        "no classes": (root / "flat", "'test' and 'train' of .*flat look like splits and hold no class folders"),
        "several sets": (root / "parent", "2 folders that hold class folders.*Did you mean .*flowers, .*terrain[?]"),
        "sets with splits": (root / "parents", "parent of several data sets.*Did you mean .*flowers"),
        "one folder down": (root / "wrapped", "one class folder, 'PetImages'.*Did you mean .*wrapped/PetImages"),
        "two folders down": (root / "archive", "one class folder, 'data'.*Did you mean .*archive/data/images"),
        "beside annotations": (root / "notes", "annotations holds no images.*Did you mean .*notes/images"),
        "splits below classes": (root / "upside down", "splits in its class folders.*Put them above.*train/cat"),
        "a test split without labels": (root / "unlabelled", "test holds no images in class folders.* 7 images in"),
    }


def test_what_is_no_data_set_is_refused_with_the_likely_path(tmp_path: Path, folder: Folder) -> None:
    for kind, (source, message) in strange(tmp_path, folder).items():
        for use in (describe, lambda given: load_data(given, cache=tmp_path / "cache")):
            with pytest.raises(ValueError, match=rf"(?s){message}"):
                use(str(source))
                pytest.fail(f"{kind}: no error")


def test_folders_below_a_class_belong_to_it(tmp_path: Path, folder: Folder) -> None:
    for seed, name in enumerate(("cat", "dog")):
        folder(tmp_path / "set" / name, {"day": 6, "night": 6}, 50 * seed)
    assert describe(str(tmp_path / "set")).classes == {"cat": 12, "dog": 12}


def test_classes_stand_behind_the_last_at_of_what_is_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "at@home"
    folder.mkdir()
    every = ",".join(map(str, range(1000)))  # too long for the name of a file
    assert parted("digits") == ("digits", "") and parted(f"digits@{every}") == ("digits", every)
    assert parted(str(folder)) == (str(folder), "") and parted(f"{folder}@0,1") == (str(folder), "0,1")
    assert parted(f"{folder}/photos@0,1") == (f"{folder}/photos", "0,1")
