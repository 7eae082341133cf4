"""Damage to what the cache folder holds is noticed, said and repaired, and a full disk is a message."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vitlab.data import ImageData, checked, load_data
from vitlab.data.memo import recall, remember


def everything(data: ImageData) -> torch.Tensor:
    return torch.cat([split.images(torch.arange(len(split))) for split in (data.train, data.validation, data.test)])


def flip(file: Path, where: float) -> None:
    content = bytearray(file.read_bytes())
    content[min(int(where * len(content)), len(content) - 1)] ^= 4
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a bit of the header": lambda file: flip(file, 0.0),
    "a bit of the shape": lambda file: file.write_bytes(file.read_bytes().replace(b"(28, ", b"(29, ", 1)),
    "a bit in the middle": lambda file: flip(file, 0.5),
    "the last bit": lambda file: flip(file, 1.0),
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
}
NOTES = ["{}", "null", "[]", "", "[" * 5000, '{"crc": 0, "facts": {}}', '{"crc": "x", "facts": 3}', "\udcff"]


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_array_is_put_aside_and_made_again(
    kind: str, animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    first = everything(load_data(str(animals), cache=cache)).clone()
    (file,) = cache.glob("*.npy")
    DAMAGE[kind](file)
    with caplog.at_level(logging.WARNING, "vitlab.data"):
        again = load_data(str(animals), cache=cache)
    assert torch.equal(everything(again), first)
    (said,) = (record.getMessage() for record in caplog.records)
    assert str(file) in said and "is put aside and made again" in said and "\n" not in said
    assert Path(f"{file}.damaged").is_file()
    caplog.clear()
    assert torch.equal(everything(load_data(str(animals), cache=cache)), first) and not caplog.records


@pytest.mark.parametrize("notes", NOTES)
def test_damaged_notes_too(notes: str, animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path / "cache"
    first = load_data(str(animals), cache=cache)
    (file,) = cache.glob("*.sums.json")
    file.write_text(notes, errors="surrogateescape")
    again = load_data(str(animals), cache=cache)
    assert again.mean == first.mean and torch.equal(everything(again), everything(first)) and str(file) in caplog.text


def test_other_numbers_in_the_notes_are_noticed(animals: Path, tmp_path: Path) -> None:
    first = load_data(str(animals), cache=tmp_path)
    (file,) = tmp_path.glob("*.sums.json")
    record = json.loads(file.read_text())
    record["facts"]["mean"] = [0.9, 0.9, 0.9]
    file.write_text(json.dumps(record))
    assert load_data(str(animals), cache=tmp_path).mean == first.mean


def test_notes_of_many_unreadable_images_are_no_damage(
    animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checked.write_notes(tmp_path / "notes", facts := {"bad": {2: "too large", 10: "cut off"}})
    assert checked.read_notes(tmp_path / "notes") == json.loads(json.dumps(facts))
    for name in ("002.png", "010.png"):
        (animals / "cat" / name).write_bytes(b"nothing")
    load_data(str(animals), cache=tmp_path, skip_bad_images=True)
    caplog.clear()
    assert load_data(str(animals), cache=tmp_path, skip_bad_images=True).skipped == 2 and not caplog.records


@pytest.mark.parametrize("notes", ["", "{}", "null", "0" * 32, '{"crc": 1, "facts": {"key": "", "value": ""}}'])
def test_a_damaged_memo_is_found_out_again(
    notes: str, animals: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_data(str(animals), cache=tmp_path)
    (file,) = (tmp_path / "fingerprints").glob("*.json")
    file.write_text(notes)
    assert load_data(str(animals), cache=tmp_path).fingerprint == first.fingerprint
    assert str(file) in caplog.text and Path(f"{file}.damaged").is_file()
    caplog.clear()
    assert load_data(str(animals), cache=tmp_path).fingerprint == first.fingerprint and not caplog.text


def test_a_memo_of_another_thing_is_none(tmp_path: Path) -> None:
    remember(tmp_path, "one", "1")
    remember(tmp_path, "two", "2")
    assert (recall(tmp_path, "one"), recall(tmp_path, "two"), recall(tmp_path, "three")) == ("1", "2", None)
    first, second = sorted((tmp_path / "fingerprints").iterdir())
    shutil.copy(first, second)
    assert sorted(map(str, (recall(tmp_path, "one"), recall(tmp_path, "two")))) in (["1", "None"], ["2", "None"])


def test_large_arrays_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "WHOLE", 2**20)
    monkeypatch.setattr(checked, "SAMPLED", 2)
    shape = (10, 1, 2**10, 2**10)
    array = checked.allocate(tmp_path / "a.npy", shape)
    assert not array.any() and (tmp_path / "a.npy").stat().st_blocks * 512 >= 10 * 2**20
    array[:] = np.arange(10, dtype=np.uint8)[:, None, None, None]
    array.flush()
    notes = {"blocks": checked.block_sums(array)}
    assert len(notes["blocks"]) == 10 and checked.open_array(tmp_path / "a.npy", shape, notes)[9].max() == 9
    array[[0, 9]] = 7
    array.flush()
    os.utime(tmp_path / "a.npy", (1, 1))
    with pytest.raises(checked.Damaged, match="mebibyte 0"):
        checked.open_array(tmp_path / "a.npy", shape, notes)


def test_files_of_killed_processes_are_swept(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "other-set-32px.partial").write_bytes(b"half")
    load_data(str(animals), cache=tmp_path)
    assert not list(tmp_path.glob("*.partial"))


FULL = """
import resource, shutil, sys
from pathlib import Path
from types import SimpleNamespace
from vitlab.data.cache import decoded_images
from vitlab.data.layout import resolve
from vitlab.data.sources import find_source
if sys.argv[3] != "disk":
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
shutil.disk_usage = lambda path: SimpleNamespace(free=2**40)  # as it was before another program filled it
try:
    decoded_images(resolve(find_source(sys.argv[1])), "0" * 16, 512, Path(sys.argv[2]), False)
except OSError as error:
    print(error.errno, error)
print(list(Path(sys.argv[2]).glob("*.npy")) + list(Path(sys.argv[2]).glob("*.partial")))
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def test_a_disk_that_fills_is_a_message_and_no_signal(animals: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: both are noticed when the room is taken."""
    (tmp_path / "cache").mkdir()
    command = [sys.executable, "-c", FULL, str(animals), str(tmp_path / "cache"), "limit"]
    said, left = subprocess.check_output(command, env=environment(), text=True).splitlines()
    assert f"{errno.EFBIG} " in said and "animals-000000000000-512px.npy cannot be written" in said and left == "[]"


@pytest.mark.fault
def test_a_real_disk_that_is_full(animals: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$4" "$1" disk'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path / "disk"), sys.executable, FULL, str(animals)]
    done = subprocess.run(command, env=environment(), text=True, capture_output=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"this machine lends no small disk: {done.stderr}")
    said, left = done.stdout.splitlines()
    assert f"{errno.ENOSPC} " in said and "No space left" in said and left == "[]" and done.returncode == 0
