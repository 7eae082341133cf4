"""D.4: the arms are the paper's table, and each difference is told by the claim that it belongs to."""

from dataclasses import replace

import pytest

from experiments.position import ARMS, BASE, PRESETS, STUDY, plan
from vitlab.claims.rule import decide
from vitlab.models import create

QUICK = PRESETS["quick"]
LOST = {"none": 0.1, "relative": 0.0, "2d": 0.0, None: 0.0}


def kind(run) -> str | None:
    return dict(run.options).get("positions")


def test_the_arms_are_the_eight_cells_of_the_table_and_each_is_a_model_of_its_own():
    runs = {name: run for name, run in zip(ARMS, plan(replace(QUICK, seeds=1)), strict=True)}
    assert len({run.id for run in runs.values()}) == len(ARMS) == 8
    assert runs[BASE].options == ()  # the default, whose rows other studies make too
    assert {run.recipe.lr for run in runs.values()} == {QUICK.learning_rates["ViT"]}
    tables = {name: create(run.model, image_size=8, num_classes=10, **dict(run.options)) for name, run in runs.items()}
    sizes = {name: sum(p.numel() for p in model.parameters()) for name, model in tables.items()}
    assert sizes[BASE] - sizes["none"] == 17 * 64 == (sizes["1-D at every layer"] - sizes["none"]) / 2
    assert sizes["1-D at all layers, shared"] == sizes[BASE] and sizes["2-D at the stem"] < sizes[BASE]


def test_a_loss_without_positions_is_told_and_alike_arms_are(as_if_made):
    rows = as_if_made(plan(QUICK), lambda run: 0.8 - LOST[kind(run)] + 0.001 * (int(run.id, 16) % 3))
    found = STUDY.draw(rows, QUICK)
    verdicts = {(v.claim.id, v.about["second"]): v for v in decide(found.verdicts)}
    assert {v.outcome for v in verdicts.values()} == {"holds"} and len(verdicts) == 5
    assert verdicts["d4.some", "none"].interval.mean == pytest.approx(0.1, abs=0.002)
    table = found.tables[0].frame
    assert [key[1] for key in table.index] == ["none", "1-D", "2-D", "relative"] and table.shape == (4, 3)
    bars = {point.x: point.interval.mean for point in found.figures["figure"].series[0].points}
    assert list(bars) == [name for name in ARMS if name != BASE]
    assert bars["none"] == pytest.approx(-0.1, abs=0.002)


def test_a_rate_that_nobody_tuned_is_a_doubt_and_a_choice_of_rates_is_not(as_if_made):
    one = replace(QUICK, learning_rates={"ViT": 0.5})
    assert (
        "none of those that were tried" in STUDY.draw(as_if_made(plan(one), lambda run: 0.8), one).verdicts[0].failed[0]
    )
    three = replace(QUICK, rates=(0.1, 0.5, 1.0))
    rows = as_if_made(plan(three), lambda run: 0.8 - abs(run.recipe.lr - 0.5) / 10)
    assert not any(verdict.failed for verdict in STUDY.draw(rows, three).verdicts)
