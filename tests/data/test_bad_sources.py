"""Every kind of source that is no data set gets one message, and nothing is kept of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from tests.data.conftest import noise, write_folder
from tests.data.copies import CIFAR, write_parquet
from vitlab.data import describe, load_data


def bad_sources(root: Path) -> dict[str, tuple[Path | str, str]]:
    (root / "empty").mkdir()
    write_folder(root / "one", {"cat": 5})
    write_folder(root / "tiny", {"cat": 5, "dog": 1})
    write_folder(root / "small", {"cat": 5, "dog": 2})
    write_folder(root / "hollow", {"cat": 5, "dog": 0})
    for split, counts in (("train", {"cat": 5, "dog": 5}), ("test", {"cat": 5, "dgo": 5})):
        write_folder(root / "strange" / split, counts)
    (root / "flat").mkdir()
    noise(0).save(root / "flat" / "a.png")
    (root / "broken").mkdir()
    (root / "broken" / "train-0.parquet").write_text("no table")
    parquet.write_table(arrow.table({"text": ["a"], "label": [0]}), (root / "text.parquet"))
    (root / "columns").mkdir()
    for name in ("cat", "dog"):
        (root / "phone" / name).mkdir(parents=True)
        (root / "phone" / name / "1.HEIC").write_bytes(b"-")
    (root / "text.parquet").rename(root / "columns" / "train.parquet")
    for name, classes in (("a", CIFAR), ("b", tuple("abcdefghij"))):
        write_parquet(root / "two" / name / "train.parquet", 20, classes, 0)
    return {
        "unknown name": ("cifr10", "no folder 'cifr10'.*Did you mean 'cifar10'.*digits"),
        "missing path": (root / "nowhere", "There is no data card and no folder.*nowhere"),
        "missing copy": (root / "eurosat_64", "by its name a local copy of eurosat.*--data eurosat for the hub"),
        "a file": (root / "flat" / "a.png", "is a file; give the folder"),
        "empty folder": (root / "empty", "has no class folders"),
        "images without class folders": (root / "flat", "has no class folders"),
        "one class": (root / "one", "one class folder, 'cat'; two or more"),
        "class too small for a test split": (root / "tiny", "No test split .* single image left .dog."),
        "class too small for validation": (root / "small", "No validation split .* single image left .dog."),
        "class without images": (root / "hollow", "dog holds no images"),
        "photographs of another format": (
            root / "phone",
            "holds no images .*[12] .heic; convert photographs to JPEG or PNG",
        ),
        "class of the test folder alone": (root / "strange", "'dgo', which the train folder lacks.*'dog'"),
        "no table": (root / "broken", "not a readable parquet file"),
        "table without images": (root / "columns", "has the columns text, label; an image column"),
        "several data sets": (root / "two", "give the folder of a single data set.*Did you mean .*two/a, .*two/b"),
        "a card without a hub": ("flowers89", "not on the hub. Give the path"),
    }


def test_bad_sources_get_one_clear_message(tmp_path: Path) -> None:
    for kind, (source, message) in bad_sources(tmp_path).items():
        for use in (describe, lambda given: load_data(given, cache=tmp_path / "cache")):
            with pytest.raises(ValueError, match=rf"(?s){message}"):
                use(str(source))
                pytest.fail(f"{kind}: no error")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_an_impossible_image_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Image size 0"):
        load_data("digits", cache=tmp_path, image_size=0)
