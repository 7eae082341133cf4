"""Section 3.1: what a permutation takes is told per family, and everything else about two trainings is the same."""

import random
from collections import defaultdict
from dataclasses import replace

import pytest

from experiments.inductive_bias import PRESETS, STUDY, plan
from vitlab.claims.rule import decide
from vitlab.report.evidence import Evidence
from vitlab.runs.stored import read_rows
from vitlab.study.study import main

QUICK = PRESETS["quick"]
LOST = {("ResNet", 4): 0.1, ("ResNet", 1): 0.2, ("HybridViT", 1): 0.1}


def score(run) -> float:
    lost = LOST.get((run.model.partition("-")[0], run.data.shuffle), 0.0)
    return 0.6 + run.data.train_size / 2000 - lost + 0.001 * (int(run.id, 16) % 3)


def made(as_if_made, settings):
    rows = as_if_made(plan(settings), score)
    return rows.assign(train_images=rows["data.train_size"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_permutation_is_all_that_tells_two_trainings_apart(preset):
    settings = PRESETS[preset]
    alike = defaultdict(list)
    for run in plan(settings):
        alike[replace(run, data=replace(run.data, shuffle=None))].append(run.data.shuffle)
    assert set(map(tuple, alike.values())) == {(None, *settings.sides)}
    assert len(alike) == len(settings.model_names()) * len(settings.train_sizes) * settings.seeds
    assert settings.sides[0] == settings.patch and settings.sides[1] == 1


def test_what_each_family_loses_is_told(as_if_made):
    found = STUDY.draw(made(as_if_made, QUICK), QUICK)
    verdicts = {(v.claim.id, v.about["after"]): v for v in decide(found.verdicts)}
    patches, pixels = "patches of 4 px permuted", "single pixels permuted"
    assert {v.outcome for v in verdicts.values()} == {"holds"} and len(verdicts) == 3
    assert verdicts["bias.locality", patches].interval.mean == pytest.approx(0.1, abs=0.003)
    assert verdicts["bias.locality", pixels].interval.mean == pytest.approx(0.2, abs=0.003)
    assert verdicts["bias.blind", patches].interval.mean == pytest.approx(0.0, abs=0.003)
    assert [v.claim.primary for v in found.verdicts] == [True, True, False]
    lost = found.tables[1].frame
    assert list(lost.columns) == list(QUICK.train_sizes)
    assert lost.loc[("HybridViT-Pico/4", pixels), 200].mean == pytest.approx(0.1, abs=0.003)
    assert [panel.title for panel in found.figures["figure"].panels[0]] == [patches, pixels]
    assert (
        "permuted ResNet-Pico loses 10 points more than ViT-Pico/4"
        in replace(found, verdicts=decide(found.verdicts)).answer
    )


def test_squares_that_cut_a_vits_patches_say_nothing_of_where_these_lie(as_if_made):
    settings = replace(QUICK, sides=(8, 4, 2, 1))
    found = STUDY.draw(made(as_if_made, settings), settings).verdicts
    asked = [one.about["after"] for one in found if one.claim.id == "bias.blind"]
    assert asked == [f"patches of {side} px permuted" for side in (8, 4)]
    assert asked == [one.about["after"] for one in found if one.claim.id == "bias.locality" and one.claim.primary]


def test_a_seed_that_lacks_a_training_takes_no_part_in_a_verdict(as_if_made):
    rows = made(as_if_made, QUICK)
    lacking = rows["seed"].eq(2) & rows["data.train_size"].eq(100) & rows["model"].eq("HybridViT-Pico/4")
    for verdict in STUDY.draw(rows[~lacking], QUICK).verdicts:
        assert list(verdict.values) == [0, 1, 3, 4]


def test_every_part_of_the_rows_is_drawn_or_declined(as_if_made):
    rows, draws = made(as_if_made, replace(QUICK, seeds=2)), random.Random(0)
    runs = sorted(rows["run"].unique())
    for size in (1, 2, 3, 10, 40, 53):
        found = STUDY.draw(rows[rows["run"].isin(draws.sample(runs, size))], QUICK)
        assert Evidence.loads(replace(found, verdicts=decide(found.verdicts)).dumps()).tables
    assert STUDY.draw(rows.iloc[:0], QUICK).answer == "Nothing has been compared yet."


def test_the_study_runs(tmp_path):
    words = [
        "--models",
        "ViT",
        "ResNet",
        "--train_sizes",
        "50",
        "--steps_by_size.50",
        "4",
        "--seeds",
        "1",
        "--wandb",
        "off",
    ]
    places = ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as end:
        main(STUDY, [*words, *places, "--warmup_steps", "1", "--jobs", "1"])
    assert end.value.code == 0
    folder = tmp_path / "results" / "inductive_bias" / "digits"
    rows = read_rows(folder)
    assert sorted(rows["data.shuffle"].fillna(0)) == [0] * 4 + [1] * 4 + [4] * 4
    assert (folder / "figure.png").stat().st_size > 10_000
