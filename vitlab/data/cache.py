"""Every image of a data set decoded once, into one file of bytes that processes share through memory mapping."""

from __future__ import annotations

import glob
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitlab.data import checked
from vitlab.data.decode import Pixels, reader
from vitlab.data.filling import Bad, fill, measure
from vitlab.data.layout import Layout
from vitlab.data.splits import Indices
from vitlab.lease import Lease

log = logging.getLogger("vitlab.data")

SPARE = 64 * 2**20  # bytes to leave free on the disk
NOTES = ".sums.json"
NAMED = 10  # images that a message names before it only counts


@dataclass(frozen=True, eq=False)
class Decoded:
    """`images` (N, 3, S, S) uint8, mapped into memory, all splits in a row; `bad` by split: index and why."""

    images: Pixels
    bad: Bad
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def decoded_images(layout: Layout, identity: str, size: int, cache: Path, skip_bad_images: bool) -> Decoded:
    """Decode the images of `layout`, whose fingerprint is `identity`, or map the file of an earlier time.

    Safe for several processes at once: the first decodes, the others wait; the file appears whole or not at all. One
    that is damaged is put aside and made again; one that lacks images which another Pillow could not read is made
    again. Raises ValueError that names the images that cannot be read, unless `skip_bad_images`, ValueError for a disk
    that is too small, and OSError for one that turns out to be full.
    """
    file = _file(layout, identity, size, cache)
    with _lease(file).held(lambda: False):
        decoded = _opened(layout, size, file) or _made(layout, size, file, skip_bad_images)
    if not skip_bad_images:
        refuse(unreadable(layout, decoded.bad), in_all(layout))
    return decoded


def bad_images(layout: Layout, identity: str, size: int, cache: Path) -> Bad:
    """The images that `decoded_images` leaves out, of data that no memory holds.

    All of it is decoded once, in passing, and what cannot be read is noted in `cache`.
    """
    file = _file(layout, identity, size, cache)
    with _lease(file).held(lambda: False):
        try:
            facts = checked.read_notes(file.with_suffix(NOTES))
        except checked.Damaged:  # or there are none yet
            facts = {}
        if not facts or _outdated(facts):
            facts = {"bad": fill(layout, size), "reader": reader()}
            checked.write_notes(file.with_suffix(NOTES), facts)
            _warn(layout, facts["bad"])
    return _bad(facts)


def readable(layout: Layout, bad: Bad, split: str) -> Indices:
    """The indices of a split among the rows that it is part of, without those of `bad`; ValueError if none is left."""
    kept = without(layout, bad, split)
    if not len(kept):
        every, listed = len(layout.splits[split][1]), _listed(unreadable(layout, bad))
        raise ValueError(f"The images of the {split} split, {every:,}, cannot be read:{listed}\nRepair some.")
    return kept


def without(layout: Layout, bad: Bad, split: str) -> Indices:
    """The indices of a split among the rows that it is part of, without those of `bad`, which may leave none."""
    raw, indices = layout.splits[split]
    return indices[~np.isin(indices, list(bad.get(raw, ())))]


def cache_name(name: str, identity: str) -> str:
    """What the names of the cache files of the data set `name` begin with."""
    return f"{name}-{identity[:12]}-"


def decoded_bytes(layout: Layout, size: int) -> int:
    """Size in bytes of all images of `layout` at `size` pixels."""
    return count(layout) * 3 * size * size


def count(layout: Layout) -> int:
    """How many images `layout` has in all."""
    return sum(len(rows.labels) for rows in layout.source.rows.values())


def in_all(layout: Layout) -> int:
    """How many images `layout` has with those that cannot be opened, as `unreadable` counts them."""
    return count(layout) + len(layout.source.left_out.broken)


def unreadable(layout: Layout, bad: Bad) -> dict[str, str]:
    """Every image that cannot be read, by the name that a person knows it by, and why."""
    rows = layout.source.rows
    return dict(layout.source.left_out.broken) | {
        rows[split].where(index): why for split, some in bad.items() for index, why in some.items()
    }


def known_bad(layout: Layout, identity: str, cache: Path) -> Bad:
    """The images that could not be read when the data was decoded into `cache`; none where that is not known."""
    for notes in cache.glob(f"{glob.escape(cache_name(layout.source.name, identity))}*{NOTES}"):
        try:
            facts = checked.read_notes(notes)
        except checked.Damaged:
            continue
        if not _outdated(facts):
            return _bad(facts)
    return {}


def refuse(unread: Mapping[str, str], total: int) -> None:
    """Raise ValueError that names the images that cannot be read, all or the first ten of them, if there are any."""
    if not unread:
        return
    remedy = "Repair or remove {}, or leave such images out with --skip_bad_images."
    if len(unread) == 1:
        where, why = next(iter(unread.items()))
        raise ValueError(f"The image {where} cannot be read: {why}. {remedy.format('it')}")
    raise ValueError(f"{len(unread):,} of {total:,} images cannot be read:{_listed(unread)}\n{remedy.format('them')}")


