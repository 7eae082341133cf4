"""What a data set is, before an image is decoded: splits, sizes, identity. A dry run needs this and no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vitlab.data.cards import Card
from vitlab.data.decode import short_side
from vitlab.data.rows import Rows, content_fingerprint
from vitlab.data.sources import Source, find_source
from vitlab.data.splits import Indices, stratified_split

CARVING_SEED = 2010  # fixed, so that carved splits are the same for everybody, whatever the seed of a run
TEST_FRACTION, VALIDATION_FRACTION = 0.2, 0.1  # where no card says otherwise
CHEAP_BYTES = 256 * 2**20  # more than this is not hashed for a dry run


@dataclass(frozen=True)
class DataInfo:
    """`sizes` by split, after the carving; `image_size` in pixels, the default; `card` of the set or of its original.

    `fingerprint` is the identity of the images and their splits; None where finding it out would cost a download or
    more than a second. `title` says how the data differs from what the card describes.
    """

    name: str
    title: str
    num_classes: int
    sizes: Mapping[str, int]
    image_size: int
    card: Card | None
    fingerprint: str | None


@dataclass(frozen=True, eq=False)
class Layout:
    """A source with its splits resolved: by split, the rows that it is part of and the indices among them."""

    source: Source
    splits: Mapping[str, tuple[str, Indices]]
    rule: str

    @cached_property
    def content(self) -> str:
        """Hash of all images and labels."""
        return content_fingerprint(dict(self.source.rows))

    @cached_property
    def native(self) -> tuple[int, str]:
        """Median shorter side in pixels and the commonest file format of a few images."""
        found = [side for data in self.source.rows["train"].peek(32) if (side := _try_short_side(data))]
        sides, formats = zip(*found, strict=True) if found else ((64,), ("",))
        return int(np.median(sides)), max(set(formats), key=formats.count)


def describe(source: str, cache: Path | None = None) -> DataInfo:
    """Describe the data set that `source` names (see `find_source`) without decoding, downloading or importing torch.

    With `cache`, the fingerprint of data that has been loaded before is looked up there. Raises ValueError for bad
    sources.
    """
    found = find_source(source)
    if isinstance(found, Card):
        known = recall(cache, found.hub or found.name)
        return DataInfo(found.name, found.title, found.num_classes, found.sizes, found.image_size, found, known)
    layout = resolve(found)
    sizes = {name: len(indices) for name, (_, indices) in layout.splits.items()}
    return DataInfo(
        found.name, title(layout), len(found.classes), sizes, default_size(layout), found.card, _cheap(layout, cache)
    )


def resolve(source: Source) -> Layout:
    """Carve out the splits that are missing: test from everything, then validation from what is left, stratified.

    Raises ValueError for classes that are too small for it.
    """
    labels, card = source.rows["train"].labels, source.card
    train = np.arange(len(labels))
    splits = {name: (name, np.arange(len(rows.labels))) for name, rows in source.rows.items()}
    rule = []
    fractions = {
        "test": card.test_fraction if card else TEST_FRACTION,
        "validation": card.validation_fraction if card else VALIDATION_FRACTION,
    }
    for name, fraction in fractions.items():
        if name not in source.rows:
            kept, held = stratified_split(labels[train], fraction, CARVING_SEED, what=name, classes=source.classes)
            splits[name], train = ("train", train[held]), train[kept]
            rule.append(f"{name} {fraction} of train, seed {CARVING_SEED}")
    splits["train"] = ("train", train)
    return Layout(source, {name: splits[name] for name in ("train", "validation", "test")}, "; ".join(rule))


def fingerprint(layout: Layout, cache: Path | None = None) -> str:
    """16 hexadecimal digits for what the numbers depend on: the images, the rule of the splits, the normalisation.

    The hash of large files is kept in `cache`, for as long as they do not change.
    """
    stamp = _stamp(layout)
    content = recall(cache, stamp)
    if content is None:
        content = layout.content
        remember(cache, stamp, content)
    card = layout.source.card
    text = f"{content}|{layout.rule}|{(card.mean, card.std) if card and card.mean else 'measured'}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def recall(cache: Path | None, key: str) -> str | None:
    """What `remember` wrote for `key`, or None."""
    file = _memo(cache, key) if cache else None
    return file.read_text(encoding="utf-8") if file and file.is_file() else None


def remember(cache: Path | None, key: str, value: str) -> None:
    """Keep `value` in the folder `cache` under `key`."""
    if cache:
        file = _memo(cache, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}")
        partial.write_text(value, encoding="utf-8")
        partial.replace(file)


def default_size(layout: Layout) -> int:
    """The image size in pixels when none is asked for, chosen so that it is cheap on a CPU unless a card says more.

    A card's size, or that of a local copy where it is smaller; without a card 32 for images whose median shorter side
    is below 48 pixels, else 64.
    """
    card = layout.source.card
    if card:
        return min(card.image_size, max(layout.native[0], 8))
    return 32 if layout.native[0] < 48 else 64


def title(layout: Layout) -> str:
    """The card's title, and how a local copy differs from what the card describes; a folder's name without a card."""
    card, rows = layout.source.card, layout.source.rows
    if card is None:
        return layout.source.name
    count, full = sum(len(split.labels) for split in rows.values()), sum(card.sizes.values())
    notes = [layout.native[1]] if layout.native[1] not in (card.encoding, "", "PPM") else []
    notes += [f"{count:,} of {full:,} images"] if count != full else []
    return f"{card.title} ({', '.join(notes)})" if notes else card.title


def _cheap(layout: Layout, cache: Path | None) -> str | None:
    rows: list[Rows] = list(layout.source.rows.values())
    if recall(cache, _stamp(layout)) or sum(split.nbytes() for split in rows) <= CHEAP_BYTES:
        return fingerprint(layout, cache)
    return None


def _stamp(layout: Layout) -> str:
    return "|".join(f"{name} {rows.stamp()}" for name, rows in layout.source.rows.items())


def _memo(cache: Path, key: str) -> Path:
    return cache / "fingerprints" / hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def _try_short_side(data: bytes) -> tuple[int, str] | None:
    try:
        return short_side(data)
    except ValueError:
        return None
