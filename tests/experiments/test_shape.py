"""D.2: one dimension at a time; its worth is what its accuracies gain per doubling of FLOPs."""

import math
import random
from dataclasses import replace

import pytest

from experiments.shape import PRESETS, STUDY, plan
from vitlab.claims.rule import decide
from vitlab.models import count
from vitlab.report.evidence import Evidence
from vitlab.runs.stored import read_rows
from vitlab.study.study import main

QUICK = PRESETS["quick"]
NAMES = {
    value: name
    for name, shape in QUICK.arms().items()
    for value in [tuple(sorted((part.removeprefix("options."), size) for part, size in shape.items()))]
}
GAIN = {"depth": 0.04, "width": 0.01, "MLP width": 0.0, "smaller patches": 0.02, "all together": 0.02}


def cost(run):
    return count(run.model, image_size=16, num_classes=10, **dict(run.options))


def arm(run) -> str:
    return NAMES[tuple(sorted(dict(run.options).items()))]


def made(as_if_made, settings=QUICK):
    runs = plan(settings)
    costs = {arm(run): cost(run) for run in runs}

    def score(run):
        doublings = math.log2(costs[arm(run)].flops / costs["base"].flops)
        return 0.6 + GAIN.get(arm(run).partition(" x")[0], 0.0) * doublings + 0.0005 * (int(run.id, 16) % 3)

    rows = as_if_made(runs, score)
    by_run = {run.id: costs[arm(run)] for run in runs}
    return rows.assign(
        parameters=rows["run"].map(lambda run: by_run[run].parameters),
        train_flops_per_image=rows["run"].map(lambda run: 3.0 * by_run[run].flops),
    )


def test_each_shape_changes_one_dimension_of_the_base_or_all():
    base = QUICK.arms()["base"]
    for name, shape in QUICK.arms().items():
        changed = [part for part, value in shape.items() if value != base[part]]
        assert len(changed) == (0 if name == "base" else 4 if name.startswith("all") else 1), name
    costs = {arm(run): cost(run) for run in plan(replace(QUICK, seeds=1))}
    assert len(costs) == len(QUICK.arms()) == 14
    finer, base_cost = costs["smaller patches x 2"], costs["base"]
    assert finer.parameters == pytest.approx(base_cost.parameters, rel=0.05) and finer.flops > 4 * base_cost.flops


def test_what_a_doubling_gains_is_told(as_if_made):
    found = STUDY.draw(made(as_if_made), QUICK)
    depth, patch = decide(found.verdicts)
    assert (depth.claim.id, depth.outcome) == ("d2.depth", "holds")
    assert depth.interval.mean == pytest.approx(0.03, abs=0.001)
    assert (patch.claim.id, patch.outcome) == ("d2.patch", "holds")
    assert patch.interval.mean == pytest.approx(0.02, abs=0.001)
    panels = found.figures["figure"].panels[0]
    assert [panel.title for panel in panels] == ["compute (training MFLOPs an image)", "parameters (M)"]
    for panel in panels:
        assert {one.name: len(one.points) for one in panel.series} == {
            "depth": 4, "width": 4, "MLP width": 4, "smaller patches": 3, "all together": 3,
        }  # fmt: skip


def test_rates_that_the_study_tried_itself_are_not_doubted(as_if_made):
    rows = made(as_if_made, own := replace(QUICK, rates=(0.004, 0.008, 0.016), seeds=3))
    rows["score"] -= 0.01 * (rows["recipe.lr"] != 0.008)
    assert [one.failed for one in STUDY.draw(rows, own).verdicts] == [(), ()]
    assert all("none of those" in one.failed[0] for one in STUDY.draw(rows.query("`recipe.lr` == 0.008"), own).verdicts)


def test_every_part_of_the_rows_is_drawn_or_declined(as_if_made):
    rows, draws = made(as_if_made, replace(QUICK, seeds=2)), random.Random(0)
    runs = sorted(rows["run"].unique())
    for size in (1, 2, 3, 8, 16, 27):
        found = STUDY.draw(rows[rows["run"].isin(draws.sample(runs, size))], QUICK)
        assert Evidence.loads(replace(found, verdicts=decide(found.verdicts)).dumps()).tables
    assert STUDY.draw(rows.iloc[:0], QUICK).answer == "Nothing has been compared yet."


@pytest.mark.parametrize("change", [{"models": ("ViT", "HybridViT")}, {"sizes": ("Pico", "Nano")}])
def test_more_than_one_vit_is_refused_since_its_shape_is_what_is_set(change):
    with pytest.raises(ValueError, match="those of one plain ViT, and asked for are ViT-Pico/4, "):
        plan(replace(QUICK, **change))


def test_a_factor_that_changes_nothing_leaves_the_base_in_every_dimension():
    assert list(replace(QUICK, factors=(1, 2), finer=(1,)).arms()) == [
        *("base", "depth x 2", "width x 2", "MLP width x 2"),
    ]


def test_the_study_runs(tmp_path):
    words = [
        "--factors",
        "2",
        "--finer",
        "2",
        "--steps",
        "4",
        "--evaluations",
        "2",
        "--warmup_steps",
        "1",
        "--seeds",
        "1",
    ]
    places = ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--wandb", "off", "--jobs", "1"]
    with pytest.raises(SystemExit) as end:
        main(STUDY, [*words, *places])
    assert end.value.code == 0
    folder = tmp_path / "results" / "shape" / "digits"
    assert read_rows(folder)["parameters"].nunique() == 6
    assert (folder / "figure.png").stat().st_size > 10_000
