"""D.6: arms of more and of equal compute, each at the rate that validation chose, none at an edge."""

import random
from dataclasses import replace

import pytest

from experiments.axial import FULL, HALF, PLAIN, PRESETS, STUDY, Axial, plan
from vitlab.claims.rule import decide
from vitlab.models import count
from vitlab.report.evidence import Evidence
from vitlab.runs.stored import read_rows
from vitlab.study.study import main

QUICK = PRESETS["quick"]
BEST = {PLAIN: 0.003, HALF: 0.01, FULL: 0.01}
SCORE = {PLAIN: 0.6, HALF: 0.6, FULL: 0.75}


def arm(run) -> str:
    options = dict(run.options)
    return PLAIN if "attention" not in options else FULL if options["depth"] == QUICK.depth else HALF


def made(as_if_made, best=BEST, settings=QUICK):
    def score(run):
        return SCORE[arm(run)] - 0.1 * (run.recipe.lr != best[arm(run)]) + 0.001 * (int(run.id, 16) % 3)

    rows = as_if_made(plan(settings), score)
    flops = {
        run.id: 3.0 * count(run.model, image_size=8, num_classes=10, **dict(run.options)).flops
        for run in plan(settings)
    }
    return rows.assign(train_flops_per_image=rows["run"].map(flops))


def test_compute_is_equal_with_half_the_layers_and_twice_with_all():
    flops = {arm(run): count(run.model, image_size=8, num_classes=10, **dict(run.options)).flops for run in plan(QUICK)}
    assert flops[HALF] / flops[PLAIN] == pytest.approx(1, abs=0.12)  # attention over a line is cheaper, its sums too
    assert flops[FULL] / flops[HALF] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_arm_tries_the_same_rates_with_the_same_seeds(preset):
    settings = PRESETS[preset]
    tried = {}
    for run in plan(settings):
        tried.setdefault((run.model, arm(run) if preset == "quick" else run.options), set()).add(
            (run.seed, run.recipe.lr)
        )
    assert len(set(map(frozenset, tried.values()))) == 1 and len(settings.rates) >= 3


def test_each_arm_is_judged_at_its_own_rate(as_if_made):
    found = STUDY.draw(made(as_if_made), QUICK)
    more, equal = decide(found.verdicts)
    assert (more.claim.id, more.outcome) == ("d6.axial", "holds") and more.claim.primary
    assert more.interval.mean == pytest.approx(0.15, abs=0.003) and more.about["times"] == "1.9"
    assert (equal.claim.id, equal.outcome) == ("d6.equal", "undecided")
    assert equal.interval.mean == pytest.approx(0.0, abs=0.003)
    assert list(found.tables[0].frame["own rate"]) == list(BEST.values())
    lines = {one.name: len(one.points) for one in found.figures["figure"].series}
    assert lines == {"plain": 1, "axial": 2}


def test_a_best_rate_at_the_edge_decides_nothing(as_if_made):
    for verdict in STUDY.draw(made(as_if_made, BEST | {PLAIN: max(QUICK.rates)}), QUICK).verdicts:
        assert "the rate of plain attention, 0.03, is at the edge" in verdict.failed[0]


def test_an_odd_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="give 2, 4, 6"):
        Axial(depth=3).arms()


def test_every_part_of_the_rows_is_drawn_or_declined(as_if_made):
    rows, draws = made(as_if_made, settings=replace(QUICK, seeds=2)), random.Random(0)
    runs = sorted(rows["run"].unique())
    for size in (1, 2, 3, 8, 16, 23):
        found = STUDY.draw(rows[rows["run"].isin(draws.sample(runs, size))], QUICK)
        assert Evidence.loads(replace(found, verdicts=decide(found.verdicts)).dumps()).tables
    assert STUDY.draw(rows.iloc[:0], QUICK).answer == "Nothing has been compared yet."


def test_the_study_runs(tmp_path):
    words = ["--rates", "0.003", "0.01", "--steps", "4", "--evaluations", "2", "--warmup_steps", "1", "--seeds", "1"]
    places = ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--wandb", "off", "--jobs", "1"]
    with pytest.raises(SystemExit) as end:
        main(STUDY, [*words, *places])
    assert end.value.code == 0
    folder = tmp_path / "results" / "axial" / "digits"
    assert read_rows(folder)["options.attention"].value_counts().to_dict() == {"axial": 8}
    assert (folder / "figure.png").stat().st_size > 10_000
