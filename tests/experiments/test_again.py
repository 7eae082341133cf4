"""Stored results made anew: what comes out again passes, what does not is named, and no stored record runs code."""

import json
import math
import shutil
import sys

import pandas as pd
import pytest

from experiments import again, data_scaling
from tests.data.conftest import write_folder
from vitlab.claims.interval import mean_interval
from vitlab.runs.remaking import Stored, same_numbers, same_place, sources, stored_runs
from vitlab.runs.run import Data, Run
from vitlab.runs.stored import read_rows
from vitlab.study.study import main

RUN = Run("ViT-Pico/2", Data("digits"))
SMALL = "--models ViT --train_sizes 50 --seeds 2 --steps 6 --evaluations 2 --wandb off --jobs 1".split()
FOLDER = "data_scaling/digits"


def command(study, *words) -> int:
    with pytest.raises(SystemExit) as end:
        main(study, [str(word) for word in words])
    return end.value.code


def check(evidence, *words) -> int:
    """The command on stored `evidence`; its own goes to `out` beside it."""
    words = (*words, "--evidence", evidence, "--results", evidence.parent / "out", "--runs", evidence.parent / "runs")
    return command(again.STUDY, *words, "--wandb", "off")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    assert command(data_scaling.STUDY, *SMALL, "--results", folder / "stored", "--runs", folder / "first") == 0
    return folder / "stored"


def test_a_row_comes_out_again_and_a_tampered_one_does_not(results, capsys):
    assert check(results, "--count", 1) == 0
    assert "1 of 1 runs agree" in capsys.readouterr().out
    evidence = read_rows(results.parent / "out" / "again" / "draw_0")
    stored = read_rows(results / FOLDER)
    run = evidence.loc[0, "drawn"]
    score = stored[(stored["run"] == run) & (stored["split"] == "test")]["score"].iloc[0]
    assert evidence.loc[0, "score"] == evidence.loc[0, "score_again"] == score
    path = results / FOLDER / "rows.csv"
    rows, text = pd.read_csv(path, dtype=str), path.read_text()
    rows.loc[(rows["run"] == run) & (rows["split"] == "validation"), "last_score"] = "0.123"
    rows.to_csv(path, index=False)
    assert check(results, "--count", 1) == 2  # nothing is left to draw from
    assert "it was edited or damaged" in capsys.readouterr().err
    assert check(results, "--count", 1, "--accept_edited") == 1
    assert "0 of 1 runs agree" in capsys.readouterr().out
    path.write_text(text)


def test_no_module_that_a_record_names_is_imported(results, tmp_path, monkeypatch, capsys):
    (tmp_path / "evil_study.py").write_text("open('was_here', 'w')\nSTUDY = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(results, tmp_path / "stored")
    path = tmp_path / "stored" / FOLDER / "provenance.json"
    record = json.loads(path.read_text())
    record |= {"command": ["python", "-m", "evil_study"], "study": "evil_study"}
    record["settings"]["recipe"]["optimizer"] = "evil_study"
    path.write_text(json.dumps(record))
    assert check(tmp_path / "stored", "--count", 1, "--dry_run") == 0
    assert "classify ViT-Pico/2" in capsys.readouterr().out
    assert "evil_study" not in sys.modules and not (tmp_path / "was_here").exists()


def test_evidence_whose_data_is_not_here_is_left_out_and_named_unless_it_was_asked_for(results, tmp_path, capsys):
    shutil.copytree(results, tmp_path / "stored")
    shutil.copytree(results / FOLDER, tmp_path / "stored" / "data_scaling" / "away")
    path = tmp_path / "stored" / "data_scaling" / "away" / "rows.csv"
    rows = pd.read_csv(path, dtype=str).assign(**{"data.name": "nowhere_images"})
    rows.to_csv(path, index=False)
    assert check(tmp_path / "stored", "--count", 2, "--dry_run", "--accept_edited") == 0
    seen = capsys.readouterr()
    assert "data_scaling/away is left out" in seen.err and seen.out.count(f"{FOLDER}: classify") == 2
    only = ("--only", "data_scaling/away", "--accept_edited")
    assert check(tmp_path / "stored", "--count", 1, "--dry_run", *only) == 2
    assert "nowhere_images" in capsys.readouterr().err


def test_a_training_that_fails_does_not_agree_and_its_reason_is_kept(tmp_path, capsys):
    diverging = ("--learning_rates.ViT", "1e30", "--grad_clip", "0", "--seeds", "1")
    both = ("--models", "ViT", "ResNet")
    places = ("--results", tmp_path / "stored", "--runs", tmp_path / "first")
    assert command(data_scaling.STUDY, *SMALL, *both, *diverging, *places) == 1
    path = tmp_path / "stored" / FOLDER / "rows.csv"
    rows = pd.read_csv(path, dtype=str)
    failed = rows["status"] == "failed"
    done = {"status": "finished", "split": "test", "score": "0.5", "images": "360", "reason": ""}
    rows.loc[failed, list(done)] = list(done.values())
    rows.to_csv(path, index=False)
    assert check(tmp_path / "stored", "--count", 2, "--accept_edited") == 1
    assert "1 of 2 runs agree" in capsys.readouterr().out
    evidence = read_rows(tmp_path / "out" / "again" / "draw_0").set_index("score")
    assert "step" in evidence.loc[0.5, "reason"] and math.isnan(evidence.loc[0.5, "score_again"])


def test_images_that_cannot_be_read_are_left_out_again_where_that_is_asked_for(tmp_path, capsys):
    own = write_folder(tmp_path / "own", {"cat": 20, "dog": 20})
    (own / "cat" / "002.png").write_bytes(b"nothing")
    words = ["--data", own, "--preset", "quick", "--image_size", 8, *SMALL, "--train_sizes", 10, "--seeds", 1]
    places = ("--results", tmp_path / "stored", "--runs", tmp_path / "first")
    assert command(data_scaling.STUDY, *words, "--skip_bad_images", *places) == 0
    assert check(tmp_path / "stored", "--count", 1, "--draw_seed", 1, "--skip_bad_images") == 0
    assert "1 of 1 runs agree; 1 of the 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--count", 9), "allowed: 1 to the 2"),
        (("--only", "data_scaling/digit"), FOLDER),
        (("--count", 1, "--device", "gpu"), "Unknown device"),
    ],
)
def test_a_mistake_is_one_message(results, words, said, capsys):
    assert check(results, *words) == 2
    assert said in capsys.readouterr().err


