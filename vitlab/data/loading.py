"""Load a data set: decoded into memory where it fits, else decoded on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vitlab.data.cache import (
    Decoded,
    bad_images,
    decoded_bytes,
    decoded_images,
    in_all,
    make_cache,
    readable,
    refuse,
    unreadable,
)
from vitlab.data.cards import Card
from vitlab.data.decode import decode_square
from vitlab.data.encoded import ReadableRows, Rows
from vitlab.data.filling import Bad, Triple, measure
from vitlab.data.layout import Layout, default_size, fingerprint, resolve, title
from vitlab.data.memo import recall, remember
from vitlab.data.memory import memory_allowed
from vitlab.data.sources import find_source


class Split(Protocol):
    """Images with labels."""

    @property
    def labels(self) -> Tensor:
        """The classes' numbers (N,) int64, on the CPU."""
        ...

    @property
    def streaming(self) -> bool:
        """Whether images are decoded when asked for, and so should be asked for by a DataLoader's workers."""
        ...

    def __len__(self) -> int: ...

    def images(self, indices: Tensor) -> Tensor:
        """The images at `indices` (B,) as uint8 (B, 3, H, W)."""
        ...


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """A split in memory, or mapped into it: rows of `store` (M, 3, H, W) uint8."""

    store: Tensor
    rows: Tensor  # (N,)
    labels: Tensor  # (N,)
    streaming: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, indices: Tensor) -> Tensor:
        return self.store.index_select(0, self.rows[indices].to(self.store.device))

    def to(self, device: torch.device, indices: Tensor | None = None) -> ArraySplit:
        """The images at `indices` (all of them by default), copied to `device`."""
        chosen = torch.arange(len(self)) if indices is None else indices
        return ArraySplit(self.images(chosen).to(device), torch.arange(len(chosen)), self.labels[chosen])


@dataclass(frozen=True, eq=False)
class StreamingSplit:
    """A split too large for memory, decoded when asked for; use it through the workers of a DataLoader."""

    source: ReadableRows
    rows: Tensor  # (N,)
    labels: Tensor  # (N,)
    image_size: int
    streaming: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, indices: Tensor) -> Tensor:
        return torch.from_numpy(self.decoded(self.rows[indices].numpy()))

    def decoded(self, rows: np.ndarray) -> np.ndarray:
        """The images of these rows of the source (B,), as uint8 (B, 3, H, W)."""
        found = np.empty((len(rows), 3, self.image_size, self.image_size), dtype=np.uint8)
        for place, row in enumerate(rows.tolist()):
            found[place] = self._image(row)
        return found

    def _image(self, row: int) -> np.ndarray:
        try:
            return decode_square(self.source.read(row), self.image_size)
        except ValueError as error:
            raise ValueError(
                f"The image {self.source.where(row)} cannot be read: {error}. Repair or remove it, or leave such "
                "images out with --skip_bad_images."
            ) from error


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set ready to train on. `mean` and `std` are those of pixels in [0, 1], per channel.

    `fingerprint` is the identity of images, splits and normalisation, wherever they were read from;
    `unread` names the images that were left out since they cannot be read, and says why; `skipped` counts them.
    `order`: where a shuffle takes each pixel from (H W,), see `vitlab.data.shuffle`; splits hold the images as they
    were. `test_name` says how to name the test image at an index to a person.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str
    card: Card | None
    train: Split
    validation: Split
    test: Split
    unread: Mapping[str, str] = field(default_factory=dict)
    order: Tensor | None = None
    test_name: Callable[[int], str] = str

    @property
    def skipped(self) -> int:
        return len(self.unread)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def group(self) -> str | None:
        """The VTAB group of the card: natural, specialized or structured."""
        return self.card.group if self.card else None


