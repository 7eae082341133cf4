"""The rule on rows whose truth is known: coverage, false claims, and the power that it announces."""

import numpy as np
import pytest

from vitlab.claims.claim import Claim
from vitlab.claims.interval import mean_interval
from vitlab.claims.rule import decide, judge, seeds_needed

ABOVE = Claim("data.few", "4.3", "")
ALIKE = Claim("d3.head", "D.3", "", test="alike", margin=0.01)
LEDGERS, CLAIMS = 600, 20
CHANCE = 3 * np.sqrt(0.05 * 0.95 / LEDGERS)  # three standard errors of a share of 5%


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_the_truth_in_95_of_100(n: int) -> None:
    draws = np.random.default_rng(n).normal(0.3, 0.02, (4000, n))
    covered = np.mean([not mean_interval(values).excludes(0.3) for values in draws])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_the_sampling_floor_never_makes_an_interval_narrower() -> None:
    draws = np.random.default_rng(0).normal(0.3, 0.02, (4000, 3))
    covered = np.mean([not mean_interval(values, sampling=0.02).excludes(0.3) for values in draws])
    assert covered > 0.95


def _false(claim: Claim, truth: float, n: int, seed: int) -> tuple[float, float]:
    """Shares of ledgers of 20 claims with at least one that holds, and with at least one that is decided at all."""
    draws = np.random.default_rng(seed).normal(truth, 0.02, (LEDGERS, CLAIMS, n))
    holds = decided = 0
    for ledger in draws:
        verdicts = [judge(claim, dict(enumerate(values)), data="digits", subject="") for values in ledger]
        outcomes = {verdict.outcome for verdict in decide(verdicts)}
        holds += "holds" in outcomes
        decided += outcomes != {"undecided"}
    return holds / LEDGERS, decided / LEDGERS


def test_without_any_effect_a_ledger_of_20_claims_decides_one_in_5_of_100() -> None:
    holds, decided = _false(ABOVE, 0.0, 5, 1)
    assert holds < 0.05 and decided < 0.05 + CHANCE


def test_at_the_margin_a_ledger_of_20_claims_finds_one_alike_in_5_of_100() -> None:
    holds, _ = _false(ALIKE, 0.01, 40, 2)  # 40 seeds, for a spread at which alike can be found at all
    assert 0.02 < holds < 0.05 + CHANCE


def test_holm_is_what_keeps_it_there() -> None:
    draws = np.random.default_rng(3).normal(0, 0.02, (400, CLAIMS, 5))
    raw = [any(judge(ABOVE, dict(enumerate(v)), data="", subject="").p < 0.05 for v in ledger) for ledger in draws]
    assert np.mean(raw) > 0.5, "without it two ledgers of three would hold something"


@pytest.mark.parametrize(
    ("claim", "pilot"),
    [
        (ABOVE, [0.01, 0.03, -0.005, 0.02, -0.01]),
        (ABOVE, [-0.02, -0.06, 0.01]),
        (ALIKE, [0.012, -0.008, 0.004, -0.01]),
        (ALIKE, [0.01, 0.04, 0.02, 0.025]),
    ],
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_seeds_that_would_decide_it_do_in_80_of_100(claim: Claim, pilot: list[float], alpha: float) -> None:
    n = seeds_needed(claim, mean_interval(pilot), alpha=alpha)
    assert n is not None and n > len(pilot)
    draws = np.random.default_rng(n).normal(np.mean(pilot), np.std(pilot, ddof=1), (1500, n))
    ps = [judge(claim, dict(enumerate(values)), data="", subject="").p for values in draws]
    assert np.mean(np.array(ps) < alpha) == pytest.approx(0.8, abs=0.1)


def test_with_an_effect_the_announced_number_decides_and_one_fifth_of_it_does_not() -> None:
    rng, truth = np.random.default_rng(4), 0.015
    n = seeds_needed(ABOVE, mean_interval(truth + 0.02 * np.array([-1, 0, 1])))

    def found(seeds: int) -> float:
        draws = rng.normal(truth, 0.02, (500, seeds))
        verdicts = [decide([judge(ABOVE, dict(enumerate(v)), data="", subject="")])[0] for v in draws]
        return float(np.mean([verdict.outcome == "holds" for verdict in verdicts]))

    assert n is not None and found(n) > 0.7 and found(n // 5) < 0.5
