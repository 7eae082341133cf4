"""What is still to do, with rows that were made elsewhere."""

import importlib
from dataclasses import replace

import pandas as pd
import pytest

from experiments.data_scaling import STUDY
from tests.data.conftest import write_folder
from vitlab.runs.engine import Resources
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place, Prepared, Stopped, WorkerDied
from vitlab.runs.run import Data, Run
from vitlab.study.command_line import Execution
from vitlab.study.conduct import Work, check_names, check_writable, measure, other_images
from vitlab.study.engines import Machinery
from vitlab.study.settings import data_of
from vitlab.study.study import Study, main
from vitlab.tasks.settings import FewShot

FIRST = Run("ViT-Pico/4", Data("digits"))
PROBES = [replace(FIRST, data=Data("digits", train_size=n), task=FewShot(), init=FIRST) for n in (50, 100)]
ROWS = [{"status": "finished"}]


@pytest.mark.parametrize(
    ("kept", "in_store", "left"),
    [
        ((), (), (FIRST, *PROBES)),
        ((FIRST, *PROBES), (), ()),
        ((FIRST, PROBES[0]), (), (FIRST, PROBES[1])),  # its weights are not here
        ((PROBES[0],), (FIRST,), (PROBES[1],)),
        ((FIRST,), (FIRST, *PROBES), ()),
    ],
)
def test_a_training_that_is_known_by_its_rows_is_made_again_where_its_weights_are_needed(
    kept, in_store, left, tmp_path
):
    place = Place(tmp_path, tmp_path / "cache")
    for run in in_store:
        with place.store.open(run, lambda: False):
            place.store.finish(run, [{"run": run.id, "status": "finished"}])
    by = Machinery(1, "cpu", Resources(1), lambda: LocalEngine(1))
    work = Work([FIRST, *PROBES], place, Prepared("cpu", {}), {run.id: ROWS for run in kept}, by)
    assert tuple(work.left()) == left


def test_evidence_that_cannot_be_written_is_said_before_anything_is_trained(tmp_path):
    check_writable(tmp_path / "not" / "there" / "yet")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="file cannot. Name another --results"):
        check_writable(tmp_path / "file" / "data_scaling" / "digits")


def test_a_run_store_that_is_a_file_is_refused_before_the_images_are_looked_at(tmp_path, capsys):
    own = write_folder(tmp_path / "own")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit) as end:
        main(STUDY, ["--data", str(own), "--runs", str(tmp_path / "file"), "--results", str(tmp_path / "results")])
    assert end.value.code == 2 and "file cannot. Name another --runs." in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--models", "--sizes"])
def test_no_model_at_all_is_refused(option, tmp_path, capsys):
    own = write_folder(tmp_path / "own")
    with pytest.raises(SystemExit) as end:
        main(STUDY, ["--data", str(own), option, "--runs", str(tmp_path / "runs"), "--dry_run"])
    assert end.value.code == 2 and "There is no model; give --models some of ViT" in capsys.readouterr().err


def test_other_images_of_the_same_name_are_said(tmp_path):
    by = Machinery(1, "cpu", Resources(1), lambda: LocalEngine(1))
    run = replace(FIRST, data=Data("photos", fingerprint="a"))
    work = Work([run], Place(tmp_path, tmp_path / "cache"), Prepared("cpu", {}), {}, by)
    old = pd.DataFrame({"data.name": ["photos", "photos", "others"], "data.fingerprint": ["a", "b", "c"]})
    assert other_images(None, work, tmp_path) == other_images(old, work, tmp_path) == []
    (said,) = other_images(old[1:], work, tmp_path)
    assert "evidence of other images called photos" in said and "--name" in said


@pytest.mark.parametrize(
    ("study", "more"),
    [
        ("few_shot", "--finetune_size 20"),
        ("transfer", "--finetune_size 20 --resolution_sets"),
        ("optimizer", ""),
        ("data_scaling", "--measure few_shot"),
    ],
)
def test_two_sets_of_one_name_in_one_study_are_refused_before_anything_is_done(study, more, tmp_path, capsys):
    sets = [
        str(write_folder(tmp_path / name / "photos", {"cat": 30, "dog": 30}, seed)) for seed, name in enumerate("ab")
    ]
    words = [
        *more.split(),
        "--data",
        "digits",
        "--downstream",
        *sets,
        "--results",
        str(tmp_path / "results"),
        "--dry_run",
    ]
    with pytest.raises(SystemExit) as end:
        main(importlib.import_module(f"experiments.{study}").STUDY, words)
    assert end.value.code == 2 and not (tmp_path / "results").exists()
    said = capsys.readouterr().err
    assert f"{sets[0]} and {sets[1]} are both called photos" in said and "rename one folder" in said


def test_one_set_under_two_paths_is_one(tmp_path):
    images = write_folder(tmp_path / "photos")
    (tmp_path / "link").symlink_to(tmp_path)
    paths = (str(images), str(tmp_path / "link" / "photos"), f"{images}@0,1")
    check_names([Run("ViT-Pico/4", data_of(path)[0]) for path in paths])


def measuring(end: BaseException, rows: int) -> Study:
    """A study that measures so many rows and then ends so."""

    def measured(settings, how):
        yield from ROWS * rows
        raise end

    return Study("a", "-", "Why?", {"quick": None}, draw=lambda rows, settings: None, measure=measured)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (Stopped("The time is up."), 3),
        (KeyboardInterrupt(), 3),
        (ValueError("no memory"), 1),
        (OSError("no disk"), 1),
        (WorkerDied("no worker"), 1),
    ],
)
def test_what_was_measured_before_an_early_end_is_kept_and_the_exit_code_says_the_end(end, code, capsys):
    assert measure(measuring(end, 2), None, Execution()) == (ROWS * 2, code)
    said = capsys.readouterr()
    assert str(end) in (said.out if code == 3 else said.err)


def test_what_cannot_be_measured_at_all_is_an_error_and_a_stop_before_the_first_is_none():
    with pytest.raises(ValueError, match="no memory"):
        measure(measuring(ValueError("no memory"), 0), None, Execution())
    assert measure(measuring(Stopped("The time is up."), 0), None, Execution()) == ([], 3)


def test_brackets_and_colons_of_paths_are_no_markup(tmp_path, capsys, monkeypatch):
    warning = "Warning: my [runs]/[/old] :dog: has evidence of other images."
    by = Machinery(1, "cpu", Resources(1), lambda: LocalEngine(1))
    nothing = Work([], Place(tmp_path, tmp_path / "cache"), Prepared("cpu", {}), {}, by)
    monkeypatch.setattr("vitlab.study.conduct.prepared", lambda *_: nothing)
    monkeypatch.setattr("vitlab.study.conduct.other_images", lambda *_: [warning])
    with pytest.raises(SystemExit) as end:
        main(STUDY, ["--dry_run", "--wandb", "off", "--runs", str(tmp_path), "--results", str(tmp_path / "results")])
    assert end.value.code == 0 and f"{warning}\n" in capsys.readouterr().out
