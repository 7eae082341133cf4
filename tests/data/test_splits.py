"""Nested and stratified subsets as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.data.splits import nested_subset, stratified_split

class_counts = st.lists(st.integers(1, 60), min_size=2, max_size=8)


def labels_of(counts: list[int], seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@settings(max_examples=60)
@given(class_counts, st.integers(0, 2**31), st.data())
def test_small_subsets_lie_within_large_ones(counts: list[int], seed: int, data: st.DataObject) -> None:
    labels = labels_of(counts)
    small = data.draw(st.integers(len(counts), len(labels)))
    large = data.draw(st.integers(small, len(labels)))
    indices = nested_subset(labels, large, seed)
    assert nested_subset(labels, small, seed).tolist() == indices[:small].tolist()
    assert len(set(indices.tolist())) == large


@settings(max_examples=100)
@given(class_counts, st.integers(0, 2**31))
def test_subsets_hold_every_class_in_proportion(counts: list[int], seed: int) -> None:
    labels = labels_of(counts)
    order = labels[nested_subset(labels, len(labels), seed).numpy()]
    shares = np.array(counts) / len(labels)
    for size in range(len(counts), len(labels) + 1):
        held = np.bincount(order[:size], minlength=len(counts))
        assert held.min() >= 1
        assert (held <= np.maximum(1, size * shares + 1)).all()
        if size * shares.min() >= 1:
            assert (held > size * shares - 1).all()


def test_balanced_classes_differ_by_one_at_most() -> None:
    labels = labels_of([30] * 7)
    order = labels[nested_subset(labels, 210, seed=3).numpy()]
    for size in range(7, 211):
        held = np.bincount(order[:size], minlength=7)
        assert held.max() - held.min() <= 1


def test_the_seed_chooses_the_images() -> None:
    labels = labels_of([50, 50])
    assert nested_subset(labels, 20, 0).tolist() == nested_subset(labels, 20, 0).tolist()
    assert nested_subset(labels, 20, 0).tolist() != nested_subset(labels, 20, 1).tolist()


@pytest.mark.parametrize(
    ("size", "message"),
    [(0, "whole number"), (-3, "whole number"), (4, "below the number of classes, 5"), (51, "above the 50")],
)
def test_sizes_that_cannot_be_are_refused(size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nested_subset(labels_of([10] * 5), size, seed=0)


@settings(max_examples=100)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=8), st.floats(0.01, 0.9), st.integers(0, 2**31))
def test_a_carved_split_is_stratified(counts: list[int], fraction: float, seed: int) -> None:
    labels = labels_of(counts)
    kept, held = stratified_split(labels, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    held_counts = np.bincount(labels[held], minlength=len(counts))
    assert held_counts.min() >= 1 and np.bincount(labels[kept], minlength=len(counts)).min() >= 1
    quota = np.array(counts) * fraction
    assert (held_counts >= np.floor(np.minimum(quota, np.array(counts) - 1))).all()
    assert (held_counts <= np.maximum(1, np.ceil(quota) + 1)).all()


@settings(max_examples=60)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=8), st.floats(0.01, 0.5), st.integers(0, 2**31))
def test_a_carved_split_has_its_size_and_goes_by_largest_remainders(counts: list[int], fraction: float, seed: int):
    labels = labels_of(counts)
    _, held = stratified_split(labels, fraction, seed)
    total = int(np.ceil(round(fraction * len(labels), 6)))
    quota = np.array(counts) * (total / len(labels))
    least = np.maximum(1, np.floor(quota)).astype(int)
    assert len(held) == max(total, least.sum())
    more = np.bincount(labels[held], minlength=len(counts)) - least
    assert set(more.tolist()) <= {0, 1}
    if 0 < more.sum() < len(counts):
        assert (quota - least)[more == 1].min() >= (quota - least)[more == 0].max() - 1e-9


def test_a_seed_means_the_same_images_for_good():
    """Runs are named by their seeds and not by their images: other ones would pass for repetitions of stored runs."""
    labels = labels_of([6, 9, 5])
    assert nested_subset(labels, 10, seed=0).tolist() == [18, 17, 7, 4, 9, 15, 5, 13, 8, 19]
    assert stratified_split(labels, 0.3, seed=0)[1].tolist() == [4, 7, 9, 15, 17, 18]


def test_a_class_with_one_image_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="single image left .*cat"):
        stratified_split([0, 0, 1], 0.5, seed=0, classes=["dog", "cat"])
