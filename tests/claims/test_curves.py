import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitlab.claims.curves import (
    cost_ratio,
    curves,
    data_factor,
    front,
    gain_weights,
    gained,
    gap_curves,
    gap_sampling,
    plateau,
    reach_errors,
    slope_weights,
    slopes,
)
from vitlab.claims.statistics import LOG_ODDS, with_log_odds


def test_slope_of_the_log_odds_gap_per_doubling(scaling) -> None:
    rows = with_log_odds(scaling)
    found = slopes(gap_curves(rows, "ViT", "ResNet", value=LOG_ODDS))
    assert found == pytest.approx({0: 0.2, 1: 0.2, 2: 0.2})
    last = (rows["seed"] == 1) & (rows["train_images"] == 500 * 2**10) & (rows["model"] == "ViT")
    assert list(slopes(gap_curves(rows[~last], "ViT", "ResNet", value=LOG_ODDS))) == [0, 2], "seed 1 lacks a size"
    assert slopes(curves(rows[rows["train_images"] == 500])) == {}


def test_a_size_that_only_one_arm_has_is_left_out(scaling) -> None:
    one = scaling[~((scaling["train_images"] == 500) & (scaling["model"] == "ViT"))]
    assert len(gap_curves(one, "ViT", "ResNet")[0][0]) == 5


def drawn(few: pd.DataFrame, times: int = 2000) -> pd.DataFrame:
    """The rows of one seed, as often as said, each time with test images of their own."""
    many = pd.concat([few.assign(seed=seed) for seed in range(times)])
    return many.assign(
        score=np.random.default_rng(0).binomial(many["images"].astype(int), many["score"]) / many["images"]
    )


@pytest.mark.parametrize(("weights", "statistic"), [(slope_weights, slopes), (gain_weights, gained)])
def test_sampling_error_along_a_gap_against_simulation(weights, statistic, scaling) -> None:
    few = scaling[scaling["seed"] == 1].assign(images=500)
    found = statistic(gap_curves(drawn(few), "ViT", "ResNet"))
    assert gap_sampling(few, "ViT", "ResNet", weights) == pytest.approx(np.std(list(found.values())), rel=0.05)


def test_sampling_error_of_a_data_factor_against_simulation(scaling) -> None:
    few = scaling[scaling["seed"] == 1].assign(images=20_000)
    at = np.array([0.5, 0.7])
    errors = np.hypot(*(reach_errors(few[few["model"] == name], at) for name in ("ViT", "ResNet")))
    for factor, error in zip(data_factor(drawn(few), "ViT", "ResNet", accuracies=at), errors, strict=True):
        assert error == pytest.approx(np.std(list(factor.doublings.values())), rel=0.1)
    same = pd.concat([few.assign(seed=seed) for seed in range(4)])
    (factor, _) = data_factor(same, "ViT", "ResNet", accuracies=at)
    assert factor.interval.high > factor.interval.mean, "seeds that agree do not know more than the test split"


def test_gain_over_the_last_quadrupling(scaling) -> None:
    rows = with_log_odds(scaling)
    assert plateau(rows, "ViT", "ResNet") == pytest.approx({seed: 0.4 for seed in range(3)})
    lines = {0: (np.array([0.0, 1.0, 4.0]), np.array([0.0, 0.1, 0.4]))}
    assert gained(lines, factor=2) == pytest.approx({0: 0.1}), "straight between measured points"
    assert gained(lines, factor=32) == {}, "the curve starts later"
    assert gained(lines, factor=4, until=2.0**5) == pytest.approx({0: 0.1}), "level beyond its end"
    assert gained(lines, factor=2, until=2.0**6) == {0: 0.0}


def test_data_factor_is_read_off_and_never_extrapolated(scaling) -> None:
    found = data_factor(with_log_odds(scaling), "ViT", "ResNet", value=LOG_ODDS, accuracies=[-2.0, -0.5, 0.4, 3.9, 4.5])
    assert [factor.accuracy for factor in found] == [-0.5, 0.4, 3.9]
    for factor in found:  # log2 n at odds y is (y - start) / slope
        y = factor.accuracy
        expected = np.mean([(y + 2.1 - s) / 0.7 - (y + 1.0 - s) / 0.5 for s in (-0.1, 0.0, 0.1)])
        assert factor.interval.mean == pytest.approx(2**expected)
        assert factor.interval.low < factor.interval.mean < factor.interval.high and factor.interval.n == 3
    assert [round(100 * factor.accuracy) for factor in data_factor(scaling, "ViT", "ResNet")] == list(range(30, 96, 5))


def test_a_curve_that_falls_back_counts_where_it_was_first_that_good() -> None:
    rows = pd.DataFrame({"model": ["a"] * 4 + ["b"] * 4, "seed": 0, "train_images": [1, 2, 4, 8] * 2})
    rows["score"] = [0.2, 0.6, 0.5, 0.9, 0.2, 0.3, 0.4, 0.6]
    factors = data_factor(rows, "a", "b", accuracies=[0.2, 0.4, 0.6])
    assert [factor.doublings[0] for factor in factors] == pytest.approx([0.0, 0.5 - 2.0, 1.0 - 3.0])
    assert math.isnan(factors[0].interval.low), "one seed has no interval"


def test_fronts_and_the_ratio_of_their_costs() -> None:
    costs = 2.0 ** np.arange(6)
    rows = pd.DataFrame(
        [
            (family, f"{family}{i}", seed, cost * factor, 0.3 + 0.1 * i - 0.2 * (wide * (i == 3)))
            for seed in range(2)
            for family, factor, wide in (("ViT", 1.0, 0), ("ResNet", 4.0, 1))
            for i, cost in enumerate(costs)
        ],
        columns=["family", "model", "seed", "flops", "score"],
    )
    vit, resnet = (front(rows[rows["family"] == name], cost="flops") for name in ("ViT", "ResNet"))
    np.testing.assert_allclose(resnet[0][1], [0.3, 0.4, 0.5, 0.5, 0.7, 0.8])
    ratio = cost_ratio(resnet, vit)
    # Two doublings everywhere, and the dip of one model costs up to one more between 0.5 and 0.7.
    assert ratio[0] == ratio[1] and ratio[0] == pytest.approx(2.2, abs=0.01)
    assert cost_ratio(vit, resnet)[0] == pytest.approx(-ratio[0])
    above = {seed: (axis, y + 0.6) for seed, (axis, y) in vit.items()}
    assert cost_ratio(resnet, above | {0: vit[0]}) == {}, "seed 1 shares no accuracy"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0.1, 8))
def test_a_front_never_falls_and_a_family_costs_as_much_as_itself(scores: list[float], factor: float) -> None:
    rows = pd.DataFrame({"model": "a", "seed": 0, "flops": 2.0 ** np.arange(len(scores)), "score": scores})
    ours = front(rows, cost="flops")
    assert (np.diff(ours[0][1]) >= 0).all()
    dearer = front(rows.assign(flops=factor * rows["flops"]), cost="flops")
    for value in cost_ratio(dearer, ours).values():
        assert value == pytest.approx(np.log2(factor), abs=1e-6)
