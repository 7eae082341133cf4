"""Tables as people have them: splits by the names of files, missing labels, images of any Arrow type."""

from __future__ import annotations

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch

from tests.data.copies import write_parquet
from vitlab.data import describe, load_data


def described(root: Path, *files: str) -> dict[str, tuple[int, bool]]:
    """By split of a folder with tables of 20, 21, ... images in `files`: its size, and whether it is carved."""
    for number, file in enumerate(files):
        write_parquet(root / file, 20 + number, None, 100 * number, image="image")
    return {split.name: (split.size, "carved" in split.origin) for split in describe(str(root)).splits}


@pytest.mark.parametrize(
    "files",
    [
        ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"),
        ("default/partial-train/0000.parquet", "default/partial-test/0000.parquet"),
        ("cifar10-train.parquet", "cifar10-test.parquet"),
        ("mnist_train.parquet", "mnist_test.parquet"),
        ("train.00000.parquet", "test.00000.parquet"),
        ("birds.parquet", "birds (2) test.parquet"),
        ("birds_train/0.parquet", "birds_test/0.parquet"),
        ("train/my-train-images.parquet", "eval/my-test-images.parquet"),
        ("train_of_test_drives.parquet", "test_of_train_tickets.parquet"),
        ("train/protest.parquet", "test/constrain.parquet"),
    ],
)
def test_a_split_is_named_anywhere_in_a_files_name(files: tuple[str, ...], tmp_path: Path) -> None:
    assert described(tmp_path / "set", *files)["test"] == (21, False)


def test_the_usual_other_words_too(tmp_path: Path) -> None:
    found = described(tmp_path / "set", "a-training.parquet", "a-valid.parquet", "a-eval.parquet")
    assert found == {"train": (20, False), "validation": (21, False), "test": (22, False)}


@pytest.mark.parametrize("file", ["train/birds-test.parquet", "birds-train-test.parquet", "a-val/birds_train.parquet"])
def test_a_name_with_two_splits_is_refused(file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{file} has the words of several splits.*begins with train, validation or"):
        described(tmp_path / "set", file)


WORDS = arrow.array(["cat", None, "dog"] * 10)
GAPS = {
    "words": WORDS,
    "words of a list": WORDS.dictionary_encode(),  # pandas' categories
    "numbers": arrow.array([0, None, 1] * 10),
    "numbers below zero": arrow.array([0, -1, 1] * 10),
    "no label at all": arrow.nulls(30),
}


@pytest.mark.parametrize("kind", GAPS)
def test_images_without_a_label_are_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "set" / "train.parquet"
    write_parquet(file, 30, None, 0, image="image")
    parquet.write_table(parquet.read_table(file).set_column(1, "label", GAPS[kind]), file)
    with pytest.raises(ValueError, match="The train split of .*set has no labels, or images without one"):
        describe(str(tmp_path / "set"))


IMAGES = {
    "struct": arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]),
    "struct of bytes": arrow.struct([("bytes", arrow.binary())]),
    "struct of large bytes": arrow.struct([("path", arrow.large_string()), ("bytes", arrow.large_binary())]),
    "bytes": arrow.binary(),
    "large bytes": arrow.large_binary(),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_of_any_arrow_type_stream(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "set" / "train.parquet"
    write_parquet(file, 30, None, 0, image="image")
    table = parquet.read_table(file)
    images = table["image"].to_pylist()
    plain = not arrow.types.is_struct(IMAGES[kind])
    column = arrow.array([image["bytes"] for image in images] if plain else images, IMAGES[kind])
    parquet.write_table(table.set_column(0, "image", column), file)
    memory, stream = (
        load_data(str(tmp_path / "set"), cache=tmp_path / "cache", memory_fraction=share) for share in (0.5, 0.0)
    )
    assert stream.train.streaming and stream.fingerprint == memory.fingerprint
    every = torch.arange(len(memory.train))
    assert torch.equal(stream.train.images(every), memory.train.images(every))
