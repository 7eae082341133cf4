"""A folder's name stands for a data card where its classes are the card's; else it is a folder like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.copies import CIFAR, write_parquet
from vitlab.data import describe, load_data
from vitlab.data.cards import card_fits, cards, get_card

Folder = Callable[..., Path]
OTHERS = tuple("abcdefghij")


def test_pictures_of_digits_are_not_those_of_scikit_learn(tmp_path: Path, folder: Folder) -> None:
    info = describe(str(folder(tmp_path / "digits", dict.fromkeys("0123456789", 5))))
    assert (info.card, info.title, info.image_size, info.num_classes) == (None, "digits", 32, 10)
    assert describe("digits").title == "Digits (8x8)"
    with pytest.raises(ValueError, match=r"There is no data card and no folder '.*/nowhere/digits'"):
        describe(str(tmp_path / "nowhere" / "digits"))


@pytest.mark.parametrize("classes", [("x", "y", "z"), OTHERS])
def test_tables_of_other_classes_than_the_cards(classes: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "cifar10"
    write_parquet(root / "train.parquet", 60, classes, 0, numbers=len(classes))
    info, data = describe(str(root)), load_data(str(root), cache=tmp_path / "cache")
    assert info.card is None and info.title == "cifar10" and tuple(info.classes) == classes
    assert data.card is None and data.std != get_card("cifar10").std
    other = root.rename(tmp_path / "mine")
    assert describe(str(other)).fingerprint == data.fingerprint, "the name does not matter"


def test_splits_of_other_images_are_not_the_cards(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "validation", "test")):
        write_parquet(tmp_path / "imagenet" / f"{split}.parquet", 20 + number, OTHERS, 100 * number)
    assert dict(describe(str(tmp_path / "imagenet")).sizes) == {"train": 20, "validation": 21, "test": 22}


def test_class_folders_with_other_words(tmp_path: Path, folder: Folder) -> None:
    cifar, other = (
        folder(tmp_path / kind / "cifar10", dict.fromkeys(of, 5)) for kind, of in (("a", CIFAR), ("b", OTHERS))
    )
    assert describe(str(cifar)).card == get_card("cifar10") and describe(str(other)).card is None


def test_a_table_of_numbers_takes_the_cards_words(tmp_path: Path) -> None:
    write_parquet(tmp_path / "cifar10" / "train.parquet", 60, None, 0)
    info = describe(str(tmp_path / "cifar10"))
    assert info.card == get_card("cifar10") and tuple(info.classes) == CIFAR


@pytest.mark.parametrize("name", sorted(cards()))
def test_a_card_describes_its_own_classes(name: str) -> None:
    card = cards()[name]
    numbers = tuple(map(str, range(card.num_classes)))
    assert card_fits(card, numbers) and card_fits(card, card.classes or numbers) and not card_fits(card, numbers[:-2])


def test_names_are_compared_by_their_letters_and_copies_may_leave_some_out() -> None:
    fashion = get_card("fashion_mnist")
    theirs = (
        "T - shirt / top",
        "trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle_boot",
    )
    assert card_fits(fashion, theirs) and card_fits(fashion, sorted(theirs))
    assert not card_fits(fashion, (*theirs[:9], "Wellington"))
    assert not card_fits(fashion, theirs[:9]) and card_fits(replace(fashion, copy_classes=(9,)), theirs[:9])
    assert card_fits(get_card("caltech101"), [f"thing {index}" for index in range(101)])