def load_data(
    source: str,
    *,
    image_size: int | None = None,
    cache: Path,
    skip_bad_images: bool = False,
    memory_fraction: float = 0.5,
) -> ImageData:
    """Load the data set that `source` names (see `find_source`) at `image_size` pixels, its own size by default.

    The decoded images are kept in the folder `cache`. Data that would take more than `memory_fraction` of the memory
    that this process may use is decoded on demand instead, which gives the same batches. Raises ValueError for bad
    sources, sizes and images and a disk that is too small, OSError for a disk that fills up.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"Image size {image_size} is no size; give a number of pixels from 1 on.")
    make_cache(cache)
    found = find_source(source, cache / "downloads")
    assert not isinstance(found, Card)
    layout = resolve(found)
    identity = fingerprint(layout, cache)
    if found.card and found.card.name == source and found.card.hub:
        remember(cache, found.card.hub, identity)
    size = image_size or default_size(layout)
    facts = dict(name=found.name, title=title(layout), classes=found.classes, image_size=size, fingerprint=identity)
    if decoded_bytes(layout, size) > memory_fraction * memory_allowed():
        return _streaming(layout, cache, skip_bad_images, facts)
    return _in_memory(layout, decoded_images(layout, identity, size, cache, skip_bad_images), facts)


def _in_memory(layout: Layout, decoded: Decoded, facts: dict[str, Any]) -> ImageData:
    store = torch.from_numpy(decoded.images)
    starts, start = {}, 0
    for name, rows in layout.source.rows.items():
        starts[name], start = start, start + len(rows.labels)
    splits: dict[str, Any] = {}
    for name, (raw, _) in layout.splits.items():
        kept = readable(layout, decoded.bad, name)
        labels = torch.from_numpy(layout.source.rows[raw].labels[kept])
        splits[name] = ArraySplit(store, torch.from_numpy(kept + starts[raw]), labels)
    mean, std = _carded(layout) or (decoded.mean, decoded.std)
    raw, test = layout.splits["test"][0], splits["test"]
    facts["test_name"] = partial(_name, layout.source.rows[raw], test.rows - starts[raw])
    unread = unreadable(layout, decoded.bad)
    return ImageData(**facts, mean=mean, std=std, card=layout.source.card, unread=unread, **splits)


def _name(rows: Rows, indices: Tensor, i: int) -> str:
    return rows.where(int(indices[i]))


def _streaming(layout: Layout, cache: Path, skip_bad_images: bool, facts: dict[str, Any]) -> ImageData:
    bad: Bad = bad_images(layout, facts["fingerprint"], facts["image_size"], cache) if skip_bad_images else {}
    unread = unreadable(layout, bad)
    if not skip_bad_images:
        refuse(unread, in_all(layout))
    sources = {name: rows.readable(cache / "downloads") for name, rows in layout.source.rows.items()}
    splits: dict[str, Any] = {}
    for name, (raw, _) in layout.splits.items():
        kept = readable(layout, bad, name)
        labels = torch.from_numpy(layout.source.rows[raw].labels[kept])
        splits[name] = StreamingSplit(sources[raw], torch.from_numpy(kept), labels, facts["image_size"])
    mean, std = _carded(layout) or _measured(splits["train"], cache, facts["fingerprint"])
    facts["test_name"] = partial(_name, splits["test"].source, splits["test"].rows)
    return ImageData(**facts, mean=mean, std=std, card=layout.source.card, unread=unread, **splits)


def _carded(layout: Layout) -> tuple[Triple, Triple] | None:
    """The mean and deviation that the card gives, if it does."""
    card = layout.source.card
    return (card.mean, card.std) if card and card.mean and card.std else None


def _measured(split: StreamingSplit, cache: Path, identity: str) -> tuple[Triple, Triple]:
    """What is measured of images in memory: ten thousand of them are decoded, once for all runs that share `cache`."""
    key = f"mean and deviation of {len(split)} images of {identity} at {split.image_size} px"
    known = recall(cache, key)
    if known is None:
        known = json.dumps(measure(split.decoded, split.rows.numpy(), split.image_size))
        remember(cache, key, known)
    mean, std = (tuple(some) for some in json.loads(known))
    return mean, std