def make_cache(cache: Path) -> None:
    """Make the folder `cache` if there is none. Raises ValueError where that, or writing into it, is not allowed."""
    remedy = "Give another one: a study's is in --runs."
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The cache folder {cache} cannot be made: {error}. {remedy}") from error
    if not os.access(cache, os.W_OK):
        raise ValueError(f"The cache folder {cache} cannot be written to. {remedy}")


def _listed(unread: Mapping[str, str]) -> str:
    some = "".join(f"\n  {where}: {why}" for where, why in list(unread.items())[:NAMED])
    return some + (f"\n  and {len(unread) - NAMED:,} more" if len(unread) > NAMED else "")


def _opened(layout: Layout, size: int, file: Path) -> Decoded | None:
    """The file of an earlier time; None if there is none, if it is outdated, or after putting a damaged one aside."""
    notes = file.with_suffix(NOTES)
    if not (file.is_file() and notes.is_file()):
        return None
    try:
        facts = checked.read_notes(notes)
        if _outdated(facts):
            log.info("%s lacks images that this %s may be able to read; it is made again.", file, reader())
            return None
        images = checked.open_array(file, (count(layout), 3, size, size), facts)
        return Decoded(images, _bad(facts), tuple(facts["mean"]), tuple(facts["std"]))
    except checked.Damaged as damage:
        log.warning("%s is damaged (%s); it is put aside and made again.", damage.file, damage)
        for one in (file, notes):
            os.replace(one, f"{one}.damaged")
        return None


def _outdated(facts: Mapping[str, Any]) -> bool:
    """Whether there are images that another build of Pillow could not read."""
    return any(facts["bad"].values()) and facts.get("reader") != reader()


def _bad(facts: Mapping[str, Any]) -> Bad:
    return {split: {int(index): str(why) for index, why in some.items()} for split, some in facts["bad"].items()}


def _made(layout: Layout, size: int, file: Path, skip_bad_images: bool) -> Decoded:
    """Decode all images into `file`."""
    every = count(layout)
    _sweep(file.parent, file)
    _check_disk(file.parent, decoded_bytes(layout, size))
    log.info("Decoding %s images of %s at %d px into %s", f"{every:,}", layout.source.name, size, file)
    partial = file.with_suffix(".partial")
    try:
        images = checked.allocate(partial, (every, 3, size, size))
        bad = fill(layout, size, images)
        if not skip_bad_images:
            refuse(unreadable(layout, bad), in_all(layout))
        mean, std = measure(images.__getitem__, readable(layout, bad, "train"), size)
        images.flush()
        _publish(partial, file, images, {"bad": bad, "mean": mean, "std": std, "reader": reader()})
    except OSError as error:
        raise OSError(error.errno, f"The image cache {file} cannot be written: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    _warn(layout, bad)
    # copy-on-write: the pages are shared by all processes, and torch gets an array that it may take for writable
    return Decoded(np.load(file, mmap_mode="c"), bad, mean, std)


def _warn(layout: Layout, bad: Bad) -> None:
    if unread := unreadable(layout, bad):
        log.warning("Left out %d of %d images, which cannot be read:%s", len(unread), in_all(layout), _listed(unread))


def _publish(partial: Path, file: Path, images: Pixels, facts: Mapping[str, Any]) -> None:
    checked.write_notes(file.with_suffix(NOTES), {**facts, "blocks": checked.block_sums(images)})
    partial.replace(file)


def _file(layout: Layout, identity: str, size: int, cache: Path) -> Path:
    return cache / f"{cache_name(layout.source.name, identity)}{size}px.npy"


def _lease(file: Path) -> Lease:
    return Lease(file.with_name(f"{file.name}.lease"))


def _sweep(folder: Path, file: Path) -> None:
    """Remove the half-written files of processes that were killed: those whose lease can be had."""
    for partial in folder.glob("*.partial"):
        if partial.with_suffix(".npy") == file:
            continue
        with _lease(partial.with_suffix(".npy")).held(lambda: True) as taken:
            if taken:  # else a living process decodes into it
                partial.unlink(missing_ok=True)


def _check_disk(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < need + SPARE:
        raise ValueError(
            f"No disk space for the decoded images: {need / 2**20:,.0f} MiB are needed in {folder}, with "
            f"{SPARE / 2**20:,.0f} MiB to spare, and {free / 2**20:,.0f} MiB are free. Free some, choose a smaller "
            "--image_size, or give another cache folder: a study's is in --runs."
        )
