"""D.1: rates are chosen upstream, what counts is downstream, and both optimisers have as many trials."""

from dataclasses import replace

import pytest

from experiments.optimizer import MEAN, PRESETS, STUDY, plan
from vitlab.claims.rule import decide
from vitlab.tasks.settings import FewShot

SETTINGS = replace(PRESETS["quick"], rates=(0.001, 0.01, 0.1), sgd_rates=(0.01, 0.1, 1.0))
OWN = {"adamw": 0.01, "sgd": 0.1}
WORTH = {"adamw": 0.7, "sgd": 0.6}


def score(run) -> float:
    """Upstream the middle rate is best; downstream another one would be, which must not count."""
    small = 0.001 * (int(run.id, 16) % 3)
    if not isinstance(run.task, FewShot):
        return 0.9 - 0.1 * (run.recipe.lr != OWN[run.recipe.optimizer]) + small
    if run.init is None:
        return 0.3
    recipe = run.init.recipe
    return WORTH[recipe.optimizer] + 0.2 * (recipe.lr != OWN[recipe.optimizer]) + small


def test_each_optimiser_counts_at_the_rate_that_upstream_validation_chose(as_if_made):
    found = STUDY.draw(as_if_made(plan(SETTINGS), score), SETTINGS)
    (verdict,) = decide(found.verdicts)
    assert verdict.outcome == "holds" and verdict.interval.mean == pytest.approx(0.1, abs=0.002)
    assert verdict.data == "digits and digits, classes 3, 5, 8"
    downstream, rates = found.tables
    assert [key[0] for key in downstream.frame.index] == ["digits", "digits, classes 3, 5, 8", MEAN]
    assert rates.frame["own rate"].tolist() == [0.01, 0.1]
    assert found.figures["figure"].panels[0][0].title == MEAN


def test_a_claim_on_resnets_is_not_judged_on_a_vit(as_if_made):
    both = replace(SETTINGS, models=("ViT", "ResNet"))
    found = STUDY.draw(as_if_made(plan(both), score), both)
    alone = STUDY.draw(as_if_made(plan(SETTINGS), score), SETTINGS)
    assert [one.values for one in found.verdicts] == [one.values for one in alone.verdicts]
    assert {key[1] for key in found.tables[0].frame.index} == set(both.model_names())
    vit = replace(SETTINGS, models=("ViT",))
    assert not STUDY.draw(as_if_made(plan(vit), score), vit).verdicts


def test_untrained_weights_that_are_as_good_are_a_failed_precondition(as_if_made):
    rows = as_if_made(
        plan(SETTINGS), lambda run: 0.68 if isinstance(run.task, FewShot) and not run.init else score(run)
    )
    (verdict,) = decide(STUDY.draw(rows, SETTINGS).verdicts)
    assert verdict.outcome == "cannot be tested here" and "untrained" in verdict.failed[0]


def test_a_pre_training_that_was_cut_short_is_counted_once_whatever_it_is_probed_on(as_if_made):
    rows = as_if_made(plan(SETTINGS), score)
    trained = rows["task.kind"] == "classify"
    rows.loc[trained, "best_step"] = rows.loc[trained, "steps"]
    (verdict,) = STUDY.draw(rows, SETTINGS).verdicts
    cut = [words for words in verdict.failed if "cut short" in words]
    assert [words.rpartition("last in ")[2] for words in cut] == [f"{SETTINGS.seeds} of {SETTINGS.seeds} runs"] * 2


def test_unequal_trials_and_no_downstream_set_are_refused():
    with pytest.raises(ValueError, match="as many rates"):
        plan(replace(SETTINGS, sgd_rates=(0.1,)))
    with pytest.raises(ValueError, match="--downstream"):
        plan(replace(SETTINGS, downstream=()))
