"""Decoding all images of a data set into one array, in threads where that pays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vitlab.data.decode import Pixels, decode_square
from vitlab.data.encoded import Rows
from vitlab.data.layout import Layout

Bad = dict[str, dict[int, str]]  # by split: index of an image that cannot be read, and why
Triple = tuple[float, float, float]

CHUNK = 512
CHUNK_BYTES = 64 * 2**20  # encoded bytes in memory at a time
MEASURED_PIXELS = 2**19  # of three channels in float64: 12 MB, several times
THREADED_BYTES = 8192  # an encoded image larger than this decodes faster in two threads than in one


def fill(layout: Layout, size: int, images: Pixels | None = None) -> Bad:
    """Decode every image of `layout`, into `images` (N, 3, size, size) if given; returns those that cannot be read."""
    start, bad = 0, Bad()
    for split, rows in layout.source.rows.items():
        bad[split] = {}
        for index, result in _decoded(rows, size):
            if isinstance(result, str):
                bad[split][index] = result
            elif images is not None:
                images[start + index] = result
        start += len(rows.labels)
    return bad


def measure(read: Callable[[np.ndarray], Pixels], indices: np.ndarray, size: int) -> tuple[Triple, Triple]:
    """Mean and deviation per channel of the pixels in [0, 1] of at most 10,000 images, evenly spread among `indices`.

    `read` gives images of `size` pixels by their indices, (b, 3, size, size); half a million pixels are asked for
    at a time, since the sums are done in float64.
    """
    total, squares, count = np.zeros(3), np.zeros(3), 0
    chunk = max(1, min(CHUNK, MEASURED_PIXELS // size**2))
    for start in range(0, len(some := indices[:: -(-len(indices) // 10_000)]), chunk):
        pixels = read(some[start : start + chunk]).astype(np.float64) / 255  # (b, 3, H, W)
        total += pixels.sum(axis=(0, 2, 3))
        squares += (pixels**2).sum(axis=(0, 2, 3))
        count += pixels[:, 0].size
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return tuple(np.round(mean, 4).tolist()), tuple(np.round(np.maximum(std, 1e-3), 4).tolist())


def _decoded(rows: Rows, size: int) -> Iterator[tuple[int, Pixels | str]]:
    """Each image, or why it cannot be read; threads pay for large ones, whose decoding releases the lock."""
    large = rows.nbytes() / max(1, len(rows.labels)) > THREADED_BYTES
    with ThreadPoolExecutor(os.cpu_count() if large else 1) as pool:
        for start, chunk in _chunks(rows.iterate()):
            sizes = [size] * len(chunk)
            yield from enumerate(pool.map(_attempt, chunk, sizes) if large else map(_attempt, chunk, sizes), start)


def _chunks(images: Iterator[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Some images at a time, with the number of the first; few where they are large."""
    start, chunk, held = 0, [], 0
    for data in images:
        chunk.append(data)
        held += len(data)
        if len(chunk) == CHUNK or held > CHUNK_BYTES:
            yield start, chunk
            start, chunk, held = start + len(chunk), [], 0
    if chunk:
        yield start, chunk


def _attempt(data: bytes, size: int) -> Pixels | str:
    try:
        return decode_square(data, size)
    except ValueError as error:
        return str(error)
