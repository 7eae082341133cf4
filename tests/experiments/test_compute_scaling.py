"""Figure 5: compute is counted, fronts are chosen by validation, and what others trained is not trained again."""

import math
import random
from dataclasses import replace
from functools import cache

import pytest

from experiments.compute_scaling import PRESETS, STUDY, ComputeScaling, known, plan
from experiments.data_scaling import DataScaling
from experiments.data_scaling import plan as plan_by_size
from vitlab.claims.rule import decide
from vitlab.models import count
from vitlab.report.evidence import Evidence
from vitlab.report.families import family
from vitlab.runs.stored import frame, read_rows, to_csv
from vitlab.study.study import main
from vitlab.tasks.settings import Recipe

QUICK = PRESETS["quick"]
TIMES = {"ViT": 1.0, "HybridViT": 2.0, "ResNet": 0.25}  # how far a FLOP goes


@cache
def counted(model):
    return count(model, image_size=8, num_classes=10)


def flops(run) -> float:
    return 3.0 * counted(run.model).flops


def compute(run) -> float:
    rounds, steps = run.recipe.rounds(1149)
    return flops(run) * rounds * steps * run.recipe.batch_size


def score(run) -> float:
    return 0.3 + 0.05 * math.log2(TIMES[family(run.model)] * compute(run) / 1e9) + 0.0005 * (int(run.id, 16) % 3)


def made(as_if_made, runs):
    rows, by_run = as_if_made(runs, score), {run.id: run for run in runs}
    return rows.assign(
        train_images=rows["data.train_size"].fillna(1149),
        steps=rows["run"].map(lambda run: math.prod(by_run[run].recipe.rounds(1149))),
        train_flops_per_image=rows["run"].map(lambda run: flops(by_run[run])),
        parameters=rows["run"].map(lambda run: counted(by_run[run].model).parameters),
    )


def test_compute_of_a_vit_is_the_closed_form(as_if_made):
    runs = [run for run in plan(replace(QUICK, seeds=1)) if run.model == "ViT-Pico/2"]
    d, layers, mlp, n, t, pixels, classes = 64, 2, 256, 16, 17, 12, 10
    forward = 2 * (n * pixels * d + layers * t * (4 * d * d + 2 * d * mlp + 2 * t * d) + d * classes)
    shown = STUDY.draw(made(as_if_made, runs), QUICK).figures["figure"].series[0].points
    assert [point.x * 1e12 for point in shown] == pytest.approx([3 * forward * 32 * steps for steps in QUICK.lengths])


def test_the_ratio_of_compute_and_the_leads_are_told(as_if_made):
    found = STUDY.draw(made(as_if_made, plan(QUICK)), QUICK)
    less, hybrid, vanish, more = decide(found.verdicts)
    assert (less.claim.id, less.outcome, less.about["factor"]) == ("compute.less", "holds", "4")
    assert less.interval.mean == pytest.approx(2.0, abs=0.05)
    assert (hybrid.claim.id, hybrid.outcome) == ("compute.hybrid", "holds")
    assert hybrid.interval.mean == pytest.approx(0.05, abs=0.005)
    assert (vanish.claim.id, vanish.outcome) == ("compute.vanish", "undecided")
    assert vanish.interval.mean == pytest.approx(0.0, abs=0.005)
    assert more.claim.id == "compute.more" and more.interval.mean > 0.1
    ratios = found.tables[1].frame.iloc[:, 0]
    assert ratios["ResNet / ViT"].mean == pytest.approx(4.0, abs=0.15)
    assert ratios["HybridViT / ViT"].mean == pytest.approx(0.5, abs=0.03)
    front, every = found.figures["figure"].panels[0]
    assert [one.name for one in front.series] == ["ViT", "HybridViT", "ResNet"] and len(every.series) == 9


def test_a_family_whose_rate_nobody_tried_spoils_no_claim_on_others(as_if_made):
    settings = replace(QUICK, learning_rates={**QUICK.learning_rates, "HybridViT": 0.005})
    found = STUDY.draw(made(as_if_made, plan(settings)), settings).verdicts
    assert [one.claim.id for one in found if not one.failed] == ["compute.less", "compute.more"]
    for words in (one.failed[0] for one in found if one.failed):
        assert words.startswith("the rate of HybridViT-") and "0.005, is none of those" in words


