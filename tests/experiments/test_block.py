"""The deck's block: both at the same rates, a verdict for each depth, and how many runs train at all."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from experiments.block import PRESETS, STUDY, plan
from vitlab.claims.rule import decide
from vitlab.runs.stored import drawable

SETTINGS = replace(PRESETS["quick"], depths=(2, 6), rates=(0.001, 0.003, 0.01))


def post(run) -> bool:
    return dict(run.options).get("norm") == "post"


def score(run) -> float:
    """Post-norm with many layers trains at the smallest two rates alone, and worse."""
    if post(run) and dict(run.options)["depth"] == 6 and run.recipe.lr == 0.01:
        return 0.1
    lost = 0.05 if post(run) and dict(run.options)["depth"] == 6 else 0.0
    return 0.8 - lost - (run.recipe.lr != 0.003) * 0.02 + 0.001 * (int(run.id, 16) % 3)


def test_every_depth_has_its_verdict_and_runs_that_train_are_counted(as_if_made):
    runs = plan(SETTINGS)
    assert len(runs) == 2 * 2 * 3 * 4 and {run.options for run in runs if post(run)} == {
        (("depth", depth), ("norm", "post"), ("activation", "relu")) for depth in (2, 6)
    }
    found = STUDY.draw(as_if_made(runs, score), SETTINGS)
    verdicts = {verdict.about["layers"]: verdict for verdict in decide(found.verdicts)}
    assert verdicts[2].outcome == verdicts[6].outcome == "holds"
    assert verdicts[6].interval.mean == pytest.approx(0.05, abs=0.002)
    trains = found.tables[1].frame
    assert trains["rate 0.01"].tolist() == ["4 of 4", "4 of 4", "4 of 4", "0 of 4"]
    assert [panel.title for panel in found.figures["figure"].panels[0]] == [
        "ViT-Pico/2, 2 layers",
        "ViT-Pico/2, 6 layers",
    ]
    assert dict(found.figures["figure"].panels[0][0].references) == {"chance": 0.1}


def test_sentences_of_several_models_say_which(as_if_made):
    own = replace(SETTINGS, models=("ViT", "HybridViT"), depths=(2,))
    found = STUDY.draw(as_if_made(plan(own), score), own)
    for model in own.model_names():
        assert f"pre-norm, GELU ({model}) is" in replace(found, verdicts=decide(found.verdicts)).answer


def test_runs_that_diverged_count_as_runs_that_do_not_train(as_if_made):
    runs = plan(SETTINGS)
    rows, lost = as_if_made(runs, score), {run.id for run in runs if post(run) and run.recipe.lr == 0.01 and run.seed}
    gone = rows["run"].isin(lost)
    failed = rows[gone & (rows["split"] == "test")].assign(status="failed", failure="certain")
    failed = failed.assign(split=None, score=math.nan, classes=math.nan, title=None)
    killed = rows[(rows["seed"] == 3) & ~gone & (rows["split"] == "test")].assign(status="failed", failure="killed")
    left = pd.concat([rows[~gone & (rows["seed"] < 3)], failed, killed]).filter(regex=r"^(?!init\.)")
    found = STUDY.draw(drawable(left, diverged=STUDY.diverged), SETTINGS)
    assert found.tables[1].frame["rate 0.01"].tolist() == ["3 of 3", "1 of 4", "3 of 3", "0 of 4"]
    assert found.tables[1].frame["rate 0.003"].tolist() == ["3 of 3"] * 4, "who was killed has not diverged"
    without = STUDY.draw(drawable(left), SETTINGS)
    assert without.tables[0].text() == found.tables[0].text() and without.verdicts == found.verdicts
    assert not STUDY.draw(drawable(left[left["status"] == "failed"], diverged=True), SETTINGS).tables


def test_post_norm_ahead_speaks_against_the_claim(as_if_made):
    rows = as_if_made(plan(SETTINGS), lambda run: score(run) - 0.2 * (not post(run)))
    assert {verdict.outcome for verdict in decide(STUDY.draw(rows, SETTINGS).verdicts)} == {"does not hold"}
