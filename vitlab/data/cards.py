"""Data cards: what a named data set is and where it comes from, one YAML file each in the folder `data/`."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from vitlab.data.walk import few
from vitlab.errors import suggest
from vitlab.typed import misfit, shortened

MAX_BYTES = 64 * 1024  # of a card
MAX_SIDE = 4096  # pixels
SPLITS = frozenset({"train", "validation", "test"})
SHARED = Path("share", "vitlab", "data")  # of an installed wheel, as pyproject.toml says
GROUPS = ("natural", "specialized", "structured")  # the groups of VTAB, arXiv 1910.04867


@dataclass(frozen=True)
class Card:
    """One data set. `mean` and `std` are those of pixels in [0, 1], per channel; None means measured at the first load.

    `splits` maps our names (train, validation, test) to those of the hub; a split that is not there is carved out:
    `test_fraction` of everything, then `validation_fraction` of what is left. `sizes` are those after the carving.
    `copy_classes` are the numbers of classes of local copies that leave some out.
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
    copy_classes: tuple[int, ...] = ()
    note: str = field(default="", compare=False)


def cards_folder() -> Path:
    """The checkout's `data/`, or where an installed wheel put its copy of it: `share/vitlab/data` beside or above the
    package, which with `--user`, `--prefix` or `--target` is not where this Python has its own data.
    """
    above = Path(__file__).resolve().parents
    installed = [folder / SHARED for folder in (*above[2:], Path(sysconfig.get_path("data")))]
    return next((path for path in (above[2] / "data", *installed) if (path / "digits.yaml").is_file()), installed[-1])


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


def card_fits(card: Card, classes: Sequence[str]) -> bool:
    """Whether a local copy of the card's set may have these classes: as many, and the same names where both have words.

    Spaces, punctuation and case make no difference.
    """
    if len(classes) not in (card.num_classes, *card.copy_classes):
        return False
    known, theirs = ({re.sub(r"[\W_]", "", name.lower()) for name in names} for names in (card.classes or (), classes))
    return _all_numbers(known) or _all_numbers(theirs) or theirs <= known


def _all_numbers(names: Collection[str]) -> bool:
    return all(name.isdecimal() for name in names)


def group_of(name: str) -> str:
    """The VTAB group on the card of a set (or of a local copy, or of some of its classes); "other" without a card."""
    card = matching_card(name.partition("@")[0])
    return card.group if card else "other"


def read_card(path: Path) -> Card:
    """Read and check one card. Raises ValueError naming the file, the key, and what is wrong with it."""
    raw = _parsed(path)
    _check_keys(path, raw)
    _check_types(path, raw)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    card = Card(**values)
    if wrong := _wrong(path, card):
        raise ValueError(f"The data card {path}: {wrong}.")
    return card


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for more values than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (&name, *name) are not read")
        return super().compose_node(parent, index)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES or not path.is_file():
            raise ValueError(f"it is no text file of at most {MAX_BYTES // 1024} KiB")
        raw = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
    except Exception as error:  # dates that are none, brackets a thousand deep: the parser throws more than YAMLError
        raise ValueError(f"The data card {path} is not YAML: {str(error)[:300] or type(error).__name__}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"The data card {path} must be a list of `key: value` lines.")
    return raw


def _check_keys(path: Path, raw: dict[str, Any]) -> None:
    known = {entry.name for entry in fields(Card)}
    needed = {entry.name for entry in fields(Card) if entry.default is MISSING}
    for key in raw:
        if key not in known:
            shown = shortened(key)
            raise ValueError(f"The data card {path} has an unknown key {shown}.{suggest(str(key)[:40], known)}")
    if missing := sorted(needed - set(raw)):
        raise ValueError(f"The data card {path} lacks {', '.join(missing)}; see data/README.md.")


def _check_types(path: Path, raw: dict[str, Any]) -> None:
    annotations = get_type_hints(Card)
    for key, value in raw.items():
        if wrong := misfit(value, annotations[key]):
            raise ValueError(f"The data card {path}: {key}: {wrong}.")


def _wrong(path: Path, card: Card) -> str:
    """What is wrong with the values of a card whose types are right; empty if nothing is."""
    least = min(card.image_size, card.num_classes - 1, *card.sizes.values(), 1)
    checks = {
        f"name is {shortened(card.name)} but the file is {path.name}": card.name != path.stem,
        f"group is {shortened(card.group)}; it is one of {', '.join(GROUPS)}": card.group not in GROUPS,
        f"image_size is {card.image_size}; at most {MAX_SIDE} px are decoded": card.image_size > MAX_SIDE,
        "image_size and sizes must be at least 1, num_classes at least 2": least < 1,
        f"{len(card.classes or ())} class names for num_classes {card.num_classes}": card.classes is not None
        and len(card.classes) != card.num_classes,
        "validation_fraction and test_fraction must lie between 0 and 1": not (
            0 < card.validation_fraction < 1 and 0 < card.test_fraction < 1
        ),
        _keys("splits", card.splits): not set(card.splits) <= SPLITS,
        "splits lacks train; name the split to train on, or write {} where splits have the usual names": (
            bool(card.splits) and "train" not in card.splits
        ),
        _keys("sizes", card.sizes): set(card.sizes) != SPLITS,
        "columns must name the image and the label column": not {"image", "label"} <= set(card.columns),
        "mean and std must be given together": (card.mean is None) != (card.std is None),
        "mean and std must lie between 0 and 1": not all(
            0 < value < 1 for value in (card.mean or ()) + (card.std or ())
        ),
    }
    return next((words for words, wrong in checks.items() if wrong), "")


def _keys(key: str, value: Mapping[str, object]) -> str:
    return f"{key} has the keys {few(map(repr, sorted(value)), 5)}; they are train, validation and test"
