"""Folders as they are found: links in circles, pipes, devices, damaged files, long names, images as large as a wall."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitlab.data import describe, load_data
from vitlab.data.decode import decode_square

Folder = Callable[..., Path]


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def total(root: Path) -> int:
    return sum(describe(str(root)).sizes.values())


def test_a_link_to_the_folder_itself_adds_nothing(animals: Path) -> None:
    before = describe(str(animals))
    (animals / "loop").symlink_to(".")
    (animals / "up").symlink_to("..")
    (animals / "cat" / "round").symlink_to("../dog")
    (animals / "dog" / "round").symlink_to("../cat/round")
    (animals / "dog" / "self").symlink_to("self")
    (animals / "aa").symlink_to("owl")
    (animals / "cat" / "same.png").symlink_to("../dog/000.png")
    after = describe(str(animals))
    assert after.sizes == before.sizes and after.fingerprint == before.fingerprint and after.num_classes == 3
    assert any(path.endswith("same.png") for path in after.left_out.repeated)


def test_hard_links_count_once_and_stay_in_test(tmp_path: Path, folder: Folder) -> None:
    for seed, split in ((0, "train"), (100, "test")):
        folder(tmp_path / "set" / split, {"cat": 6, "dog": 6}, seed)
    os.link(tmp_path / "set" / "test" / "cat" / "000.png", tmp_path / "set" / "train" / "cat" / "copy.png")
    info = describe(str(tmp_path / "set"))
    assert info.sizes["test"] == 12 and info.sizes["train"] + info.sizes["validation"] == 12
    assert [Path(path).name for path in info.left_out.repeated] == ["copy.png"]


def test_a_test_split_of_links_into_train_is_refused(tmp_path: Path, folder: Folder) -> None:
    folder(tmp_path / "set" / "train", {"cat": 6, "dog": 6})
    (tmp_path / "set" / "test").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / "test" / name).symlink_to(f"../train/{name}")
    with pytest.raises(ValueError, match=r"test holds no images.* 2 links to files found before"):
        describe(str(tmp_path / "set"))


def test_links_to_images_elsewhere_are_images(tmp_path: Path, folder: Folder) -> None:
    store = folder(tmp_path / "store", {"a": 6, "b": 6})
    plain, linked, hidden = (tmp_path / name for name in ("plain", "linked", "hidden"))
    for number, name in enumerate(("a", "b")):
        (linked / name).parent.mkdir(exist_ok=True)
        (linked / name).symlink_to(store / name)
        (plain / name).mkdir(parents=True)
        (hidden / name).mkdir(parents=True)
        for file in sorted((store / name).iterdir()):
            (plain / name / file.name).write_bytes(file.read_bytes())
            kept = hidden / ".objects" / f"{number}{file.name}"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(file.read_bytes())
            (hidden / name / file.name).symlink_to(kept)
    prints = {describe(str(root)).fingerprint for root in (plain, linked, hidden, store)}
    assert len(prints) == 1


def test_what_is_no_file_neither_hangs_nor_passes(animals: Path, tmp_path: Path) -> None:
    os.mkfifo(animals / "cat" / "pipe.png")
    (animals / "dog" / "endless.jpg").symlink_to("/dev/zero")
    (animals / "dog" / "gone.jpg").symlink_to("nowhere.jpg")
    with (animals / "owl" / "wide.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="4 of 32 images cannot be read") as raised:
        load_data(str(animals), cache=tmp_path / "cache")
    for part in (
        "pipe.png: it is a pipe",
        "endless.jpg: it is a pipe, a device",
        "gone.jpg: it is a link",
        "at most 512",
    ):
        assert part in str(raised.value)
    data = load_data(str(animals), cache=tmp_path / "cache", skip_bad_images=True)
    assert data.skipped == 4 and len(data.train) + len(data.validation) + len(data.test) == 28
    with pytest.raises(ValueError, match="4 of 32 images cannot be read"):
        load_data(str(animals), cache=tmp_path / "cache", memory_fraction=0.0)


def test_all_images_that_cannot_be_read_are_named_at_once(
    animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [animals / "cat" / f"{index:03}.{'jpg' if index % 2 else 'png'}" for index in range(12)]
    for index, file in enumerate(broken):
        file.write_bytes(file.read_bytes()[: 10 * index])
    with pytest.raises(ValueError, match="12 of 28 images cannot be read") as raised:
        load_data(str(animals), cache=tmp_path / "cache")
    message = str(raised.value)
    assert all(str(file) in message for file in broken[:10]) and "and 2 more" in message
    assert " object at " not in message and "--skip_bad_images" in message
    with caplog.at_level(logging.WARNING, "vitlab.data"):
        data = load_data(str(animals), cache=tmp_path / "cache", skip_bad_images=True)
    assert data.skipped == 12 and set(data.unread) == set(map(str, broken))
    assert "Left out 12 of 28 images" in caplog.text and str(broken[0]) in caplog.text


@pytest.mark.parametrize("kind", ["avif", "dds", "jp2", "webp", "tif", "gif", "png", "bmp"])
def test_a_damaged_image_of_any_format_is_named(kind: str, animals: Path, tmp_path: Path) -> None:
    formats = {"avif": "AVIF", "dds": "DDS", "jp2": "JPEG2000", "tif": "TIFF"}
    whole = encoded(Image.fromarray(np.zeros((40, 40, 3), np.uint8)), formats.get(kind, kind.upper()))
    assert decode_square(whole, 8).shape == (3, 8, 8)
    bad = animals / "dog" / f"bad.{kind}"
    bad.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"dog.bad\.{kind} cannot be read: [^<>]+--skip_bad_images"):
        load_data(str(animals), cache=tmp_path / "cache")


def test_long_names(tmp_path: Path, folder: Folder) -> None:
    long = "x" * 240
    root = folder(tmp_path / long, {"cat": 6, long: 6})
    data = load_data(str(root), cache=tmp_path / "cache")
    assert data.classes == ("cat", long) and len(data.name) == 64
    assert data.name != describe(str(folder(tmp_path / f"{'x' * 239}y"))).name
    with pytest.raises(ValueError, match="is no path"):
        describe("y" * 5000)
    with pytest.raises(ValueError, match="is no path"):
        describe("~nobody-at-all/here")


def test_names_that_are_no_text(tmp_path: Path, folder: Folder) -> None:
    root = folder(tmp_path / "set", {"cat": 6, "dog": 6})
    odd = os.fsencode(root / "cat") + b"/\xff\x1b[31m.png"
    with open(odd, "wb") as file:
        file.write(b"nothing")
    with pytest.raises(ValueError, match=r"cat/\\xff\\x1b\[31m\.png cannot be read") as raised:
        load_data(str(root), cache=tmp_path / "cache")
    str(raised.value).encode()
    os.rename(root / "dog", os.fsencode(root) + b"/d\xff")
    with pytest.raises(ValueError, match="letters that cannot be printed"):
        describe(str(root))


def wall(side: int) -> bytes:
    """A PNG of one colour, which takes a byte for some hundred pixels."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    packer, row = zlib.compressobj(1), bytes(1 + 3 * side)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


