import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vitlab.claims.interval import binomial_error
from vitlab.claims.statistics import (
    LOG_ODDS,
    arm,
    gap,
    log_odds,
    per_seed,
    sampling_error,
    whole_seeds,
    with_log_odds,
    within_seed_rank,
)


def test_log_odds_are_held_half_an_image_off_both_ends() -> None:
    found = log_odds([0.0, 0.5, 1.0, math.nan], [100, 100, 100, 100])
    np.testing.assert_allclose(found, [-math.log(199), 0.0, math.log(199), math.nan])
    with pytest.raises(ValueError, match="column `images`"):
        log_odds([0.5], [math.nan])


def test_draws_are_averaged_before_sets_and_a_seed_without_a_set_is_left_out() -> None:
    rows = pd.DataFrame(
        [(0, "a", 0.2), (0, "a", 0.4), (0, "a", 0.6), (0, "b", 0.8), (1, "a", 0.5)],
        columns=["seed", "data.name", "score"],
    )
    assert per_seed(rows) == pytest.approx({0: 0.6})
    assert per_seed(rows.drop(columns="data.name")) == pytest.approx({0: 0.5, 1: 0.5})


def test_a_gap_pairs_seeds_at_one_size(scaling) -> None:
    without = scaling[~((scaling["seed"] == 2) & (scaling["model"] == "ViT"))]
    odds = gap(with_log_odds(without), "ResNet", "ViT", at={"train_images": 500}, value=LOG_ODDS)
    assert odds == pytest.approx({0: 1.1, 1: 1.1})
    points = gap(scaling, "ResNet", "ViT", at={"train_images": 500})
    assert points[1] == pytest.approx(1 / (1 + math.e) - 1 / (1 + math.exp(2.1)))


def test_a_gap_is_of_the_sets_that_both_arms_have() -> None:
    """Set b is 0.3 easier: an arm that lacks it would seem worse by that."""
    scores = [("A", "a", 0.5), ("A", "b", 0.8), ("B", "a", 0.4)]
    keys = ["model", "data.name", "score"]
    rows = pd.concat([pd.DataFrame(scores, columns=keys).assign(seed=seed) for seed in (0, 1)])
    assert gap(rows, "A", "B") == pytest.approx({0: 0.1, 1: 0.1})
    assert gap(rows.drop(columns="data.name"), "A", "B") == pytest.approx({0: 0.25, 1: 0.25})
    apart = rows[(rows["model"] == "B") | (rows["data.name"] == "b")]
    assert gap(apart, "A", "B") == {}, "they share no set"


def test_an_arm_without_rows_is_named(scaling) -> None:
    with pytest.raises(ValueError, match="model = 'MLP'; there is ResNet, ViT"):
        arm(scaling, "MLP")
    with pytest.raises(ValueError, match="train_images = 7; there is 128000, 2000"):
        arm(scaling, "ViT", at={"train_images": 7})
    with pytest.raises(ValueError, match="no column 'pooling'; they have model, seed"):
        gap(scaling, "cls", "gap", by="pooling")


def test_sampling_error_of_a_gap_and_of_its_log_odds_against_simulation() -> None:
    a, b = (pd.DataFrame({"score": [p], "images": [400]}) for p in (0.9, 0.7))
    draws = np.random.default_rng(0).binomial(400, [0.9, 0.7], (20_000, 2)) / 400
    assert sampling_error(a, b) == pytest.approx(np.diff(draws).std(), rel=0.03)
    odds = np.log(draws / (1 - draws))
    assert sampling_error(a, b, odds=True) == pytest.approx(np.diff(odds).std(), rel=0.03)
    sets = pd.concat([a.assign(**{"data.name": "a"}), b.assign(**{"data.name": "b"})])
    assert sampling_error(sets) == pytest.approx(draws.mean(axis=1).std(), rel=0.03)
    assert sampling_error(a.drop(columns="images")) == 0.0


def test_rank_correlation_within_a_seed_is_spearmans_mean_over_sets() -> None:
    rng = np.random.default_rng(0)
    keys = [(seed, name, f"m{i}") for seed in range(2) for name in ("a", "b") for i in range(6)]
    rows = pd.DataFrame(keys, columns=["seed", "data.name", "model"])
    few, tuned = (rows.assign(score=rng.integers(0, 5, len(rows)) / 5) for _ in range(2))
    expected = np.mean([stats.spearmanr(few["score"][i : i + 6], tuned["score"][i : i + 6]).statistic for i in (0, 6)])
    found = within_seed_rank(few, tuned)
    assert list(found) == [0, 1] and found[0] == pytest.approx(expected)
    assert list(within_seed_rank(few, tuned[1:])) == [1], "five models are too few"


def test_an_accuracy_without_a_mistake_is_no_more_certain_than_half_an_image() -> None:
    expected = math.sqrt(0.5 / 200 * (1 - 0.5 / 200) / 200)
    assert [binomial_error(end, 200) for end in (0.0, 1.0)] == pytest.approx([expected] * 2)
    assert binomial_error(0.3, 200) == pytest.approx(math.sqrt(0.3 * 0.7 / 200))
    assert binomial_error(0.3, 0) == binomial_error(0.3, math.nan) == 0.0


def test_more_seeds_of_one_test_split_do_not_make_it_larger() -> None:
    one = pd.DataFrame({"score": [0.8], "images": [400], "seed": 0})
    several = pd.concat([one.assign(seed=seed) for seed in range(5)])
    assert sampling_error(several) == sampling_error(one) == pytest.approx(0.02)
    assert sampling_error(several, odds=True) == pytest.approx(1 / math.sqrt(400 * 0.8 * 0.2))


def test_whole_seeds_are_those_with_every_point() -> None:
    points = [("ViT", 1.0), ("ViT", 2.0), ("ResNet", 4.0)]
    rows = pd.DataFrame([(seed, *point) for seed in (0, 1, 2) for point in points], columns=["seed", "model", "flops"])
    lacking = rows.drop(index=[4])  # seed 1 lacks a point
    twice = pd.concat([lacking, rows.loc[[3]]])  # that it has another one twice makes up for nothing
    assert set(whole_seeds(twice, ["model", "flops"])["seed"]) == {0, 2}
    assert whole_seeds(rows, ["model", "flops"]).equals(rows) and whole_seeds(rows[:0], ["model"]).empty
