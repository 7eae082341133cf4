"""The ladder changes one thing at a time; the study and the tuning run small."""

import shutil
from dataclasses import fields

import pytest

from experiments import scratch, tuning
from tests.data.conftest import write_folder
from vitlab.runs.run import Run
from vitlab.runs.stored import read_rows
from vitlab.study.study import main
from vitlab.tasks.settings import Recipe


def test_each_step_changes_something_and_keeps_the_budget():
    steps = list(scratch.ladder(scratch.PRESETS["quick"]).values())
    for before, after in zip(steps, steps[1:], strict=False):
        changed = [f.name for f in fields(Run) if getattr(before, f.name) != getattr(after, f.name)]
        assert len(changed) == 1, changed
        assert after.recipe.steps == before.recipe.steps and after.data == before.data


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        ({}, {"ViT-Pico/4", "ViT-Pico/2"}),
        ({"models": ("ViT-Nano/2",)}, {"ViT-Nano/4", "ViT-Nano/2"}),
        ({"models": ("ViT-Ti/1",), "coarse": 8, "sizes": ("Pico", "Nano")}, {"ViT-Ti/8", "ViT-Ti/1"}),
        ({"sizes": ("Nano",), "patch": 1}, {"ViT-Nano/4", "ViT-Nano/1"}),
    ],
)
def test_one_model_climbs_the_ladder_and_only_its_patches_become_smaller(asked, models):
    runs = scratch.plan(scratch.Scratch(**asked))
    assert {one.model for one in runs} == models


@pytest.mark.parametrize(
    "asked", [{"models": ("ResNet",)}, {"models": ("ViT", "HybridViT")}, {"sizes": ("Pico", "Nano")}, {"models": ()}]
)
def test_all_but_one_vit_is_refused(asked):
    with pytest.raises(ValueError, match="The ladder is climbed by one ViT, and asked for are .*; give --models ViT"):
        scratch.plan(scratch.Scratch(**asked))


def run(study, words, tmp_path) -> int:
    places = ["--wandb", "off", "--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as end:
        main(study, [*words, *places])
    return end.value.code


def test_the_ladder_runs(tmp_path):
    assert (
        run(scratch.STUDY, ["--steps", "4", "--seeds", "2", "--ladder", "tutorial", "smaller patches"], tmp_path) == 0
    )
    rows = read_rows(tmp_path / "results" / "scratch" / "digits_4_steps")
    assert set(rows["model"]) == {"ViT-Pico/4", "ViT-Pico/2"} and rows["run"].nunique() == 4
    text = (tmp_path / "results" / "scratch" / "digits_4_steps" / "evidence.md").read_text()
    assert "| tutorial |" in text and "| smaller patches |" in text and "| weight decay |" not in text


@pytest.mark.parametrize("study", [scratch, tuning])
def test_a_redraw_needs_rows_alone_and_says_which_options_it_does_not_look_at(study, tmp_path, capsys):
    own = write_folder(tmp_path / "Own Pictures", {"cat": 20, "dog": 20})
    words = ["--data", f"{own}@1,0", "--steps", "4", "--models", "ViT", "--patch", "4", "--image_size", "8"]
    words += ["--train_sizes", "16", "--rates", "0.01"] if study is tuning else ["--ladder", "tutorial"]
    assert run(study.STUDY, [*words, "--seeds", "1"], tmp_path) == 0
    (evidence,) = (tmp_path / "results" / study.STUDY.name).iterdir()
    text = (evidence / "evidence.md").read_text()
    shutil.rmtree(own)
    (evidence / "evidence.md").unlink()
    capsys.readouterr()
    assert run(study.STUDY, [*words, "--seeds", "7", "--redraw"], tmp_path) == 0
    said = capsys.readouterr().out
    assert (evidence / "evidence.md").read_text() == text and "Warning: --seeds changes nothing in a redraw" in said
    assert "--data changes" not in said and ("--steps changes" in said) == (study is tuning)
    assert "--train_sizes changes" not in said


def test_one_step_alone_has_a_table_and_no_chart(tmp_path):
    assert run(scratch.STUDY, ["--steps", "4", "--seeds", "1", "--ladder", "tutorial"], tmp_path) == 0
    written = {path.name for path in (tmp_path / "results" / "scratch" / "digits_4_steps").iterdir()}
    assert written == {"rows.csv", "evidence.md", "evidence.json", "index.html", "provenance.json"}


def test_evidence_is_kept_by_the_length_of_training():
    assert scratch.folder(scratch.Scratch(recipe=Recipe(steps=40))) == "digits_40_steps"
    assert scratch.folder(scratch.Scratch(recipe=Recipe(steps=40, epochs=2.5))) == "digits_2.5_epochs"


def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_trained(tmp_path, capsys):
    assert run(scratch.STUDY, ["--steps", "4", "--name", "../elsewhere"], tmp_path) == 2
    assert "one folder" in capsys.readouterr().err and not (tmp_path / "results").exists()


def test_an_unknown_step_is_refused(tmp_path, capsys):
    assert run(scratch.STUDY, ["--ladder", "weight decai"], tmp_path) == 2
    assert "weight decay" in capsys.readouterr().err


def test_tuning_chooses_by_validation(tmp_path, capsys):
    words = ["--models", "ViT", "--train_sizes", "100", "--seeds", "1", "--steps", "30", "--rates", "1e-9", "3e-3"]
    assert run(tuning.STUDY, words, tmp_path) == 0
    assert "ViT-Pico/2 0.003" in capsys.readouterr().out
