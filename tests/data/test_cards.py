"""The cards that are shipped, and what happens to a card that is wrong."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.data import cards as module
from vitlab.data.cards import GROUPS, Card, cards, cards_folder, get_card, matching_card, read_card

NEEDED = {
    *("digits", "cifar10", "cifar100", "fashion_mnist", "tiny_imagenet", "imagenet", "imagenet21k"),
    *("flowers102", "pets", "caltech101", "eurosat"),
}


@pytest.mark.parametrize("name", sorted(cards()))
def test_a_card_is_whole(name: str) -> None:
    card = cards()[name]
    assert card.group in GROUPS and card.licence and card.citation and card.title
    assert set(card.sizes) == {"train", "validation", "test"}
    assert card.classes is None or len(set(card.classes)) == card.num_classes
    for values in (card.mean, card.std):
        assert values is None or all(0 < value < 1 for value in values)
    if "test" in card.splits and "validation" not in card.splits:
        pool = card.sizes["train"] + card.sizes["validation"]
        assert card.sizes["validation"] == -(-round(pool * card.validation_fraction, 6) // 1)


@pytest.mark.parametrize("package", ["lib/python3.11/site-packages", "Python311/site-packages", "."])
def test_an_installed_package_finds_the_cards_of_its_own_installation(package, tmp_path, monkeypatch) -> None:
    """As pip lays files out with --user and --prefix, and with --target, where data is beside the package."""
    file = tmp_path / package / "vitlab" / "data" / "cards.py"
    monkeypatch.setattr(module, "__file__", str(file))
    assert not cards_folder().is_relative_to(tmp_path)
    there = tmp_path / "share" / "vitlab" / "data"
    there.mkdir(parents=True)
    (there / "digits.yaml").touch()
    assert cards_folder() == there


def test_the_cards_of_the_paper_are_there() -> None:
    assert NEEDED <= set(cards())
    assert get_card("cifar10").std == (0.2470, 0.2435, 0.2616)
    assert get_card("cifar10").sizes["validation"] == 1000


@pytest.mark.parametrize(
    ("folder", "card"),
    [("cifar10", "cifar10"), ("eurosat_64", "eurosat"), ("Tiny-ImageNet", "tiny_imagenet"),
     ("tiny_imagenet_32", "tiny_imagenet_32"), ("holiday", None)],
)  # fmt: skip
def test_a_folders_name_stands_for_a_card(folder: str, card: str | None) -> None:
    found = matching_card(folder)
    assert (found.name if found else None) == card


def test_an_unknown_card_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="'cifar1'.*Did you mean 'cifar10'"):
        get_card("cifar1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("group: natural", "group: unnatural"), "group is 'unnatural'"),
        (("num_classes: 10", "num_classes: 11"), "10 class names for num_classes 11"),
        (("licence:", "lisence:"), "unknown key 'lisence'.*'licence'"),
        (("group: natural\n", ""), "lacks group"),
        (("name: cifar10", "name: other"), "name is 'other'"),
        (("validation_fraction: 0.02", "validation_fraction: 2"), "between 0 and 1"),
        (("title: CIFAR-10", "title: [CIFAR-10"), "not YAML"),
    ],
)
def test_a_wrong_card_is_named_with_its_fault(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = (cards_folder() / "cifar10.yaml").read_text()
    assert change[0] in text
    (tmp_path / "cifar10.yaml").write_text(text.replace(*change))
    with pytest.raises(ValueError, match=rf"(?s)cifar10\.yaml.*{message}"):
        read_card(tmp_path / "cifar10.yaml")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("title", 3, "title: 3 is not a text"),
        ("hub", ["a"], "hub: a list of 1 is not a text or nothing"),
        ("columns", "image", "columns: 'image' is not a table of names, each with a text"),
        ("splits", {"train": 1}, "splits: 'train': 1 is not a text"),
        ("splits", {"trial": "train"}, "splits has the keys 'trial'; they are train, validation and test"),
        ("splits", {"test": "test"}, "splits lacks train; name the split to train on"),
        ("sizes", {"train": "many"}, "sizes: 'train': 'many' is not a whole number"),
        ("sizes", {"train": 3}, "sizes has the keys 'train'"),
        ("sizes", {"train": 0, "validation": 1, "test": 1}, "image_size and sizes must be at least 1"),
        ("image_size", "32", "image_size: '32' is not a whole number"),
        ("image_size", True, "image_size: True is not a whole number"),
        ("image_size", 10**9, "image_size is 1000000000; at most 4096 px"),
        ("num_classes", 10.0, "num_classes: 10.0 is not a whole number"),
        ("classes", "cat", "classes: 'cat' is not a list, each a text or nothing"),
        ("classes", [1, 2], "classes: number 1: 1 is not a text"),
        ("mean", [0.5], "mean: a list of 1 is not a list of 3, each a number or nothing"),
        ("mean", [0.5, 0.5, float("nan")], "mean: number 3: nan is not a number"),
        ("mean", None, "mean and std must be given together"),
        ("std", [0.5, 0.5, 0.0], "mean and std must lie between 0 and 1"),
        ("validation_fraction", "0.1", "validation_fraction: '0.1' is not a number"),
    ],
)
def test_each_wrong_type_names_file_and_key(key: str, value: object, message: str, tmp_path: Path) -> None:
    raw = yaml.safe_load((cards_folder() / "cifar10.yaml").read_text())
    (tmp_path / "cifar10.yaml").write_text(yaml.safe_dump({**raw, key: value}))
    with pytest.raises(ValueError, match=rf"cifar10\.yaml: {message}"):
        read_card(tmp_path / "cifar10.yaml")


BOMB = "a: &a [1, 2]\n" + "\n".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]" for a, b in pairwise("abcdefghi"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB.encode(), "aliases"),
        (b"[" * 60_000, "not YAML"),
        (b"a: 1\n" * 20_000, "at most 64 KiB"),
        (b"title: 2001-99-99", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"[1, 2]: 3", "not YAML"),
        (b"? 3\n: 4", "unknown key 3"),
        (b"", "list of `key: value` lines"),
        (b"!!python/object/apply:os.getcwd []", "not YAML"),
    ],
)
def test_what_is_no_card(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=rf"card\.yaml.*{message}") as raised:
        read_card(tmp_path / "card.yaml")
    assert len(str(raised.value)) < 1000


def test_a_card_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match="no text file"):
        read_card(tmp_path / "card.yaml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)
CHANGES = st.dictionaries(st.sampled_from(list(Card.__dataclass_fields__)) | st.text(max_size=3), VALUES, max_size=3)
LINES = st.lists(st.tuples(st.integers(0, 30), st.text(max_size=20)), max_size=4)


def read_changed(folder: Path, changes: dict[str, object], lines: list[tuple[int, str]]) -> None:
    file = folder / "cifar10.yaml"
    raw = yaml.safe_load((cards_folder() / "cifar10.yaml").read_text())
    text = yaml.safe_dump({**raw, **changes}, allow_unicode=True).splitlines()
    for number, line in lines:
        text[number % len(text)] = line
    file.write_text("\n".join(text), errors="replace")
    try:
        read_card(file)
    except ValueError as error:
        assert str(file) in str(error) and len(str(error)) < 1000


@settings(max_examples=60)
@given(changes=CHANGES, lines=LINES)
def test_changed_cards_give_value_errors(changes, lines, tmp_path_factory):
    read_changed(tmp_path_factory.getbasetemp(), changes, lines)


@pytest.mark.fault
@settings(max_examples=1000)
@given(changes=CHANGES, lines=LINES)
def test_many_changed_cards(changes, lines, tmp_path_factory):
    read_changed(tmp_path_factory.getbasetemp(), changes, lines)
