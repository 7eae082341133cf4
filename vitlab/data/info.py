"""What was understood of a data set, before an image is decoded. A dry run needs this, and no torch and no network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vitlab.data.cache import known_bad, unreadable, without
from vitlab.data.cards import Card
from vitlab.data.filling import Bad
from vitlab.data.layout import Layout, Native, by_stamp, default_size, fingerprint, resolve, title
from vitlab.data.leaks import Leaks, leaks
from vitlab.data.memo import recall
from vitlab.data.sources import find_source
from vitlab.data.walk import LeftOut, counted, few

CHEAP_BYTES = 256 * 2**20  # more than this is not hashed for a dry run


@dataclass(frozen=True)
class SplitInfo:
    """A split: its `size`, where it comes from in words, and images by class (empty where that takes a download)."""

    name: str
    size: int
    origin: str
    classes: Mapping[str, int]


@dataclass(frozen=True)
class DataInfo:
    """`sizes` by split, after the carving and without the images of `unread`; `image_size` in pixels, the default;
    `card` of the set or of its original.

    `fingerprint` is the identity of the images and their splits, None before a download; that of files which are too
    large to be hashed in a second changes with them (`layout.by_stamp`). `title` says how the data differs from what
    the card describes. `native` is what the headers of a few images say, None before a download; `left_out` what a
    folder holds beside the images that are used; `unread` the images, with the reason, that could not be read when they
    were loaded before. `leaks` is what test has in common with training, of a person's own images.
    """

    name: str
    title: str
    num_classes: int
    sizes: Mapping[str, int]
    image_size: int
    card: Card | None
    fingerprint: str | None
    splits: tuple[SplitInfo, ...] = ()
    native: Native | None = None
    left_out: LeftOut = LeftOut()
    unread: Mapping[str, str] = field(default_factory=dict)
    leaks: Leaks = field(default_factory=Leaks)

    @property
    def classes(self) -> dict[str, int]:
        """Images by class in all splits together, in the order of the classes; empty before a download."""
        names = dict.fromkeys(name for split in self.splits for name in split.classes)
        return {name: sum(split.classes.get(name, 0) for split in self.splits) for name in names}

    def only(self, classes: Collection[int]) -> DataInfo:
        """What is known of some of the classes, by their numbers, alone; of all where none is given."""
        if not classes:
            return self
        splits = tuple(_of_classes(split, classes, len(classes) / self.num_classes) for split in self.splits)
        sizes = {split.name: split.size for split in splits}
        kept = {name for split in splits for name in split.classes}
        copies = {name: count for name, count in self.leaks.copies.items() if name in kept}
        found = replace(self.leaks, copies=copies)
        return replace(self, num_classes=len(classes), splits=splits, sizes=sizes, leaks=found)

    @property
    def chance(self) -> float:
        """The accuracy of guessing: one over the number of classes."""
        return 1 / self.num_classes

    @property
    def majority(self) -> tuple[str, float] | None:
        """The commonest class of the train split and the accuracy, in test, of always saying it; None if unknown."""
        by_name = {split.name: split.classes for split in self.splits}
        if not by_name.get("train") or not by_name.get("test"):
            return None
        common = max(by_name["train"], key=lambda name: by_name["train"][name])
        return common, by_name["test"].get(common, 0) / max(1, self.sizes["test"])


def _of_classes(split: SplitInfo, classes: Collection[int], share: float) -> SplitInfo:
    kept = {name: count for number, (name, count) in enumerate(split.classes.items()) if number in classes}
    return replace(split, classes=kept, size=sum(kept.values()) if kept else round(share * split.size))


def describe(source: str, cache: Path | None = None) -> DataInfo:
    """Describe the data set that `source` names (see `find_source`): no image is decoded, nothing is written or
    downloaded, and torch is not imported.

    With `cache`, the fingerprint of data that has been loaded before is looked up there. Raises ValueError for bad
    sources.
    """
    found = find_source(source)
    if isinstance(found, Card):
        return _not_fetched(found, recall(cache, found.hub or found.name))
    layout = resolve(found)
    common = Leaks() if found.card or _large(layout) else leaks(layout)
    known = _cheap(layout, cache)
    bad = known_bad(layout, known, cache) if cache and known else {}
    splits = tuple(_split(layout, name, bad) for name in layout.splits)
    return DataInfo(
        name=found.name,
        title=title(layout),
        num_classes=len(found.classes),
        sizes={split.name: split.size for split in splits},
        image_size=default_size(layout),
        card=found.card,
        fingerprint=known or by_stamp(layout),
        splits=splits,
        native=layout.native,
        left_out=found.left_out,
        unread={where: why for where, why in unreadable(layout, bad).items() if where not in found.left_out.broken},
        leaks=common,
    )


def lines(info: DataInfo) -> list[str]:
    """What was understood, in a few plain lines for a person."""
    return [
        f"{info.title}: {sum(info.sizes.values()):,} images of {info.num_classes:,} classes{_class_sizes(info)}.",
        *(f"  {split.name}: {split.size:,} images ({split.origin})" for split in info.splits),
        *_pixels(info),
        *_floors(info),
        *_left_out(info),
    ]


def _not_fetched(card: Card, known: str | None) -> DataInfo:
    splits = tuple(SplitInfo(name, size, "as its card says, not fetched yet", {}) for name, size in card.sizes.items())
    return DataInfo(card.name, card.title, card.num_classes, card.sizes, card.image_size, card, known, splits)


def _split(layout: Layout, name: str, bad: Bad) -> SplitInfo:
    classes, raw = layout.source.classes, layout.splits[name][0]
    labels = layout.source.rows[raw].labels[without(layout, bad, name)]
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    return SplitInfo(name, len(labels), layout.origins[name], dict(zip(classes, counts, strict=True)))


def _cheap(layout: Layout, cache: Path | None) -> str | None:
    known = cache and recall(cache, layout.stamp())
    return fingerprint(layout, cache, keep=False) if known or not _large(layout) else None


def _large(layout: Layout) -> bool:
    return sum(rows.nbytes() for rows in layout.source.rows.values()) > CHEAP_BYTES


def _class_sizes(info: DataInfo) -> str:
    ordered = sorted(info.classes.items(), key=lambda item: -item[1])
    if not ordered:
        return ""
    if len(ordered) <= 12:
        return ": " + ", ".join(f"{name} {count:,}" for name, count in ordered)
    (most, largest), (least, smallest) = ordered[0], ordered[-1]
    if smallest == largest:
        return f", {smallest:,} images each"
    return f", from {smallest:,} ({least}) to {largest:,} ({most}) images each"


def _pixels(info: DataInfo) -> list[str]:
    if info.native is None:
        return [f"  Images of {info.image_size} px by default."]
    low, median, high = info.native.low, info.native.median, info.native.high
    spread = f", {low:,} to {high:,} px among those looked at" if low != high else ""
    return [f"  Shorter side {median:,} px{spread}; {info.image_size} px by default."]


def _floors(info: DataInfo) -> list[str]:
    if info.majority is None:
        return [f"  Chance is {info.chance:.1%}."]
    name, accuracy = info.majority
    return [f"  Chance is {info.chance:.1%}; always saying {name!r} is right for {accuracy:.1%} of the test split."]


def _left_out(info: DataInfo) -> list[str]:
    ignored, unused, repeated = info.left_out.ignored, info.left_out.unused, info.left_out.repeated
    told = [f"{counted(sum(ignored.values()), 'file')} of other kinds ({_by_suffix(ignored)})"] if ignored else []
    told += [f"{counted(count, 'image')} {where}" for where, count in unused.items()]
    for what, some in (("cannot be opened", info.left_out.broken), ("could not be read", info.unread)):
        told += [f"{counted(len(some), 'image')} that {what} ({few(_reasons(some), 2)})"] if some else []
    told += [f"{counted(len(repeated), 'link')} to what is there already ({few(repeated, 2)})"] if repeated else []
    return [f"  Not used: {'; '.join(told)}."] if told else []


def _reasons(images: Mapping[str, str]) -> list[str]:
    return [f"{path}: {why}" for path, why in images.items()]


def _by_suffix(ignored: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in list(ignored.items())[:8])
