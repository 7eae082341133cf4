import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vitlab.report.intervals import (
    MISSING,
    Interval,
    bootstrap_mean,
    p_difference,
    p_mean,
    paired_gap,
    rank_correlation,
    small_sample_factor,
    stratified_mean,
)

accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@settings(max_examples=40, deadline=None)
@given(accuracies)
def test_mean_lies_within_its_interval_and_the_interval_within_the_bounds(values: list[float]) -> None:
    cell = bootstrap_mean(values, bounds=(0.0, 1.0), resamples=500)
    assert cell.n == len(values)
    assert cell.mean == pytest.approx(np.mean(values))
    assert min(0.0, cell.mean) <= cell.low <= cell.mean <= cell.high <= max(1.0, cell.mean)


@settings(max_examples=25, deadline=None)
@given(accuracies, st.floats(-2, 2), st.floats(0.1, 10))
def test_interval_moves_and_scales_with_the_values(values: list[float], shift: float, scale: float) -> None:
    cell = bootstrap_mean(values, resamples=500)
    moved = bootstrap_mean([v * scale + shift for v in values], resamples=500)
    expected = (cell.low * scale + shift, cell.high * scale + shift)
    assert (moved.low, moved.high) == pytest.approx(expected, abs=1e-6)


def test_one_seed_has_no_interval_and_says_so() -> None:
    cell = bootstrap_mean([0.5])
    assert (cell.mean, cell.n) == (0.5, 1) and math.isnan(cell.low) and math.isnan(cell.high)
    assert cell.format() == "50.0 (n=1)"
    assert not cell.excludes(0.0)


def test_no_seeds_and_missing_values() -> None:
    assert bootstrap_mean([]).n == 0 and MISSING.format() == "–"
    assert bootstrap_mean([0.2, math.nan, 0.4]).n == 2


def test_equal_seeds_have_an_interval_of_width_zero() -> None:
    assert bootstrap_mean([0.75, 0.75, 0.75]) == Interval(0.75, 0.75, 0.75, 3)


def test_two_seeds_in_closed_form() -> None:
    # A quarter of the resamples of (a, b) is a twice: the quantile is a, its deviation |b - a| / 2.
    cell = bootstrap_mean([0.4, 0.6])
    half = math.sqrt(2) * stats.t.ppf(0.975, 1) / stats.norm.ppf(0.975) * 0.1
    assert (cell.low, cell.high) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_factor_against_scipy(n: int) -> None:
    assert small_sample_factor(n) == pytest.approx(
        math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) / stats.norm.ppf(0.975)
    )


def test_large_samples_agree_with_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(size=400)
    cell = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert (cell.low, cell.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_coverage_of_few_seeds(n: int) -> None:
    """Where the percentile bootstrap covers 50%, 75% and 82%, ours is within two points of 95%, up to chance."""
    generator = np.random.default_rng(0)
    trials = 1000
    cells = [bootstrap_mean(generator.normal(0.7, 0.02, n), resamples=1000) for _ in range(trials)]
    assert 0.91 <= np.mean([cell.low <= 0.7 <= cell.high for cell in cells]) <= 0.975


def test_format() -> None:
    assert Interval(0.523, 0.501, 0.544, 3).format() == "52.3 [50.1, 54.4]"
    assert Interval(-0.12, -0.14, -0.1, 3).format(sign=True) == "-12.0 [-14.0, -10.0]"
    assert Interval(3.14159, 3.0, 3.3, 3).format(digits=2, scale=1) == "3.14 [3.00, 3.30]"


def test_paired_gap_matches_by_seed_and_cancels_what_a_seed_shares() -> None:
    a = {0: 0.10, 1: 0.50, 2: 0.90, 7: 0.3}
    b = {2: 0.80, 1: 0.40, 0: 0.00, 9: 0.3}
    gap = paired_gap(a, b)
    assert gap.n == 3
    assert (gap.mean, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_stratified_mean_ignores_the_spread_between_data_sets() -> None:
    strata = {"easy": [0.90, 0.91, 0.92], "hard": [0.10, 0.11, 0.12]}
    cell = stratified_mean(strata)
    assert cell.mean == pytest.approx(0.51) and cell.n == 3
    assert cell.high - cell.low < 0.06
    assert math.isnan(stratified_mean({"a": [0.1], "b": [0.2, 0.3]}).low)


def test_p_values_against_scipy() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.normal(0.1, 1, 6), generator.normal(1, 2, 9)
    assert p_mean(a, null=0.3) == pytest.approx(stats.ttest_1samp(a, 0.3).pvalue)
    assert p_difference(a, b) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)
    assert math.isnan(p_mean([1.0])) and math.isnan(p_difference([1.0], [1.0, 2.0]))
    assert p_mean([0.2, 0.2]) == 0.0 and p_mean([0.0, 0.0]) == 1.0


def test_rank_correlation_against_scipy() -> None:
    generator = np.random.default_rng(3)
    x = generator.integers(0, 6, 12).astype(float)
    y = x + generator.normal(size=12)
    cell = rank_correlation(list(x), list(y))
    assert cell.mean == pytest.approx(stats.spearmanr(x, y).statistic)
    assert -1 <= cell.low < cell.mean < cell.high <= 1
    with pytest.raises(ValueError, match="one length"):
        rank_correlation([1, 2], [1])
