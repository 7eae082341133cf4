"""Data sets from folders, parquet copies and cards: splits, identity, the cache, and every kind of bad source."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from vitlab.data import describe, load_data
from vitlab.data.cards import get_card
from vitlab.data.parquet import hub_rows

COUNTS = {"cat": 12, "dog": 9, "owl": 7}
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def picture(seed: int, size: int = 20) -> Image.Image:
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (size, size + 4, 3)).astype(np.uint8))


def write_folder(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            suffix = "jpg" if index % 2 else "png"
            picture(seed := seed + 1).save(root / name / f"{index:03}.{suffix}")
    return root


def write_parquet(file: Path, count: int, names: tuple[str, ...] | None, seed: int, image: str = "img") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.parent / "one.png"
    images = []
    for index in range(count):
        picture(seed + index, 32).crop((0, 0, 32, 32)).save(scratch)
        images.append({"bytes": scratch.read_bytes(), "path": f"{index}.png"})
    scratch.unlink()
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    table = arrow.table({image: arrow.array(images, kind), "label": arrow.array([i % 10 for i in range(count)])})
    features = {image: {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(names or [])}}
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, file)


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
    picture(999).save(moved / "cat" / "000.png")
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
    expected = np.asarray(picture(203, 32).crop((0, 0, 32, 32))).transpose(2, 0, 1)
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


def test_a_corrupt_image_is_named_or_skipped(tmp_path: Path) -> None:
    root, cache = write_folder(tmp_path / "animals"), tmp_path / "cache"
    broken = root / "dog" / "003.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"dog.003\.jpg cannot be read.*--skip_bad_images"):
        load_data(str(root), cache=cache)
    assert not list(cache.glob("*.npy")) and not list(cache.glob("*.partial"))
    data = load_data(str(root), cache=cache, skip_bad_images=True)
    assert data.skipped == 1 and len(data.train) + len(data.validation) + len(data.test) == 27
    with pytest.raises(ValueError, match=r"dog.003\.jpg"):
        load_data(str(root), cache=cache)
    streamed = load_data(str(root), cache=cache, memory_fraction=0.0, skip_bad_images=True)
    assert streamed.train.images(torch.arange(len(streamed.train))).shape[1:] == (3, 32, 32)


def test_a_corrupt_row_is_named(cifar: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(cifar, tmp_path / "cifar10")
    file = copy / "plain_text" / "train-00001-of-00002.parquet"
    table = parquet.read_table(file)
    images = table["img"].to_pylist()
    images[4] = {"bytes": b"nothing", "path": None}
    parquet.write_table(table.set_column(0, "img", arrow.array(images, table.schema.field("img").type)), file)
    with pytest.raises(ValueError, match=r"row 4 of .*train-00001-of-00002\.parquet cannot be read"):
        load_data(str(copy), cache=tmp_path / "cache")


def test_a_full_disk_is_noticed_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "animals")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ValueError, match="No disk space.*another cache folder"):
        load_data(str(root), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npy"))


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cache folder .* cannot be made"):
        load_data("digits", cache=tmp_path / "file" / "cache")


def bad_sources(root: Path) -> dict[str, tuple[Path | str, str]]:
    (root / "empty").mkdir()
    write_folder(root / "one", {"cat": 5})
    write_folder(root / "tiny", {"cat": 5, "dog": 1})
    write_folder(root / "small", {"cat": 5, "dog": 2})
    write_folder(root / "hollow", {"cat": 5, "dog": 0})
    for split, counts in (("train", {"cat": 5, "dog": 5}), ("test", {"cat": 5, "dgo": 5})):
        write_folder(root / "strange" / split, counts)
    (root / "flat").mkdir()
    picture(0).save(root / "flat" / "a.png")
    (root / "broken").mkdir()
    (root / "broken" / "train-0.parquet").write_text("no table")
    parquet.write_table(arrow.table({"text": ["a"], "label": [0]}), (root / "text.parquet"))
    (root / "columns").mkdir()
    (root / "text.parquet").rename(root / "columns" / "train.parquet")
    for name, classes in (("a", CIFAR), ("b", tuple("abcdefghij"))):
        write_parquet(root / "two" / name / "train.parquet", 20, classes, 0)
    return {
        "unknown name": ("cifr10", "no folder 'cifr10'.*Did you mean 'cifar10'.*digits"),
        "missing path": (root / "nowhere", "There is no data card and no folder.*nowhere"),
        "a file": (root / "flat" / "a.png", "is a file; give the folder"),
        "empty folder": (root / "empty", "has no class folders"),
        "images without class folders": (root / "flat", "has no class folders"),
        "one class": (root / "one", "one class folder, 'cat'; two or more"),
        "class too small for a test split": (root / "tiny", "No test split .* single image left .dog."),
        "class too small for validation": (root / "small", "No validation split .* single image left .dog."),
        "class without images": (root / "hollow", "dog holds no images"),
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


def test_describing_imports_no_torch(cifar: Path) -> None:
    code = (
        "import sys; from vitlab.data import describe, get_card;"
        f"describe('digits'); describe({str(cifar)!r}); describe('imagenet'); get_card('pets');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
