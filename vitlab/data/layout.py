"""A data set with its splits resolved, and its identity, before an image is decoded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vitlab.data.decode import short_side
from vitlab.data.encoded import content_fingerprint
from vitlab.data.memo import recall, remember
from vitlab.data.sources import Source
from vitlab.data.splits import Indices, stratified_split

CARVING_SEED = 2010  # fixed, so that carved splits are the same for everybody, whatever the seed of a run
TEST_FRACTION, VALIDATION_FRACTION = 0.2, 0.1  # where no card says otherwise
STAMP = "stamp "  # before an identity that is not of the images but of their files
PEEKED = 32  # headers that are read to learn sizes and formats


@dataclass(frozen=True)
class Native:
    """Of a few images as they are: shorter sides in pixels (smallest, median, largest), and the commonest format."""

    low: int
    median: int
    high: int
    format: str


@dataclass(frozen=True, eq=False)
class Layout:
    """A source with its splits resolved: by split, the rows that it is part of and the indices among them.

    `rule` is how splits were carved, part of the identity; `origins` says in words where each split comes from.
    """

    source: Source
    splits: Mapping[str, tuple[str, Indices]]
    rule: str
    origins: Mapping[str, str]

    @cached_property
    def content(self) -> str:
        """Hash of all images and labels."""
        return self.hashed[0] if "hashed" in vars(self) else content_fingerprint(dict(self.source.rows))

    @cached_property
    def hashed(self) -> tuple[str, Mapping[str, list[bytes]]]:
        """`content`, and the hash of each image among the rows; read once for both."""
        each: dict[str, list[bytes]] = {}
        return content_fingerprint(dict(self.source.rows), each), each

    @cached_property
    def native(self) -> Native:
        """What the headers of a few images say; 64 px where none can be read."""
        found = [side for image in self.source.rows["train"].peek(PEEKED) if (side := _try_short_side(image))]
        sides, formats = zip(*found, strict=True) if found else ((64,), ("",))
        return Native(min(sides), int(np.median(sides)), max(sides), max(set(formats), key=formats.count))

    def labels(self, split: str) -> Indices:
        """The classes' numbers of a split (N,)."""
        raw, indices = self.splits[split]
        return self.source.rows[raw].labels[indices]

    def stamp(self) -> str:
        """Changes whenever the files change; of no meaning on another machine."""
        return "|".join(f"{name} {rows.stamp()}" for name, rows in self.source.rows.items())


def resolve(source: Source) -> Layout:
    """Carve out the splits that are missing: test from everything, then validation from what is left, stratified.

    Raises ValueError for classes that are too small for it.
    """
    labels, card = source.rows["train"].labels, source.card
    train = np.arange(len(labels))
    splits = {name: (name, np.arange(len(rows.labels))) for name, rows in source.rows.items()}
    rule, origins = [], {name: source.origins.get(name, f"{name}, as provided") for name in source.rows}
    fractions = {
        "test": card.test_fraction if card else TEST_FRACTION,
        "validation": card.validation_fraction if card else VALIDATION_FRACTION,
    }
    for name, fraction in fractions.items():
        if name not in source.rows:
            kept, held = stratified_split(labels[train], fraction, CARVING_SEED, what=name, classes=source.classes)
            share = f"{fraction:.0%} of train"
            if len(held) > math.ceil(fraction * len(train)):
                share = f"{len(held) / len(train):.0%} of train, as each class has at least one"
            splits[name], train = ("train", train[held]), train[kept]
            rule.append(f"{name} {fraction} of train, seed {CARVING_SEED}")
            origins[name] = f"carved: {share}, seed {CARVING_SEED}"
    splits["train"] = ("train", train)
    return Layout(source, {name: splits[name] for name in ("train", "validation", "test")}, "; ".join(rule), origins)


def fingerprint(layout: Layout, cache: Path | None = None, *, keep: bool = True) -> str:
    """16 hexadecimal digits for what the numbers depend on: the images, the rule of the splits, the normalisation.

    The hash of large files is kept in `cache` (unless `keep` is False), for as long as they do not change.
    """
    stamp = layout.stamp() if cache else ""
    content = recall(cache, stamp)
    if content is None:
        content = layout.content
        remember(cache if keep else None, stamp, content)
    card = layout.source.card
    text = f"{content}|{layout.rule}|{(card.mean, card.std) if card and card.mean else 'measured'}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def by_stamp(layout: Layout) -> str:
    """An identity of files that are too large to be hashed for a plan: another one where they change or are moved."""
    return STAMP + hashlib.blake2b(layout.stamp().encode(), digest_size=8).hexdigest()


def default_size(layout: Layout) -> int:
    """The image size in pixels when none is asked for, chosen so that it is cheap on a CPU unless a card says more.

    A card's size, or that of a local copy where it is smaller; without a card 32 for images whose median shorter side
    is below 48 pixels, else 64.
    """
    card = layout.source.card
    if card:
        return min(card.image_size, max(layout.native.median, 8))
    return 32 if layout.native.median < 48 else 64


def title(layout: Layout) -> str:
    """The card's title, and how a local copy differs from what the card describes; a folder's name without a card."""
    card, rows = layout.source.card, layout.source.rows
    if card is None:
        return layout.source.name
    count, full = sum(len(split.labels) for split in rows.values()), sum(card.sizes.values())
    notes = [layout.native.format] if layout.native.format not in (card.encoding, "", "PPM") else []
    notes += [f"{count:,} of {full:,} images"] if count != full else []
    return f"{card.title} ({', '.join(notes)})" if notes else card.title


def _try_short_side(image: bytes | Path) -> tuple[int, str] | None:
    try:
        return short_side(image)
    except ValueError:
        return None
