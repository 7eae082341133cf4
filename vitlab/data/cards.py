"""Data cards: what a named data set is and where it comes from, one YAML file each in the folder `data/`."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vitlab.errors import suggest

GROUPS = ("natural", "specialized", "structured")  # the groups of VTAB, arXiv 1910.04867


@dataclass(frozen=True)
class Card:
    """One data set. `mean` and `std` are those of pixels in [0, 1], per channel; None means measured at the first load.

    `splits` maps our names (train, validation, test) to those of the hub; a split that is not there is carved out:
    `test_fraction` of everything, then `validation_fraction` of what is left. `sizes` are those after the carving.
    """

    name: str
    title: str
    hub: str | None
    columns: Mapping[str, str]
    splits: Mapping[str, str]
    sizes: Mapping[str, int]
    image_size: int
    num_classes: int
    group: str
    licence: str
    citation: str
    encoding: str
    classes: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    note: str = field(default="", compare=False)


def cards_folder() -> Path:
    """The checkout's `data/`, or where an installed wheel put its copy of it."""
    checkout = Path(__file__).resolve().parents[2] / "data"
    if (checkout / "digits.yaml").is_file():
        return checkout
    return Path(sysconfig.get_path("data")) / "share" / "vitlab" / "data"


@cache
def cards() -> dict[str, Card]:
    """All cards by name, in alphabetical order. Raises ValueError for a card that cannot be read."""
    return {path.stem: read_card(path) for path in sorted(cards_folder().glob("*.yaml"))}


def get_card(name: str) -> Card:
    """The card called `name`. Raises ValueError, with the nearest name, where there is none."""
    if name not in cards():
        raise ValueError(f"There is no data card {name!r}; there are {', '.join(cards())}.{suggest(name, cards())}")
    return cards()[name]


def matching_card(folder: str) -> Card | None:
    """The card that a local folder's name stands for: `cifar10`, and `eurosat_64` (a copy at 64 px) for `eurosat`."""
    name = folder.lower().replace("-", "_")
    return cards().get(name) or cards().get(re.sub(r"_\d+$", "", name))


def group_of(name: str) -> str:
    """The VTAB group on the card of a set (or of a local copy, or of some of its classes); "other" without a card."""
    card = matching_card(name.partition("@")[0])
    return card.group if card else "other"


def read_card(path: Path) -> Card:
    """Read and check one card. Raises ValueError naming the file and what is wrong with it."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"The data card {path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"The data card {path} must be a list of `key: value` lines.")
    _check_keys(path, raw)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    card = Card(**values)
    _check_values(path, card)
    return card


def _check_keys(path: Path, raw: dict[str, Any]) -> None:
    known = {entry.name for entry in fields(Card)}
    needed = {entry.name for entry in fields(Card) if entry.default is MISSING}
    for key in raw:
        if key not in known:
            raise ValueError(f"The data card {path} has an unknown key {key!r}.{suggest(str(key), known)}")
    if missing := sorted(needed - set(raw)):
        raise ValueError(f"The data card {path} lacks {', '.join(missing)}; see data/README.md.")


def _check_values(path: Path, card: Card) -> None:
    wrong = None
    if card.name != path.stem:
        wrong = f"name is {card.name!r} but the file is {path.name}"
    elif card.group not in GROUPS:
        wrong = f"group is {card.group!r}; it is one of {', '.join(GROUPS)}"
    elif card.classes is not None and len(card.classes) != card.num_classes:
        wrong = f"{len(card.classes)} class names for num_classes {card.num_classes}"
    elif not (0 < card.validation_fraction < 1 and 0 < card.test_fraction < 1):
        wrong = "validation_fraction and test_fraction must lie between 0 and 1"
    elif not set(card.splits) <= {"train", "validation", "test"}:
        wrong = f"splits has the keys {sorted(card.splits)}; allowed are train, validation and test"
    elif not {"image", "label"} <= set(card.columns):
        wrong = "columns must name the image and the label column"
    elif any(value is not None and len(value) != 3 for value in (card.mean, card.std)):
        wrong = "mean and std need three numbers each (red, green, blue)"
    if wrong:
        raise ValueError(f"The data card {path}: {wrong}.")