def test_time_that_is_up_before_the_last_run_is_exit_code_3(results, capsys):
    assert check(results, "--count", 2, "--draw_seed", 5, "--time_budget", "0.001s") == 3
    assert "The time is up: 0 of 2 runs were made again." in capsys.readouterr().out


def test_a_dry_run_says_what_is_drawn_and_a_redraw_needs_rows_alone(results, capsys):
    assert check(results, "--count", 2, "--dry_run", "--draw_seed", 7) == 0
    out = capsys.readouterr().out
    assert out.count(f"{FOLDER}: classify ViT-Pico/2") == 2
    assert not (results.parent / "out" / "again" / "draw_7").exists()
    assert check(results, "--count", 1, "--draw_seed", 3) == 0
    folder = results.parent / "out" / "again" / "draw_3"
    before = (folder / "evidence.json").read_bytes()
    (folder / "evidence.json").unlink()
    assert check(results, "--redraw", "--name", "draw_3") == 0
    assert (folder / "evidence.json").read_bytes() == before


def test_a_run_is_stored_with_the_scores_of_all_seeds_of_its_setting(results):
    first, second = stored_runs(results / FOLDER, FOLDER)
    assert {first.run.seed, second.run.seed} == {0, 1} and first.run.data.source == "digits"
    assert first.scores == second.scores[::-1] and first.folder == FOLDER


def test_data_is_where_the_settings_say_else_its_card(tmp_path):
    assert sources({"digits"}, {"data": "nowhere", "recipe": {"augment": ["crop"]}}) == {"digits": "digits"}
    with pytest.raises(ValueError, match="no data card and no folder 'cats'"):
        sources({"cats@0,1"}, {"data": "digits"})


def test_circumstances_do_not_count_and_numbers_do():
    row = {"run": "a", "score": 0.1 + 0.2, "steps": 3, "wall_s": 1.0, "recipe.lr": None}
    assert same_numbers([row | {"study": "x"}], [row | {"wall_s": 2.0, "steps": 3.0, "new": 1}])
    assert not same_numbers([row], [row | {"score": 0.3}])
    assert not same_numbers([row], [row, row])
    assert not same_numbers([{"run": "a"}], [{"run": "a"}])


def test_the_number_of_cores_is_not_the_processor():
    place = {"hardware": "1 x Thing, 24 GiB", "torch": "2.15"}
    assert same_place(place, place | {"hardware": "2 x Thing, 24 GiB"})
    assert not same_place(place, place | {"hardware": "2 x Other, 24 GiB"})
    assert not same_place(place, place | {"torch": "2.16"})


def test_elsewhere_the_interval_of_the_seeds_judges_and_one_seed_cannot():
    def judged(now: float, *seeds: float, hardware: str = "1 x Other", **more) -> str:
        row = {"split": "test", "score": seeds[0], "images": 10_000, "hardware": "1 x Thing", "torch": "2.15"}
        stored = Stored(FOLDER, RUN, [row], seeds)
        return again.judged(again.compared(stored, [row | {"score": now, "hardware": hardware} | more]))

    assert judged(0.5, 0.5, hardware="2 x Thing") == judged(0.5, 0.5) == "bit for bit"
    assert judged(0.51, 0.5, 0.6, 0.4, hardware="2 x Thing") == "no"
    assert judged(0.51, 0.5, 0.6, 0.4) == "within the interval"
    assert judged(0.9, 0.5, 0.51, 0.49) == "no"
    assert judged(0.2, 0.5) == "cannot be judged"
    assert judged(math.nan, 0.5, reason="diverged") == "no"
    assert judged(-0.21, -0.2, -0.3, -0.1) == "within the interval"
    assert judged(-0.9, -0.2, -0.21, -0.19) == "no"


def test_the_interval_of_scores_below_zero_is_not_cut():
    found = again.interval({"seeds": "-0.2 -0.3 -0.1", "images": 360})
    assert found == mean_interval([-0.2, -0.3, -0.1]) and found.low < found.mean < found.high < 0.1