def test_lengths_are_in_steps_alone():
    with pytest.raises(ValueError, match="leave --epochs at None"):
        plan(ComputeScaling(recipe=Recipe(epochs=3)))


def test_what_others_trained_is_drawn_and_not_trained_again(as_if_made, tmp_path):
    """Rows at another length count where data and recipe are the same; those of fewer images and other rates do not."""
    recipe = replace(QUICK.recipe, steps=60, warmup_steps=6, evaluations=4)
    other = DataScaling(
        models=("ViT", "ResNet"), train_sizes=(400, 1149), seeds=2, recipe=recipe,
        learning_rates={"ViT": QUICK.learning_rates["ViT"], "ResNet": 0.5},
    )  # fmt: skip
    rows = made(as_if_made, plan_by_size(other)).assign(study="data_scaling")
    (tmp_path / "rows.csv").write_text(to_csv(frame(rows.loc[:, ~rows.columns.str.startswith("init.")])))
    settings = replace(QUICK, seeds=2, lengths=(15, 60), also=(str(tmp_path), str(tmp_path / "nothing")))
    there = known(settings)
    assert {(run.model, run.recipe.steps, run.seed) for run in there} == {("ViT-Pico/2", 60, 0), ("ViT-Pico/2", 60, 1)}
    runs = plan(settings)
    assert len(runs) == 9 * 2 * 2 and sum(run in there for run in runs) == 2
    assert known(replace(settings, seeds=3)) == {}, "what only some seeds have would make fronts of different things"


def test_every_part_of_the_rows_is_drawn_or_declined(as_if_made):
    rows, draws = made(as_if_made, plan(replace(QUICK, seeds=2))), random.Random(0)
    runs = sorted(rows["run"].unique())
    for size in (1, 2, 3, 8, 30, 53):
        found = STUDY.draw(rows[rows["run"].isin(draws.sample(runs, size))], QUICK)
        assert Evidence.loads(replace(found, verdicts=decide(found.verdicts)).dumps()).tables
    assert STUDY.draw(rows.iloc[:0], QUICK).answer == "Nothing has been compared yet."


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_three_sizes_of_each_family_and_several_lengths(preset):
    settings = replace(PRESETS[preset], also=())
    runs = plan(settings)
    models = 6 if preset == "eurosat_cpu" else 9  # no rate was tried for the hybrid there
    assert len({run.id for run in runs}) == len(runs) == models * settings.seeds * len(settings.lengths)
    assert all(run.recipe.warmup_steps <= run.recipe.steps // 10 for run in runs) and len(settings.lengths) > 1


def test_the_study_runs_and_takes_what_is_there(as_if_made, tmp_path, capsys):
    small = ComputeScaling(
        models=("ViT", "ResNet"), sizes=("Pico",), lengths=(4,), seeds=1, recipe=Recipe(evaluations=2)
    )
    rows = made(as_if_made, plan(small)).query("model == 'ResNet-Pico'").assign(study="another")
    (tmp_path / "rows.csv").write_text(to_csv(frame(rows.loc[:, ~rows.columns.str.startswith("init.")])))
    words = [
        "--models",
        "ViT",
        "ResNet",
        "--sizes",
        "Pico",
        "--lengths",
        "4",
        "8",
        "--seeds",
        "1",
        "--evaluations",
        "2",
    ]
    words += [
        "--batch_size",
        "64",
        "--warmup_steps",
        "40",
        "--learning_rates.ViT",
        "1e-3",
        "--learning_rates.ResNet",
        "1e-3",
    ]
    places = ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs"), "--wandb", "off", "--jobs", "1"]
    with pytest.raises(SystemExit) as end:
        main(STUDY, [*words, *places, "--also", str(tmp_path)])
    assert end.value.code == 0 and "4 runs: 1 done, 3 to do" in " ".join(capsys.readouterr().out.split())
    folder = tmp_path / "results" / "compute_scaling" / "digits"
    assert read_rows(folder)["study"].value_counts().to_dict() == {"compute_scaling": 6, "another": 2}
    assert (folder / "figure.png").stat().st_size > 10_000
