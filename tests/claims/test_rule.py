import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vitlab.claims.claim import Claim
from vitlab.claims.interval import binomial_error, mean_interval
from vitlab.claims.rule import decide, decisive_power, holm, judge, seeds_needed

ABOVE = Claim("data.few", "4.3", "with few images the CNN is ahead")
ALIKE = Claim("d3.head", "D.3", "class token and mean pooling are alike", test="alike", margin=0.01)
numbers = st.floats(-1, 1).map(lambda x: round(x, 6))
samples = st.lists(numbers, min_size=2, max_size=8).filter(lambda x: np.std(x) > 1e-4)
ps = st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=12)


def test_holm_of_closed_examples() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.02, math.nan, 0.02]), [0.04, math.nan, 0.04])
    assert holm([]).shape == (0,)


@given(ps)
def test_adjusted_p_is_never_below_p_keeps_its_order_and_grows_with_the_family(p: list[float]) -> None:
    array, adjusted = np.array(p), holm(p)
    tested = ~np.isnan(array)
    assert (adjusted[tested] >= array[tested]).all()
    order = np.argsort(array[tested])
    assert (np.diff(adjusted[tested][order]) >= 0).all()
    larger = holm([*p, 0.5])[: len(p)]
    assert (larger[tested] >= adjusted[tested]).all()


def test_an_interval_above_the_bound_holds_below_it_does_not(judged) -> None:
    gaps = [0.12, 0.13, 0.11, 0.125]
    holds, fails = decide([judged(ABOVE, gaps)]), decide([judged(ABOVE, [-x for x in gaps])])
    assert (holds[0].outcome, fails[0].outcome) == ("holds", "does not hold")
    assert holds[0].p == pytest.approx(stats.ttest_1samp(gaps, 0).pvalue)
    bound = decide([judged(replace(ABOVE, bound=-0.01), [-0.002, 0.001, 0.0, -0.001])])
    assert bound[0].outcome == "holds"
    assert decide([judged(ABOVE, [0.12, -0.10, 0.11, 0.02])])[0].outcome == "undecided"


def test_one_seed_and_no_seed_decide_nothing(judged) -> None:
    one, none = decide([judged(ABOVE, [0.5]), judged(ABOVE, [math.nan])])
    assert one.outcome == none.outcome == "undecided"
    assert math.isnan(one.adjusted_p) and one.would_decide == "at least 2 seeds" and none.interval.n == 0


def test_tost_is_the_larger_one_sided_p_and_its_90_percent_interval(judged) -> None:
    values = [0.001, 0.004, -0.003, 0.002, 0.0015]
    verdict = judged(ALIKE, values)
    lower = stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.01, alternative="less").pvalue
    assert verdict.p == pytest.approx(max(lower, upper))
    assert decide([verdict])[0].outcome == "holds"
    outside = judged(ALIKE, [x + 0.03 for x in values])
    assert outside.p == pytest.approx(stats.ttest_1samp(values, -0.02).pvalue)
    assert decide([outside])[0].outcome == "does not hold"
    assert decide([judged(ALIKE, [x + 0.01 for x in values])])[0].outcome == "undecided"


@given(samples, st.sampled_from([ABOVE, ALIKE, replace(ABOVE, bound=-0.01), replace(ALIKE, margin=0.3)]))
def test_interval_and_p_agree(values: list[float], claim: Claim) -> None:
    verdict = judge(claim, dict(enumerate(values)), data="digits", subject="")
    away = abs(verdict.interval.mean - claim.bound)
    if claim.test == "above":
        assert (verdict.p < 0.05) == verdict.interval.excludes(claim.bound)
    elif away < claim.margin:
        inner = mean_interval(values, level=0.9)
        assert (verdict.p < 0.05) == (inner.low > -claim.margin and inner.high < claim.margin)
    else:
        assert (verdict.p < 0.05) == (verdict.interval.low > claim.margin or verdict.interval.high < -claim.margin)


@given(samples, numbers, st.randoms())
def test_a_constant_shifts_the_interval_and_the_order_of_seeds_changes_nothing(values, constant, random) -> None:
    seeds = list(enumerate(values))
    verdict = judge(ABOVE, dict(seeds), data="digits", subject="")
    shifted = judge(ABOVE, {seed: value + constant for seed, value in seeds}, data="digits", subject="").interval
    assert shifted.low == pytest.approx(verdict.interval.low + constant, abs=1e-9)
    assert shifted.high == pytest.approx(verdict.interval.high + constant, abs=1e-9)
    random.shuffle(seeds)
    assert judge(ABOVE, dict(seeds), data="digits", subject="") == verdict


