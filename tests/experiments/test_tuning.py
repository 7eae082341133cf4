"""The rate of a family: chosen on points that all rates have, whether the study was stopped or some diverged."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from experiments.tuning import STUDY, Tuning, plan
from vitlab.runs.stored import drawable

RATES = (0.001, 0.003, 0.01)
SETTINGS = Tuning(train_sizes=(100, 800), seeds=2, models=("ViT", "ResNet"), rates=RATES)
VIT, CNN = "ViT-Pico/2", "ResNet-Pico"


def score(run) -> float:
    """The larger the rate the better, up to the middle one of the ViT; and more images are far better."""
    best = 0.003 if run.model == VIT else 0.01
    return 0.5 + 0.3 * (run.data.train_size == 800) - 0.1 * abs(math.log10(run.recipe.lr / best))


@pytest.fixture
def drawn(as_if_made):
    """`drawn(count, lost)`: the evidence of the plan's first runs, of which those with ids in `lost` diverged."""
    return lambda count=24, lost=(): evidence(as_if_made(plan(SETTINGS)[:count], score), lost)


def evidence(rows: pd.DataFrame, lost):
    rows = rows.assign(train_images=rows["data.train_size"])
    gone = rows["run"].isin(lost)
    failed = rows[gone & (rows["split"] == "test")].assign(status="failed", failure="certain")
    failed = failed.assign(split=None, score=math.nan)
    found = pd.concat([rows[~gone], failed]).filter(regex=r"^(?!init\.)")
    return STUDY.draw(drawable(found, diverged=STUDY.diverged), SETTINGS)


def test_each_family_has_the_rate_that_is_best_over_sizes_and_seeds(drawn):
    found = drawn()
    assert found.summary == f"Chosen by mean validation accuracy: {CNN} 0.01, {VIT} 0.003; 12 trials for each model."
    assert found.tables[0].frame["at the edge of those tried"].tolist() == ["yes", "no"]
    (panels,) = found.figures["figure"].panels
    assert [panel.title.split(" ", 1)[1] for panel in panels] == ["training images"] * 2


@pytest.mark.parametrize(
    ("made", "trials"),
    [(7, "3 trials for each model"), (9, f"trials: {CNN} 3, {VIT} 6"), (10, f"trials: {CNN} 3, {VIT} 6")],
)
def test_where_the_study_was_stopped_changes_no_rate(drawn, made, trials):
    """With 7 and 10 runs the smallest rate has one more of the sizes on which every rate does better."""
    assert drawn(made).summary == f"Chosen by mean validation accuracy: {CNN} 0.01, {VIT} 0.003; {trials}."


def test_a_rate_that_diverged_on_one_size_cannot_win_though_it_is_better_on_the_other(drawn):
    of_cnn = [run for run in plan(SETTINGS) if run.model == CNN]
    lost = {run.id for run in of_cnn if run.recipe.lr == 0.01 and run.data.train_size == 800}
    found = drawn(lost=lost).tables[0].frame
    assert found.loc[CNN].tolist() == [0.003, 12, "no"] and found.loc[VIT, "rate"] == 0.003
    every = {run.id for run in of_cnn if run.seed == of_cnn[0].seed}
    assert drawn(lost=every).tables[0].frame.index.tolist() == [VIT], "no rate is left"


def test_only_families_that_are_trained_must_have_as_many_trials():
    wider = replace(SETTINGS, rates=(*RATES, 0.03), rates_by_family={"ResNet": RATES})
    with pytest.raises(ValueError, match="ResNet 3, ViT 4|ViT 4, ResNet 3"):
        plan(wider)
    assert {run.recipe.lr for run in plan(replace(wider, models=("ViT",)))} == {*RATES, 0.03}
    both = plan(replace(wider, rates_by_family={"ResNet": (0.01, 0.03, 0.1, 0.3)}))
    assert {run.recipe.lr for run in both if run.model == CNN} == {0.01, 0.03, 0.1, 0.3}
