import math

import numpy as np
import pytest

from vitlab.report.trend import crossing, format_p, gap_slope, round_size

SIZES = [500, 1000, 2000, 4000, 8000]


def linear_gaps(per_doubling: float, zero_at: float, noise: float = 0.0, seeds: int = 5) -> np.ndarray:
    gaps = per_doubling * (np.log2(SIZES) - math.log2(zero_at))
    return gaps + noise * np.random.default_rng(0).normal(size=(seeds, len(SIZES)))


def test_slope_of_exact_lines() -> None:
    slope = gap_slope(SIZES, linear_gaps(0.02, 1e6))
    assert slope.interval.mean == pytest.approx(0.02)
    assert slope.decided and slope.p == 0.0
    assert "+2.0 [+2.0, +2.0] points per doubling" in slope.sentence()


def test_slope_does_not_depend_on_the_order_of_sizes() -> None:
    gaps = linear_gaps(0.02, 1e6, noise=0.01)
    order = [3, 0, 4, 1, 2]
    shuffled = gap_slope([SIZES[i] for i in order], gaps[:, order])
    assert shuffled.interval.mean == pytest.approx(gap_slope(SIZES, gaps).interval.mean)


def test_noise_alone_is_not_a_trend() -> None:
    decided = [gap_slope(SIZES, np.random.default_rng(i).normal(size=(3, 5))).decided for i in range(200)]
    assert np.mean(decided) < 0.09


def test_incomplete_seeds_are_left_out() -> None:
    gaps = linear_gaps(0.02, 1e6)
    gaps[0, 1] = math.nan
    assert gap_slope(SIZES, gaps).interval.n == 4
    assert math.isnan(gap_slope(SIZES, gaps[:1]).interval.mean)


def test_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match="4 columns for 5"):
        gap_slope(SIZES, np.zeros((3, 4)))


@pytest.mark.parametrize(("zero_at", "kind"), [(3000, "measured"), (40_000, "extrapolated")])
def test_known_crossing(zero_at: float, kind: str) -> None:
    exact = crossing(SIZES, linear_gaps(0.03, zero_at))
    assert exact.kind == kind
    assert exact.size == pytest.approx(zero_at, rel=1e-3)
    noisy = crossing(SIZES, linear_gaps(0.03, zero_at, noise=0.004))
    assert noisy.kind == kind
    assert noisy.low < zero_at < noisy.high
    assert noisy.low <= noisy.size <= noisy.high


def test_interval_of_an_extrapolated_crossing_covers() -> None:
    hits = []
    for i in range(100):
        noise = 0.006 * np.random.default_rng(i).normal(size=(4, len(SIZES)))
        found = crossing(SIZES, linear_gaps(0.03, 20_000, seeds=4) + noise, resamples=500)
        if found.kind != "not within reach":
            hits.append(found.low <= 20_000 <= found.high)
    assert len(hits) > 80 and np.mean(hits) > 0.88


def test_not_within_reach() -> None:
    far = crossing(SIZES, linear_gaps(0.005, 8000 * 2**20))
    assert far.kind == "not within reach" and "100 times" in far.sentence()
    flat = crossing(SIZES, -0.1 + 0.02 * np.random.default_rng(4).normal(size=(3, 5)))
    assert flat.kind == "not within reach"
    assert crossing(SIZES, linear_gaps(0.03, 3000)[:1]).kind == "not within reach"


def test_wording() -> None:
    assert round_size(12_345) == 12_000 and round_size(87) == 87
    assert format_p(0.0004) == "p < 0.001" and format_p(0.0312) == "p = 0.031" and format_p(math.nan) == "no test"
    assert "would cross at 40,000 images" in crossing(SIZES, linear_gaps(0.03, 40_000)).sentence()
