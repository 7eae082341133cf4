"""Every image of a data set decoded once, into one file of bytes that processes share through memory mapping."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from filelock import FileLock

from vitlab.data.decode import Pixels, decode_square
from vitlab.data.info import Layout
from vitlab.data.rows import Rows

log = logging.getLogger("vitlab.data")

CHUNK = 512
THREADED_BYTES = 8192  # an encoded image larger than this decodes faster in two threads than in one
SPARE = 64 * 2**20  # bytes to leave free on the disk


@dataclass(frozen=True, eq=False)
class Decoded:
    """`images` (N, 3, S, S) uint8, mapped into memory, all splits in a row; `bad` by split: index and why."""

    images: Pixels
    bad: dict[str, dict[int, str]]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def decoded_images(layout: Layout, identity: str, size: int, cache: Path, skip_bad_images: bool) -> Decoded:
    """Decode the images of `layout`, whose fingerprint is `identity`, or map the file of an earlier time.

    Safe for several processes at once: the first decodes, the others wait; the file appears whole or not at all.
    Raises ValueError for a corrupt image unless `skip_bad_images`, and for a disk that is too small.
    """
    file = cache / f"{layout.source.name}-{identity[:12]}-{size}px.npy"
    notes = file.with_suffix(".json")
    with FileLock(f"{file}.lock"):
        if not (file.is_file() and notes.is_file()):
            _write(layout, size, file, notes, skip_bad_images)
    known = json.loads(notes.read_text(encoding="utf-8"))
    bad = {split: {int(index): why for index, why in some.items()} for split, some in known["bad"].items()}
    if not skip_bad_images:
        for split, some in bad.items():
            for index, why in some.items():
                raise _corrupt(layout.source.rows[split], index, why)
    # copy-on-write: the pages are shared by all processes, and torch gets an array that it may take for writable
    return Decoded(np.load(file, mmap_mode="c"), bad, tuple(known["mean"]), tuple(known["std"]))


def decoded_bytes(layout: Layout, size: int) -> int:
    """Size in bytes of all images of `layout` at `size` pixels."""
    return sum(len(rows.labels) for rows in layout.source.rows.values()) * 3 * size * size


def _write(layout: Layout, size: int, file: Path, notes: Path, skip_bad_images: bool) -> None:
    need = decoded_bytes(layout, size)
    _check_disk(file.parent, need)
    count = need // (3 * size * size)
    log.info("Decoding %s images of %s at %d px into %s", f"{count:,}", layout.source.name, size, file)
    partial = file.with_suffix(".partial")
    try:
        images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(count, 3, size, size))
        bad = _fill(layout, size, images, skip_bad_images)
        mean, std = measure(images, layout.splits["train"][1])
        images.flush()
        del images
        text = json.dumps({"bad": bad, "mean": mean, "std": std})
        notes.write_text(text, encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise ValueError(f"The image cache {file} cannot be written: {error}. Give another cache folder.") from error
    finally:
        partial.unlink(missing_ok=True)


def _fill(layout: Layout, size: int, images: Pixels, skip_bad_images: bool) -> dict[str, dict[int, str]]:
    start, bad = 0, {}
    for split, rows in layout.source.rows.items():
        bad[split] = _decode_rows(rows, size, images[start : start + len(rows.labels)], skip_bad_images)
        start += len(rows.labels)
    return bad


def _decode_rows(rows: Rows, size: int, out: Pixels, skip_bad_images: bool) -> dict[int, str]:
    """Decode into `out`; threads pay only for large images, whose decoding releases the interpreter's lock."""
    bad: dict[int, str] = {}
    large = rows.nbytes() / max(1, len(rows.labels)) > THREADED_BYTES
    with ThreadPoolExecutor(os.cpu_count() if large else 1) as pool:
        for start, chunk in _chunks(rows.iterate()):
            results = pool.map(_attempt, chunk, [size] * len(chunk)) if large else map(_attempt, chunk, [size] * CHUNK)
            for index, result in enumerate(results, start):
                if isinstance(result, str):
                    if not skip_bad_images:
                        raise _corrupt(rows, index, result)
                    bad[index] = result
                else:
                    out[index] = result
    return bad


def _chunks(images: Iterator[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    start = 0
    while chunk := list(islice(images, CHUNK)):
        yield start, chunk
        start += len(chunk)


def _attempt(data: bytes, size: int) -> Pixels | str:
    try:
        return decode_square(data, size)
    except ValueError as error:
        return str(error)


def measure(images: Pixels, indices: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel of the pixels in [0, 1] of at most 10,000 of the images, evenly spread."""
    total, squares, count = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(some := indices[:: -(-len(indices) // 10_000)]), CHUNK):
        pixels = images[some[start : start + CHUNK]].astype(np.float64) / 255  # (b, 3, H, W)
        total += pixels.sum(axis=(0, 2, 3))
        squares += (pixels**2).sum(axis=(0, 2, 3))
        count += pixels[:, 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return np.round(mean, 4).tolist(), np.round(np.maximum(std, 1e-3), 4).tolist()


def _corrupt(rows: Rows, index: int, why: str) -> ValueError:
    return ValueError(
        f"The image {rows.where(index)} cannot be read: {why}. Repair or remove it, or drop such images with "
        "--skip_bad_images."
    )


def make_cache(cache: Path) -> None:
    """Make the folder `cache` if there is none. Raises ValueError where that, or writing into it, is not allowed."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The cache folder {cache} cannot be made: {error}. Give another one.") from error
    if not os.access(cache, os.W_OK):
        raise ValueError(f"The cache folder {cache} cannot be written to. Give another one.")


def _check_disk(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + SPARE:
        raise ValueError(
            f"No disk space for the decoded images: {need / 2**20:,.0f} MiB are needed in {folder} and "
            f"{free / 2**20:,.0f} MiB are free. Free some, choose a smaller image size, or give another cache folder."
        )
