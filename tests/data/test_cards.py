"""The cards that are shipped, and what happens to a card that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitlab.data.cards import GROUPS, cards, cards_folder, get_card, matching_card, read_card

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