MEASURED = """
import resource, sys
from vitlab.data.decode import decode_square, formats
data = open(sys.argv[1], 'rb').read(); formats()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_square(data, 32)
except ValueError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_wall_of_pixels_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "wall.png").write_bytes(wall(13_000))
    assert (tmp_path / "wall.png").stat().st_size < 4_000_000
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "wall.png")]
    *message, megabytes = subprocess.check_output(command, env=environment, text=True).splitlines()
    assert "13,000 x 13,000 px; at most 64 million" in message[0] and int(megabytes) < 30


def test_an_animation_is_its_first_frame_however_many_follow(tmp_path: Path) -> None:
    first = Image.new("RGB", (16, 16), (200, 30, 60))
    others = [Image.new("RGB", (16, 16), (index % 256, 0, 0)) for index in range(300)]
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=others)
    assert np.ptp(decode_square(buffer.getvalue(), 16)[0]) == 0


def test_a_folder_that_changes_while_it_is_read_is_an_error_in_words(animals: Path) -> None:
    from vitlab.data.sources import Source, find_source

    found = find_source(str(animals))
    assert isinstance(found, Source)
    (animals / "cat" / "000.png").unlink()
    with pytest.raises(ValueError, match=r"cat/000\.png cannot be read: No such file"):
        list(found.rows["train"].iterate())


def test_streamed_images_of_a_folder_with_links(animals: Path, tmp_path: Path) -> None:
    (animals / "loop").symlink_to(".")
    data = load_data(str(animals), cache=tmp_path / "cache", memory_fraction=0.0)
    assert data.train.images(torch.arange(len(data.train))).shape[0] == 19
    assert total(animals) == 28
