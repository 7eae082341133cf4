import numpy as np
import pytest
from scipy import stats

from vitlab.evaluation import rank_correlation


def test_monotone_pairs_correlate_perfectly_and_the_p_value_is_exact():
    x = [0.1, 0.4, 0.2, 0.9, 0.7]
    up, down = rank_correlation(x, np.exp(x)), rank_correlation(x, [-v for v in x])
    assert (up.rho, up.low, up.high, up.n) == pytest.approx((1, 1, 1, 5))
    assert (down.rho, down.low, down.high) == pytest.approx((-1, -1, -1))
    assert up.p_value == pytest.approx(2 / 120)  # two of the 5! pairings are as extreme


def test_rho_is_scipys_with_ties_and_the_interval_covers_it():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, size=40)
    y = x + rng.normal(0, 2.5, size=40)
    found = rank_correlation(x, y)
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert -1 < found.low < found.rho < found.high < 1
    # Fisher's interval for Spearman's rho has a standard error near 1.03 / sqrt(n - 3).
    z, error = np.arctanh(found.rho), 1.03 / np.sqrt(37)
    assert (found.low, found.high) == pytest.approx((np.tanh(z - 1.96 * error), np.tanh(z + 1.96 * error)), abs=0.12)


def test_unrelated_pairs_have_an_interval_around_zero():
    rng = np.random.default_rng(1)
    found = rank_correlation(rng.normal(size=60), rng.normal(size=60))
    assert found.low < 0 < found.high
    assert found.p_value > 0.05


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [1, 2], "3 pairs"),
        ([1, 2, 3], [1, 2], "beside 2"),
        ([1, 1, 1], [1, 2, 3], "constant"),
        ([1, 2, np.nan], [1, 2, 3], "finite"),
    ],
)
def test_bad_pairs_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(x, y)
