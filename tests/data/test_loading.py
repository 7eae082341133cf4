"""Data sets from folders, parquet copies and cards: splits, identity, the cache, and images that cannot be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from tests.data.conftest import COUNTS, noise, write_folder
from tests.data.copies import CIFAR, write_parquet
from vitlab.data import describe, load_data
from vitlab.data.cards import get_card
from vitlab.data.parquet import hub_rows
from vitlab.data.selection import select_classes


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "cifar10"
    write_parquet(folder / "plain_text" / "train-00000-of-00002.parquet", 30, CIFAR, 0)
    write_parquet(folder / "plain_text" / "train-00001-of-00002.parquet", 30, CIFAR, 100)
    write_parquet(folder / "plain_text" / "test-00000-of-00001.parquet", 20, CIFAR, 200)
    return folder


def test_digits_come_with_scikit_learn(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits", cache=tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (1149, 288, 360)
    everything = torch.cat(
        [split.images(torch.arange(len(split))) for split in (data.train, data.validation, data.test)]
    )
    pixels = everything.float() / 255
    assert abs(pixels.mean() - data.mean[0]) < 1e-3 and abs(pixels.std() - data.std[0]) < 1e-3
    levels = np.round(everything[:, 0].double().numpy() * (16 / 255)).astype(int).reshape(1797, 64)
    labels = torch.cat([split.labels for split in (data.train, data.validation, data.test)]).numpy()
    known = load_digits()
    ours, theirs = np.column_stack([levels, labels]), np.column_stack([known.data.astype(int), known.target])
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))
    for split in (data.validation, data.test):
        assert np.ptp(np.bincount(split.labels)) <= 3


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    (root / "cat" / "notes.txt").write_text("no image")
    data = load_data(str(root), cache=tmp_path / "cache")
    info = describe(str(root))
    assert data.classes == ("cat", "dog", "owl") and data.name == info.name == "animals"
    assert data.image_size == info.image_size == 32
    sizes = {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)}
    assert sizes == dict(info.sizes) and sum(sizes.values()) == 28 and sizes["test"] == 6 and sizes["validation"] == 3
    assert info.fingerprint == data.fingerprint
    for split in (data.train, data.validation, data.test):
        assert set(split.labels.tolist()) == {0, 1, 2}
    images = data.train.images(torch.tensor([0, 5]))
    assert images.shape == (2, 3, 32, 32) and images.dtype == torch.uint8


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for name, seed in (("train", 0), ("val", 100), ("test", 200)):
        write_folder(tmp_path / "animals" / name, COUNTS, seed)
    data = load_data(str(tmp_path / "animals"), cache=tmp_path / "cache", image_size=16)
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 28, 28)
    assert data.image_size == 16


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "here")
    before = load_data(str(root), cache=tmp_path / "cache")
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "there")
    after = load_data(str(moved), cache=tmp_path / "other cache")
    assert after.fingerprint == before.fingerprint and after.name == "there"
    assert torch.equal(before.test.images(torch.arange(6)), after.test.images(torch.arange(6)))
    noise(999).save(moved / "cat" / "000.png")
    assert describe(str(moved)).fingerprint != before.fingerprint


def test_a_second_load_reads_the_cache(tmp_path: Path) -> None:
    root, cache = write_folder(tmp_path / "animals"), tmp_path / "cache"
    first = load_data(str(root), cache=cache)
    files = {file: file.stat().st_mtime_ns for file in cache.glob("*.npy")}
    second = load_data(str(root), cache=cache)
    assert len(files) == 1 and {file: file.stat().st_mtime_ns for file in cache.glob("*.npy")} == files
    assert torch.equal(first.train.images(torch.arange(19)), second.train.images(torch.arange(19)))
    assert first.mean == second.mean
    load_data(str(root), cache=cache, image_size=48)
    assert len(list(cache.glob("*.npy"))) == 2


def test_two_processes_may_load_at_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", {"cat": 200, "dog": 200})
    code = (
        "import sys, pathlib; from vitlab.data import cache, layout, sources;"
        "found = layout.resolve(sources.find_source(sys.argv[1])); folder = pathlib.Path(sys.argv[2]);"
        "print(cache.decoded_images(found, layout.fingerprint(found), 32, folder, False).images.sum())"
    )
    (tmp_path / "cache").mkdir()
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment()) for _ in range(2)]
    sums = [process.communicate(timeout=120)[0] for process in both]
    assert all(process.returncode == 0 for process in both) and sums[0] == sums[1]
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_parquet_copy_with_a_card(cifar: Path, tmp_path: Path) -> None:
    info = describe(str(cifar))
    assert info.name == "cifar10" and info.title == "CIFAR-10 (80 of 60,000 images)" and info.image_size == 32
    assert dict(info.sizes) == {"train": 50, "validation": 10, "test": 20}
    data = load_data(str(cifar), cache=tmp_path)
    assert data.classes == CIFAR and data.std == (0.2470, 0.2435, 0.2616) and data.group == "natural"
    assert data.fingerprint == info.fingerprint
    expected = np.asarray(noise(203, 32).crop((0, 0, 32, 32))).transpose(2, 0, 1)
    assert np.array_equal(data.test.images(torch.tensor([3]))[0].numpy(), expected)


def test_the_hub_gives_what_a_local_copy_gives(cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    card = replace(get_card("cifar10"), hub=str(cifar))  # load_dataset takes a folder in a repository's place
    classes, rows = hub_rows(card, tmp_path / "downloads")
    assert classes == CIFAR and list(rows) == ["train", "test"]
    from vitlab.data.layout import fingerprint, resolve
    from vitlab.data.sources import Source

    layout = resolve(Source("cifar10", card, classes, rows))
    assert fingerprint(layout) == describe(str(cifar)).fingerprint


def test_words_and_other_columns_serve_as_labels(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set" / "train.parquet", 40, None, 0, image="image")
    data = describe(str(tmp_path / "set"))
    assert data.num_classes == 10 and data.sizes["test"] == 10
    table = parquet.read_table(tmp_path / "set" / "train.parquet")
    words = arrow.array(["yes" if value.as_py() % 2 else "no" for value in table["label"]])
    parquet.write_table(table.set_column(1, "label", words), tmp_path / "set" / "train.parquet")
    assert load_data(str(tmp_path / "set"), cache=tmp_path / "cache").classes == ("no", "yes")


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_data_larger_than_memory_streams(kind: str, cifar: Path, tmp_path: Path) -> None:
    source = str(cifar) if kind == "parquet" else str(write_folder(tmp_path / "animals"))
    whole = load_data(source, cache=tmp_path / "cache")
    streamed = load_data(source, cache=tmp_path / "cache", memory_fraction=0.0)
    assert streamed.train.streaming and streamed.fingerprint == whole.fingerprint
    some = torch.tensor([3, 0, 7, 7])
    for split in ("train", "validation", "test"):
        expected, got = getattr(whole, split), getattr(streamed, split)
        indices = some % len(expected)
        assert torch.equal(expected.images(indices), got.images(indices)) and torch.equal(expected.labels, got.labels)
    assert np.allclose(whole.mean, streamed.mean, atol=0.01) and np.allclose(whole.std, streamed.std, atol=0.01)


@pytest.mark.filterwarnings("ignore")
def test_streamed_batches_come_through_workers(tmp_path: Path) -> None:
    from vitlab.data import DataModule

    root = write_folder(tmp_path / "animals")
    batches = []
    for fraction in (0.5, 0.0):
        data = load_data(str(root), cache=tmp_path / "cache", memory_fraction=fraction)
        module = DataModule(data, batch_size=8, steps_per_round=3, seed=0, augment=("flip",), workers=2)
        batches.append([module.finish(batch) for batch in module.train_dataloader()])
    for memory, stream in zip(*batches, strict=True):
        assert memory.step == stream.step and torch.equal(memory.targets, stream.targets)


def test_a_full_disk_is_noticed_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "animals")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match="No disk space.*64 MiB to spare.*another cache folder.*--runs"):
        load_data(str(root), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cache folder .* cannot be made"):
        load_data("digits", cache=tmp_path / "file" / "cache")


def test_describing_imports_no_torch(cifar: Path) -> None:
    code = (
        "import sys; from vitlab.data import describe, get_card;"
        f"describe('digits'); describe({str(cifar)!r}); describe('imagenet'); get_card('pets');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def test_each_test_image_has_the_name_of_its_file(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 4)):
        for i in range(count):
            path = tmp_path / "set" / split / ("cat", "dog")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 20 * i, dtype=np.uint8)).save(path)
    for share in (0.5, 0.0):  # in memory, and decoded on demand
        data = load_data(str(tmp_path / "set"), image_size=8, cache=tmp_path / "cache", memory_fraction=share)
        for i in range(len(data.test)):
            file = Path(data.test_name(i))
            assert file.parent.parent.name == "test" and data.classes[data.test.labels[i]] == file.parent.name
            assert data.test.images(torch.tensor([i])).unique().tolist() == [20 * int(file.stem)]


def test_of_some_classes_each_image_keeps_its_file(animals: Path, tmp_path: Path) -> None:
    whole = load_data(str(animals), cache=tmp_path / "cache")
    some = select_classes(whole, (2, 0))
    assert len(some.test.labels) < len(whole.test.labels)
    for index, label in enumerate(some.test.labels.tolist()):
        assert some.classes[label] in some.test_name(index)


def test_a_corrupt_row_is_named(cifar: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(cifar, tmp_path / "cifar10")
    file = copy / "plain_text" / "train-00001-of-00002.parquet"
    table = parquet.read_table(file)
    images = table["img"].to_pylist()
    images[4] = {"bytes": b"nothing", "path": None}
    parquet.write_table(table.set_column(0, "img", arrow.array(images, table.schema.field("img").type)), file)
    with pytest.raises(ValueError, match=r"row 4 of .*train-00001-of-00002\.parquet cannot be read"):
        load_data(str(copy), cache=tmp_path / "cache")
