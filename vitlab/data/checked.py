"""Arrays and notes on disk with checksums beside them, so that what a disk has damaged is not taken for data."""

from __future__ import annotations

import errno
import json
import math
import os
import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

BLOCK = 2**20  # bytes under one checksum
WHOLE = 256 * 2**20  # arrays up to this size are checked whole, which takes a tenth of a second
SAMPLED = 64  # blocks of a larger one that are checked each time, drawn at random
UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)

_verified: set[tuple[str, int, int, int]] = set()  # files that this process has checked: name, inode, bytes, time


class Damaged(Exception):
    """A stored file is not what was written; `file` is its path and the message says what is wrong."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(why)
        self.file = file


def allocate(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """A new `.npy` of zeros, mapped for writing, whose room on the disk is taken at once.

    Writing into a mapped file on a full disk ends the process by a signal; so a disk without room is found here.
    Raises OSError for it.
    """
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.flush()
        _reserve(stream.fileno(), stream.tell(), math.prod(shape))
    return np.load(file, mmap_mode="r+")


def block_sums(array: Bytes) -> list[int]:
    """The CRC-32 of every mebibyte of an array's bytes."""
    flat = array.reshape(-1)
    return [zlib.crc32(flat[start : start + BLOCK].data) for start in range(0, flat.size, BLOCK)]


def open_array(file: Path, shape: tuple[int, ...], notes: Mapping[str, Any]) -> Bytes:
    """Map the `.npy` at `file` copy-on-write and compare it with the "blocks" that `block_sums` gave; raises Damaged.

    Up to 256 MiB are compared whole, of larger arrays the size, the header and 64 blocks; once a process.
    """
    try:
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise Damaged(file, f"no array: {error}") from error
    if array.dtype != np.uint8 or array.shape != shape or not isinstance(array, np.memmap):
        raise Damaged(file, f"it holds {array.dtype} {array.shape}, not uint8 {shape}")
    status = file.stat()
    known = (str(file), status.st_ino, status.st_size, status.st_mtime_ns)
    if known not in _verified:
        _compare(file, array, notes.get("blocks"))
        _verified.add(known)
    return array


def write_notes(file: Path, facts: Mapping[str, Any]) -> None:
    """Write `facts` (JSON values) with a checksum, whole or not at all."""
    facts = json.loads(json.dumps(facts))  # numbers as names become text, which has another order
    text = json.dumps(facts, sort_keys=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    partial.write_text(json.dumps({"crc": zlib.crc32(text.encode()), "facts": facts}, sort_keys=True), encoding="utf-8")
    partial.replace(file)


def read_notes(file: Path) -> dict[str, Any]:
    """What `write_notes` wrote; raises Damaged."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        text = json.dumps(record["facts"], sort_keys=True)
        if record["crc"] == zlib.crc32(text.encode()):
            return record["facts"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(file, f"{type(error).__name__}: {error}") from error
    raise Damaged(file, "its checksum differs")


def _reserve(descriptor: int, start: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, start, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in UNSUPPORTED:
            raise
        zeros = bytes(BLOCK)  # a system or a file system without the call
        os.lseek(descriptor, start, os.SEEK_SET)
        for at in range(0, size, BLOCK):
            os.write(descriptor, zeros[: min(BLOCK, size - at)])


def _compare(file: Path, array: Bytes, blocks: Any) -> None:
    count = -(-array.size // BLOCK)
    if not isinstance(blocks, list) or len(blocks) != count:
        raise Damaged(file, "it has no checksums")
    chosen = (
        range(count) if array.size <= WHOLE else sorted({0, count - 1, *random.Random().sample(range(count), SAMPLED)})
    )
    flat = array.reshape(-1)
    for block in chosen:
        if zlib.crc32(flat[block * BLOCK : (block + 1) * BLOCK].data) != blocks[block]:
            raise Damaged(file, f"the checksum of its mebibyte {block} differs")
