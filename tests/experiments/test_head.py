"""D.3: each head is judged at its own rate, and the rates are compared seed by seed."""

import math
from dataclasses import replace

import pytest

from experiments.head import CLS, GAP, PRESETS, STUDY, plan
from vitlab.claims.rule import decide
from vitlab.claims.sentences import clause

SETTINGS = replace(PRESETS["quick"], rates=(0.001, 0.002, 0.004, 0.008))
BEST = {CLS: 0.004, GAP: 0.002}


def head(run) -> str:
    return GAP if dict(run.options).get("pooling") == "gap" else CLS


def test_heads_alike_at_rates_that_differ_by_a_doubling(as_if_made):
    def score(run) -> float:
        own = BEST[head(run)] * (2 if run.seed == 4 and head(run) == GAP else 1)
        return 0.8 - 0.05 * abs(math.log2(run.recipe.lr / own)) + 0.001 * (run.seed + (head(run) == GAP) * run.seed % 2)

    found = STUDY.draw(as_if_made(plan(SETTINGS), score), SETTINGS)
    alike, rate = decide(found.verdicts)
    assert (alike.claim.id, rate.claim.id) == ("d3.head", "d3.rate")
    assert list(rate.values.values()) == pytest.approx([1, 1, 1, 1, 0])
    assert not rate.failed and rate.interval.mean == pytest.approx(0.8)
    assert found.tables[0].frame["own rate"].tolist() == [0.004, 0.002]
    assert alike.values[0] == pytest.approx(0, abs=0.002)
    assert {series.name for series in found.figures["figure"].series} == {CLS, GAP}


def test_a_best_rate_at_the_edge_decides_nothing(as_if_made):
    rows = as_if_made(plan(SETTINGS), lambda run: 0.8 - 0.01 * abs(math.log2(run.recipe.lr / 0.001)))
    for verdict in decide(STUDY.draw(rows, SETTINGS).verdicts):
        assert verdict.outcome == "cannot be tested here" and "edge" in verdict.failed[0]


def test_without_a_choice_of_rates_there_is_no_verdict_on_them(as_if_made):
    one = replace(SETTINGS, rates=(0.004,))
    found = STUDY.draw(as_if_made(plan(one), lambda run: 0.8), one)
    assert [verdict.claim.id for verdict in found.verdicts] == ["d3.head"]
    assert found.verdicts[0].failed == ("the rate of ViT-Pico/2, 0.004, is none of those that were tried",)


def test_verdicts_of_several_models_say_which_they_are_of(as_if_made):
    both = replace(SETTINGS, sizes=("Pico", "Nano"))
    found = STUDY.draw(as_if_made(plan(both), lambda run: 0.8 - 0.01 * abs(math.log2(run.recipe.lr / 0.002))), both)
    verdicts = decide(found.verdicts)
    assert [one.subject for one in verdicts[::2]] == [f"{CLS} against {GAP}, ViT-{size}/2" for size in ("Pico", "Nano")]
    assert len({clause(one) for one in verdicts}) == 4
    assert clause(verdicts[0]).startswith("class token (ViT-Pico/2) and mean pooling are alike")
