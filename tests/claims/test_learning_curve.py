"""Learning curves on accuracies whose curve is known, and every reason why nothing can be said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vitlab.claims.learning_curve import LearningCurve, fit, forecast

SIZES = np.array([100.0, 200, 400, 800, 1600])
TRUE = LearningCurve(a=0.4 * 100**0.5, b=0.5, c=0.05)
AT = (1600, 3200, 16_000)


def rows(curve=TRUE, *, sizes=SIZES, seeds=3, noise=0.0, seed=0, images=10_000, below=0.0, **more) -> pd.DataFrame:
    """Rows of one arm, its accuracies on the curve up to noise; test is `below` validation."""
    chance = np.random.default_rng(seed)
    found = []
    for run in range(seeds):
        for n in sizes:
            score = np.clip(curve.accuracy(n) + noise * chance.normal(), 0, 1)
            about = {"model": "a", "seed": run, "run": f"{run}-{n}", "train_images": int(n), "images": images}
            about |= {"classes": 10, "steps": 100, "best_step": 50, "late_gain": 0.0, "data.name": "d", **more}
            found += [
                {**about, "split": name, "score": score - gap} for name, gap in (("test", below), ("validation", 0))
            ]
    return pd.DataFrame(found)


@settings(max_examples=25)
@given(c=st.floats(0.01, 0.4), first=st.floats(0.1, 0.5), b=st.floats(0.2, 1.2), start=st.integers(20, 2000))
def test_a_curve_without_noise_is_found_again(c: float, first: float, b: float, start: int) -> None:
    """Its accuracies, at least: c and b trade off where the curve is nearly straight."""
    true = LearningCurve(first * start**b, b, c)
    sizes = start * 2.0 ** np.arange(6)
    found = fit(sizes, np.array([true.accuracy(n) for n in sizes]), 10_000)
    for n in (*sizes, 2 * sizes[-1], 10 * sizes[-1]):
        assert found.accuracy(n) == pytest.approx(true.accuracy(n), abs=1e-3)


def test_parameters_are_those_of_the_formula() -> None:
    found = forecast(rows(), AT)
    assert found.curve is not None and not found.doubts
    assert (found.curve.a, found.curve.b, found.curve.c) == pytest.approx((TRUE.a, TRUE.b, TRUE.c), rel=1e-3)
    assert found.off == pytest.approx(0, abs=1e-4)
    for n, interval in zip(AT, found.expected, strict=True):
        assert interval.mean == pytest.approx(1 - 0.05 - 0.4 * (n / 100) ** -0.5, abs=1e-4)
        assert interval.low < interval.mean < interval.high and interval.n == 3


def test_intervals_of_the_future_cover_the_truth_in_95_of_100() -> None:
    told = [found for i in range(60) if (found := forecast(rows(noise=0.01, seed=i), AT)).expected]
    covered = [
        interval.low <= TRUE.accuracy(n) <= interval.high
        for found in told
        for n, interval in zip(AT, found.expected, strict=True)
    ]
    assert len(told) > 40 and np.mean(covered) > 0.9


def test_an_interval_is_that_of_the_jackknife() -> None:
    """Its standard error is the root of (k - 1) / k times the squared deviations of the curves without one seed."""
    table = rows(seeds=4, noise=0.01, images=10**8)  # the test split's own error counts nothing
    without = [forecast(table[table["seed"] != seed], AT).curve for seed in range(4)]
    for n, interval in zip(AT, forecast(table, AT).expected, strict=True):
        others = np.array([curve.accuracy(n) for curve in without])
        error = np.sqrt(3 / 4 * ((others - others.mean()) ** 2).sum())
        assert interval.high - interval.mean == pytest.approx(stats.t.ppf(0.975, 3) * error, rel=1e-3)


def test_few_test_images_keep_an_interval_wide() -> None:
    (interval, *_) = forecast(rows(images=400), AT).expected
    error = np.sqrt(interval.mean * (1 - interval.mean) / 400)
    assert interval.high - interval.mean == pytest.approx(stats.t.ppf(0.975, 2) * error / np.sqrt(3), rel=1e-3)


def test_a_curve_is_an_accuracy_everywhere() -> None:
    curve = LearningCurve(a=2.0, b=0.5, c=0.1)
    assert [curve.accuracy(n) for n in (1, 16, 10**12)] == pytest.approx([0.0, 0.4, 0.9], abs=1e-5)


def test_seeds_that_lack_a_size_take_no_part() -> None:
    table = rows(seeds=4, noise=0.003)
    part = table[~((table["seed"] == 3) & (table["train_images"] == 800))]
    assert forecast(part, AT) == forecast(table[table["seed"] < 3], AT)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (rows(sizes=SIZES[:3]), "only 3 train sizes, not 4"),
        (rows(seeds=2), "only 2 seeds, not 3"),
        (rows(images=99), "only 99 test images, not 100"),
        (rows(below=0.2), "20 points below validation"),
        (rows(best_step=100, late_gain=0.03), "cut short"),
        (rows(LearningCurve(0.1, 0.1, 0.83)), "points above chance"),
        (rows(LearningCurve(2.0, 0.5, 0.0)), "c = 0"),
        (rows(LearningCurve(0.0, 0.5, 0.3)), "no power of the number of images"),
        (rows(LearningCurve(4e7, 4.0, 0.3)), "no power of the number of images"),
    ],
)
def test_nothing_is_expected_where_the_reason_is_said(table: pd.DataFrame, why: str) -> None:
    found = forecast(table, AT)
    assert found.expected == () and any(why in doubt for doubt in found.doubts), found.doubts


def test_a_curve_that_bends_is_refused_with_the_points_that_it_is_off() -> None:
    """A training that fails on many images: what the smaller sizes predict did not come."""
    table = rows()
    table.loc[table["train_images"] == 1600, "score"] -= 0.06
    found = forecast(table, AT)
    assert found.off == pytest.approx(0.06, abs=1e-3) and found.expected == ()
    assert any("predict the largest 6.0 points too high" in doubt for doubt in found.doubts), found.doubts


def test_a_jump_is_missed_by_the_curve() -> None:
    table = rows()
    table.loc[table["train_images"] <= 200, "score"] -= 0.25
    table.loc[table["train_images"] == 800, "score"] -= 0.1
    assert any("misses what was measured by up to" in doubt for doubt in forecast(table, AT).doubts)
