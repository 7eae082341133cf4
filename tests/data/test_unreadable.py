"""Images that cannot be read: they are named, or left out alike in memory and streamed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.data.conftest import write_folder
from vitlab.data import describe, load_data


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


def test_streamed_data_leaves_out_the_images_that_data_in_memory_leaves_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    for name in ("003.jpg", "005.jpg"):
        (root / "dog" / name).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="--skip_bad_images"):
        streamed = load_data(str(root), cache=tmp_path / "a", memory_fraction=0.0)
        streamed.train.images(torch.arange(len(streamed.train)))
    found = [
        load_data(str(root), cache=tmp_path / name, memory_fraction=share, skip_bad_images=True)
        for name, share in (("a", 0.0), ("b", 0.5), ("a", 0.0), ("a", 0.5))  # also what an earlier time has noted
    ]
    for data in found:
        assert data.unread == found[0].unread and data.skipped == 2
        assert (data.fingerprint, data.mean, data.std) == (found[0].fingerprint, found[0].mean, found[0].std)
        for split in ("train", "validation", "test"):
            ours, theirs = getattr(data, split), getattr(found[0], split)
            assert torch.equal(ours.labels, theirs.labels)
            every = torch.arange(len(ours))
            assert torch.equal(ours.images(every), theirs.images(every))
    assert len(describe(str(root), tmp_path / "a").unread) == 2


def test_what_is_known_of_a_set_counts_each_image_that_cannot_be_read_in_its_own_split_and_class(
    tmp_path: Path,
) -> None:
    for seed, split in enumerate(("train", "test")):
        write_folder(tmp_path / "set" / split, {"cat": 10, "dog": 10}, 100 * seed)
    whole, cache = describe(str(tmp_path / "set")), tmp_path / "cache"
    for index in range(8):
        (tmp_path / "set" / "test" / "dog" / f"{index:03}.{'jpg' if index % 2 else 'png'}").write_bytes(b"nothing")
    load_data(str(tmp_path / "set"), cache=cache, skip_bad_images=True)
    info = describe(str(tmp_path / "set"), cache)
    assert info.sizes == {**whole.sizes, "test": 12} and len(info.unread) == 8
    assert info.classes == {"cat": 20, "dog": 12} and whole.classes == {"cat": 20, "dog": 20}
    assert info.majority == ("cat", pytest.approx(10 / 12)) and whole.majority == ("cat", 0.5)


def test_images_that_cannot_be_opened_are_counted_among_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_folder(tmp_path / "animals")
    for index in range(2):
        (root / "dog" / f"gone{index}.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="2 of 30 images cannot be read"):
        load_data(str(root), cache=tmp_path / "cache")
    load_data(str(root), cache=tmp_path / "cache", skip_bad_images=True)
    assert "Left out 2 of 30 images" in caplog.text


def test_a_split_without_a_readable_image_is_named(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for split in ("train", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for index in range(4):
                Image.new("RGB", (8, 8)).save(root / split / name / f"{index}.png")
    for file in (root / "test").rglob("*.png"):
        file.write_bytes(b"nothing")
    for share in (0.5, 0.0):
        with pytest.raises(ValueError, match="The images of the test split, 8, cannot be read"):
            load_data(str(root), cache=tmp_path / "cache", memory_fraction=share, skip_bad_images=True)


def test_images_that_are_left_out_are_no_part_of_mean_and_deviation(tmp_path: Path) -> None:
    root = tmp_path / "grey"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for index in range(20):
            file = root / name / f"{index}.png"
            Image.new("RGB", (8, 8), (200, 200, 200)).save(file)
            if index % 4 == 0:
                file.write_bytes(b"nothing")
    data = load_data(str(root), cache=tmp_path / "cache", skip_bad_images=True)
    assert data.skipped == 10
    assert data.mean == pytest.approx((200 / 255,) * 3, abs=1e-4) and max(data.std) == pytest.approx(0.001)
    for file in root.rglob("*.png"):
        file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        load_data(str(root), cache=tmp_path / "cache", skip_bad_images=True)
