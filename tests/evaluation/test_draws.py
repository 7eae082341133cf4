import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.evaluation.draws import draw_seed, draw_shots, draws_needed, folds_of, interval_width

labels_with_9_each = st.permutations([label for label in (3, -1, 40) for _ in range(9)]).map(torch.tensor)


@settings(max_examples=30)
@given(labels_with_9_each, st.integers(1, 9), st.integers(0, 10**6))
def test_shots_are_balanced_distinct_and_nested(labels, shots, seed):
    chosen = draw_shots(labels, shots, seed)
    assert sorted(labels[chosen].tolist()) == sorted([3, -1, 40] * shots)
    assert len(set(chosen.tolist())) == 3 * shots
    assert draw_shots(labels, 9, seed)[: 3 * shots].tolist() == chosen.tolist()


def test_a_draw_has_the_same_shots_for_good_and_no_two_seeds_share_one():
    """Stored rows name a draw by its seed and number; with other shots it would be another draw of that name."""
    labels = torch.tensor([0, 1, 2] * 6)
    assert draw_shots(labels, 2, draw_seed(1, 2)).tolist() == [3, 13, 14, 15, 16, 17]
    assert len({draw_seed(seed, draw) for seed in range(5) for draw in (0, 1, 9_999)}) == 15


def test_every_image_is_drawn_equally_often():
    labels = torch.tensor([0] * 5 + [1] * 10)
    times = torch.bincount(torch.cat([draw_shots(labels, 1, seed) for seed in range(3000)]), minlength=15) / 3000
    np.testing.assert_allclose(times, [0.2] * 5 + [0.1] * 10, atol=0.03)


@settings(max_examples=30)
@given(labels_with_9_each, st.integers(2, 12))
def test_folds_hold_out_each_image_once_and_keep_every_class(labels, folds):
    masks = folds_of(labels, folds)
    assert len(masks) == min(folds, 9)
    assert torch.stack(masks).sum(0).tolist() == [1] * 27
    assert all(set(labels[~mask].tolist()) == {3, -1, 40} for mask in masks)


def test_one_image_of_a_class_leaves_nothing_to_hold_out():
    assert folds_of(torch.tensor([0, 0, 1]), 5) == []


def test_interval_width_is_students():
    # t(0.975, 4 degrees of freedom) = 2.776445
    assert interval_width(0.1, 5) == pytest.approx(2 * 2.776445 * 0.1 / 5**0.5, rel=1e-6)


def test_draws_needed_stops_when_the_interval_is_narrow_and_asks_for_more_when_it_is_not():
    assert draws_needed([0.5, 0.6]) == 3
    assert draws_needed([0.500, 0.501, 0.502]) == 3
    spread = [0.40, 0.45, 0.50] * 10
    needed = draws_needed(spread)
    deviation = float(np.std(spread, ddof=1))
    assert 30 < needed <= 60
    assert needed == 60 or interval_width(deviation, needed) < 0.02 <= interval_width(deviation, needed - 1)
    assert draws_needed([0.1, 0.5, 0.9], most=5) == 5
    assert draws_needed([0.1, 0.9] * 10, most=5) == 20
    assert draws_needed([0.1], most=1) == 1 and draws_needed([0.1, 0.9], most=2) == 2
