"""The few-shot study: its presets, its plan, what it makes of rows, and `quick` made smaller from end to end."""

from dataclasses import replace

import pandas as pd
import pytest
from experiments.few_shot_evidence import MEAN, both_measures, correlations, with_mean
from experiments.upstream import fine_tuned, some_classes, starts

from experiments import data_scaling
from experiments.few_shot import PRESETS, STUDY, plan
from vitlab.study.command_line import parse
from vitlab.study.study import main
from vitlab.tasks.settings import FewShot

LOCAL = ("tiny_imagenet", "tiny_imagenet_cpu")  # these two need paths of local copies to be planned


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_parses_to_itself_and_can_be_planned(name):
    settings, how = parse("experiments.few_shot", "", PRESETS, ["--preset", name])
    assert settings == PRESETS[name] and how.preset == name
    if name in LOCAL:
        settings = replace(settings, upstream="digits", downstream=("digits", "eurosat"))
    seeds, models, sets = settings.seeds, len(data_scaling.model_names(settings)), len(settings.downstream)
    assert len(plan(settings)) == seeds * models * sets * (1 + len(settings.rates))


def test_every_evaluation_of_a_model_and_seed_starts_from_one_pretraining():
    settings = replace(PRESETS["quick"], seeds=2)
    chains = {(run.model, run.seed): set() for run in plan(settings)}
    for run in plan(settings):
        chains[run.model, run.seed].add(run.init.id)
        assert run.init.data.classes == (0, 1, 2, 4, 6, 7, 9) and run.init.seed == run.seed
    assert all(len(ids) == 1 for ids in chains.values()) and len(set.union(*chains.values())) == 6


def test_fine_tuning_is_the_papers():
    for run in plan(PRESETS["paper"]):
        if not isinstance(run.task, FewShot):
            recipe = run.recipe
            assert (recipe.optimizer, recipe.schedule, recipe.weight_decay, recipe.grad_clip) == ("sgd", "cosine", 0, 1)
            assert recipe.batch_size == 512 and recipe.lr in (0.001, 0.003, 0.01, 0.03)


def test_a_checkpoint_takes_the_place_of_pretraining():
    settings = replace(PRESETS["quick"], checkpoint="w.npz", models=("ViT-B/16",), seeds=1)
    assert {(run.model, run.init) for run in plan(settings)} == {("ViT-B/16", "w.npz")}
    with pytest.raises(ValueError, match="--models"):
        starts(settings, ["ViT-B/16", "ViT-B/32"])


def test_classes_of_a_set_are_written_behind_an_at_sign():
    assert some_classes("digits@3,5")[0].classes == (3, 5)
    assert some_classes("digits@3,5")[0].name == "digits@3,5" and some_classes("digits")[0].classes == ()
    for wrong in ("digits@3", "digits@3,x", "digits@3,10"):
        with pytest.raises(ValueError, match="0 to 9"):
            some_classes(wrong)


def row(**about):
    usual = {"task": "classify", "init": "a", "model": "M", "data": "d", "train_size": 9, "image_size": 8, "seed": 0}
    return {**usual, "positions": "interpolate", **about}


def test_the_rate_is_chosen_on_validation_alone_over_all_seeds():
    rows = pd.DataFrame(
        [
            row(lr=0.1, seed=0, validation_best=0.9, test_best=0.1),
            row(lr=0.1, seed=1, validation_best=0.5, test_best=0.2),
            row(lr=0.01, seed=0, validation_best=0.8, test_best=0.3),
            row(lr=0.01, seed=1, validation_best=0.8, test_best=0.4),
            row(lr=0.1, model="N", validation_best=0.7, test_best=0.9),
            row(lr=0.01, model="N", validation_best=0.7, test_best=0.5),
            row(lr=0.01, model="upstream", init=None, validation_best=1.0, test_best=1.0),
        ]
    )
    assert sorted(fine_tuned(rows)["test_best"]) == [0.3, 0.4, 0.5]


def test_the_mean_of_sets_gives_each_set_the_same_weight_whatever_its_number_of_draws():
    draws = [("a", 0.2), ("a", 0.2), ("a", 0.2), ("b", 0.8)]
    rows = pd.DataFrame([{"model": "M", "data": d, "shots": 1, "seed": 0, "test_accuracy": v} for d, v in draws])
    means = with_mean(rows)
    assert means.loc[means["data"] == MEAN, "test_accuracy"].mean() == pytest.approx(0.5)


def test_rank_correlation_of_measures_that_agree_and_of_ones_that_oppose():
    few = [
        {"data": d, "model": m, "seed": 0, "shots": 5, "test_accuracy": i / 9}
        for d in "xy"
        for i, m in enumerate("abcdef")
    ]
    tuned = [
        {"data": d, "model": m, "seed": 0, "test_best": (i if d == "x" else 9 - i) / 10}
        for d in "xy"
        for i, m in enumerate("abcdef")
    ]
    found = correlations(both_measures(pd.DataFrame(few), pd.DataFrame(tuned), 5))
    assert (found["x"].mean, found["y"].mean) == pytest.approx((1, -1))
    assert found["x"].n == 6


def run_study(study, tmp_path, *words):
    places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--wandb", "off", "--jobs", "2"]
    with pytest.raises(SystemExit) as ended:
        main(study, [*words, *places])
    return ended.value.code


SMALLER = ["--pretrain.steps", "30", "--finetune.steps", "8", "--finetune.evaluations", "1", "--seeds", "2"]


def test_quick_made_smaller_gives_table_and_pictures(tmp_path, capsys):
    words = [
        "--models",
        "ViT",
        "ResNet",
        "--rates",
        "0.01",
        "--shots",
        "1",
        "5",
        "--draws",
        "3",
        "--l2",
        "1024",
        *SMALLER,
    ]
    assert run_study(STUDY, tmp_path, *words, "--downstream", "digits@3,5,8", "digits") == 0
    folder = tmp_path / "results" / "few_shot" / "digits"
    assert {p.name for p in folder.iterdir()} == {
        *("rows.csv", "table.md", "provenance.json"),
        *(f"{name}.{kind}" for name in ("figure", "correlation") for kind in ("png", "svg")),
    }
    rows = pd.read_csv(folder / "rows.csv")
    assert (rows["status"] == "finished").all()
    assert len(rows[rows["task"] == "classify"]) == 4 + 8
    few = rows[rows["task"] == "few_shot"]
    assert set(few["upstream"]) == {"digits@0,1,2,4,6,7,9"} and few["test_accuracy"].between(0, 1).all()
    assert "5-shot linear accuracy, mean of 2 sets" in capsys.readouterr().out
    before = (folder / "table.md").read_text()
    assert run_study(STUDY, tmp_path, *words, "--downstream", "digits@3,5,8", "digits", "--redraw") == 0
    assert (folder / "table.md").read_text() == before


def test_figure_4_on_the_digits(tmp_path):
    words = [
        "--measure",
        "few_shot",
        "--downstream",
        "digits",
        "--models",
        "ViT",
        "ResNet",
        "--train_sizes",
        "50",
        "200",
    ]
    assert run_study(data_scaling.STUDY, tmp_path, *words, "--steps", "20", "--seeds", "2") == 0
    folder = tmp_path / "results" / "data_scaling" / "digits_few_shot"
    rows = pd.read_csv(folder / "rows.csv")
    few = rows[rows["task"] == "few_shot"]
    assert set(few["upstream_size"]) == {50, 200} and set(few["shots"]) == {5}
    table = (folder / "table.md").read_text()
    assert "5-shot linear accuracy" in table and "gap: ViT-Pico/2 − ResNet-Pico" in table
