"""The words by which people name a data set, some of its classes, and its splits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
EITHER = ("eval", "evaluation")  # the test split, unless there is another one
MEANINGS = {word: {split} for split, words in SPLIT_WORDS.items() for word in words} | {
    word: {"validation", "test"} for word in EITHER
}


def parted(source: str) -> tuple[str, str]:
    """`name@0,1` as the name or path and the words behind the last @, of which a path that exists has none."""
    if "@" not in source or os.path.exists(os.path.expanduser(source)):  # False for what is too long for a path
        return source, ""
    where, _, classes = source.rpartition("@")
    return where, classes


def split_word(name: str) -> str | None:
    """The word for a split that `name` is, in any case: "train" for `Train`, `train_set`, `Train images`; else None."""
    found = re.fullmatch(rf"({'|'.join(MEANINGS)})[ _-]?(?:sets?|data|images?|split|folder)?", name.lower())
    return found[1] if found else None


def named_splits(names: Iterable[str], where: object) -> dict[str, str]:
    """Which of `names` is our train, validation and test, in this order.

    Raises ValueError where two names stand for one split.
    """
    found: dict[str, str] = {}
    known = {word: ours for ours, words in SPLIT_WORDS.items() for word in words}
    by_word = sorted((name for name in names if split_word(name)), key=lambda name: split_word(name) in EITHER)
    for name in by_word:
        word = split_word(name)
        assert word
        ours = known.get(word) or ("validation" if "test" in found else "test")
        if ours in found:
            raise ValueError(f"{where} has two {ours} splits, {found[ours]!r} and {name!r}; keep one of them there.")
        found[ours] = name
    return {ours: found[ours] for ours in SPLIT_WORDS if ours in found}