def test_seeds_that_agree_on_every_image_still_have_an_interval(judged) -> None:
    floor = binomial_error(0.989, 360)
    verdict = judged(replace(ABOVE, bound=0.985), [0.989] * 3, sampling=floor)
    assert verdict.interval.high - verdict.interval.mean == pytest.approx(4.3027 * floor / math.sqrt(3), rel=1e-4)
    assert decide([verdict])[0].outcome == "undecided"
    assert math.isnan(judged(ABOVE, [0.989] * 3).p), "no spread and no sampling error: no test"


def test_a_failed_precondition_comes_first_and_takes_no_part_in_holm(judged) -> None:
    gaps = [0.12, 0.13, 0.11, 0.125]
    words = ("ViT-Pico/2 is 1.2 points above chance, not 5",)
    failed, tested = decide([judged(ABOVE, gaps, failed=words), judged(ABOVE, gaps)])
    assert failed.outcome == "cannot be tested here" and failed.failed == words
    assert math.isnan(failed.adjusted_p) and failed.would_decide == ""
    assert tested.adjusted_p == tested.p


def test_a_secondary_claim_never_gets_an_easier_bar(judged) -> None:
    gaps = [0.05, 0.03, 0.06]
    second = judged(replace(ABOVE, primary=False), gaps)
    main, other, alone = decide([judged(ABOVE, gaps), judged(ABOVE, [0.05, 0.06, 0.05]), second])
    assert main.p == alone.p and main.adjusted_p < alone.adjusted_p
    assert main.adjusted_p == pytest.approx(main.p) and alone.adjusted_p == pytest.approx(2 * alone.p)
    without = decide([judged(ABOVE, gaps), judged(ABOVE, [0.05, 0.06, 0.05])])
    assert [main, other] == without, "secondary verdicts leave the primary ones alone"


def test_points_and_log_odds_must_agree(judged) -> None:
    gaps = [0.02, 0.021, 0.019]
    same = {0: 0.2, 1: 0.21, 2: 0.19}
    assert decide([judged(ABOVE, gaps, odds=same)])[0].outcome == "holds"
    opposite = decide([judged(ABOVE, gaps, odds={seed: -x for seed, x in same.items()})])[0]
    assert opposite.outcome == "undecided" and "opposite" in opposite.disagreement
    wide = decide([judged(ABOVE, gaps, odds={0: 0.9, 1: -0.2, 2: 0.3})])[0]
    assert wide.outcome == "undecided" and wide.disagreement == "only points tell the difference from 0"
    assert wide.adjusted_p == pytest.approx(wide.odds_p) and wide.odds_p > wide.p
    assert decide([judged(replace(ABOVE, bound=-0.01), gaps, odds={0: 0.9, 1: -0.2, 2: 0.3})])[0].outcome == "holds"


def test_what_is_wrong_is_named(judged) -> None:
    with pytest.raises(ValueError, match="digits, other"):
        decide([judged(ABOVE, [1, 2]), judged(ABOVE, [1, 2], data="other")])
    with pytest.raises(ValueError, match=r"seeds \[1\] are infinite"):
        judged(ABOVE, [1.0, math.inf])
    with pytest.raises(ValueError, match=r"seeds \[0\] and values of \[0, 1\]"):
        judged(ABOVE, [1.0, 2.0], odds={0: 1.0})


def test_power_against_the_noncentral_t() -> None:
    n = np.arange(2, 101)
    for effect in (0.3, 1.0, 2.5):
        expected = stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect * np.sqrt(n))
        np.testing.assert_allclose(decisive_power(ABOVE, effect, 1.0), expected, atol=4e-3)


def test_seeds_needed_ends_at_a_hundred_and_grows_with_the_family(judged) -> None:
    assert seeds_needed(ABOVE, mean_interval([0.001, -0.02, 0.03])) is None
    values = [0.05, -0.01, 0.06, 0.03]
    alone = decide([judged(ABOVE, values)])[0]
    assert alone.seeds_needed == 10, "an effect of 1.05 standard deviations"
    assert alone.would_decide == "10 seeds"
    among = decide([judged(ABOVE, values)] + [judged(ABOVE, [0.01, -0.02, 0.015])] * 5)
    assert among[0].seeds_needed > alone.seeds_needed
    assert among[1].would_decide == "over 100 seeds"
