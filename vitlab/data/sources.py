"""Find a data set by a card's name or a path, without decoding an image: its splits, classes and labels."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vitlab.data.cards import Card, card_fits, cards, get_card, matching_card
from vitlab.data.encoded import MemoryRows, Rows
from vitlab.data.folders import class_folders
from vitlab.data.walk import LeftOut, files_with, shown
from vitlab.data.words import parted
from vitlab.errors import suggest

BUNDLED = "digits"  # the card whose images scikit-learn brings along: no folder is a copy of them


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as found: `rows` by split (train, and validation and test where it has them).

    `left_out`: what a folder holds beside these; `origins`: where each split comes from, in words.
    """

    name: str
    card: Card | None
    classes: tuple[str, ...]
    rows: Mapping[str, Rows]
    left_out: LeftOut = LeftOut()
    origins: Mapping[str, str] = field(default_factory=dict)


def find_source(source: str, downloads: Path | None = None) -> Source | Card:
    """Open the data set that `source` names: a card, a folder of class folders, or a folder of parquet files.

    A card wins over a folder of the same name in the current folder; write `./name` for the folder. A card that must
    be fetched from the hub is returned as it is when `downloads` is None. Raises ValueError that says what was looked
    for, what is allowed, and what is wrong with the folder.
    """
    if source in cards():
        card = get_card(source)
        if card.name == BUNDLED:
            return _digits(card)
        if card.hub is None:
            raise ValueError(f"{card.title} is not on the hub. Give the path of a local copy instead of {source!r}.")
        return card if downloads is None else _from_hub(card, downloads)
    return _from_folder(_existing(source))


def _existing(source: str) -> Path:
    try:
        path = Path(source).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, no such user, a zero byte
        raise ValueError(f"{shown(source[:80])} is no path: {error}.") from None
    if not exists:
        if "/" in source and (card := _card_of(path)):
            hub = (
                f", or give --data {card.name} for the hub's images: the same study with other pixels"
                if card.hub
                else ""
            )
            raise ValueError(
                f"There is no folder {source!r}, by its name a local copy of {card.name}. Put one there (data/README.md"
                f" lists the copies behind results/){hub}."
            )
        raise ValueError(
            f"There is no data card and no folder {source!r}.{suggest(source, cards())} "
            f"Give one of {', '.join(cards())}, or the path of a folder of class folders or of parquet files."
        )
    if not path.is_dir():
        raise ValueError(f"{source} is a file; give the folder that holds the class folders or the parquet files.")
    return path


def _digits(card: Card) -> Source:
    # scikit-learn's own file, read without importing scikit-learn, which takes seconds
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise ValueError("The digits come with scikit-learn, which is not installed: pip install scikit-learn.")
    file = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(file, delimiter=",")  # (1797, 65): 64 grey levels from 0 to 16, and the class
    grey = np.round(table[:, :64] * (255 / 16)).astype(np.uint8)
    images = [b"P5 8 8 255\n" + picture.tobytes() for picture in grey]  # PGM: a header and the pixels
    assert card.classes
    rows = MemoryRows(table[:, 64].astype(np.int64), images, "scikit-learn's digits")
    return Source(card.name, card, card.classes, {"train": rows})


def _from_hub(card: Card, downloads: Path) -> Source:
    from vitlab.data.parquet import hub_rows

    classes, rows = hub_rows(card, downloads)
    return Source(card.name, card, _names(card, classes), rows)


def _card_of(folder: Path) -> Card | None:
    """The card whose set `folder` is a copy of, by its name."""
    card = matching_card(folder.name)
    return card if card and card.name != BUNDLED else None


def _from_folder(path: Path) -> Source:
    """The data set in a folder; its name stands for a card where the classes are those of the card."""
    card, name = _card_of(path.resolve()), short_name(path.resolve().name)
    if parquet := files_with(".parquet", path):
        from vitlab.data.parquet import parquet_rows

        classes, rows = parquet_rows(path, parquet, card)
        if card and not card_fits(card, classes):
            card, (classes, rows) = None, parquet_rows(path, parquet, None)  # the card chose columns and splits too
        return Source(name, card, _names(card, classes), rows)
    found = class_folders(path)
    card = card if card and card_fits(card, found.classes) else None
    return Source(name, card, found.classes, found.rows, found.left_out, found.origins)


def short_name(folder: str) -> str:
    """A folder's name as part of file names: small letters, digits and `_.-`; a long one is cut and made unique."""
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", folder.lower())) or "data"
    return name if len(name) <= 64 else f"{name[:51]}-{hashlib.blake2b(name.encode(), digest_size=6).hexdigest()}"


def set_name(source: str) -> str:
    """The name that the rows of `name` or `name@0,1` have, without looking at its images."""
    where, classes = parted(source)
    if where in cards():
        return source
    return short_name(Path(where).expanduser().resolve().name) + (f"@{classes}" if classes else "")


def lasting(source: str) -> str:
    """`source` as it can be found from any folder: a card's name as it is, a path in full."""
    return source if source in cards() else str(Path(source).expanduser().resolve())


def _names(card: Card | None, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The data set's own names; the card's where it only has numbers."""
    if card and card.classes and len(card.classes) == len(classes) and classes == tuple(map(str, range(len(classes)))):
        return card.classes
    return classes
