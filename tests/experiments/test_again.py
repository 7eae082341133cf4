"""Stored results made anew: what comes out again passes, what does not is named."""

import math
import shutil

import pandas as pd
import pytest

from experiments import again, data_scaling
from experiments.again import compare, same_numbers, same_place
from vitlab.runs.stored import read_rows
from vitlab.runs.run import Data, Run
from vitlab.study.study import main

RUN = Run("ViT-Pico/2", Data("digits"))
SMALL = "--models ViT --train_sizes 50 --seeds 2 --steps 6 --evaluations 2 --wandb off".split()


def check(*words) -> int:
    with pytest.raises(SystemExit) as end:
        again.main([str(word) for word in words])
    return end.value.code


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    with pytest.raises(SystemExit):
        main(data_scaling.STUDY, [*SMALL, "--results", str(folder / "results"), "--runs", str(folder / "runs")])
    return folder / "results"


def test_a_row_comes_out_again_and_a_tampered_one_does_not(results, capsys):
    assert check("--count", 1, "--results", results) == 0
    assert "1 of 1 runs agree" in capsys.readouterr().out
    evidence = read_rows(results / "again" / "draw_0")
    stored = read_rows(results / "data_scaling" / "digits").set_index("run")
    run = evidence.loc[0, "run"]
    assert evidence.loc[0, "score"] == evidence.loc[0, "score_again"] == stored.loc[run, "test_best"]
    path = results / "data_scaling" / "digits" / "rows.csv"
    rows, text = pd.read_csv(path, dtype=str), path.read_text()
    rows.loc[rows["run"] == run, "validation_last"] = "0.123"
    rows.to_csv(path, index=False)
    assert check("--count", 1, "--results", results) == 1
    assert "0 of 1 runs agree" in capsys.readouterr().out
    path.write_text(text)


def test_evidence_whose_data_is_not_here_is_left_out_and_named_unless_it_was_asked_for(results, tmp_path, capsys):
    shutil.copytree(results / "data_scaling", tmp_path / "data_scaling")
    shutil.copytree(tmp_path / "data_scaling" / "digits", tmp_path / "data_scaling" / "away")
    record = tmp_path / "data_scaling" / "away" / "provenance.json"
    record.write_text(record.read_text().replace('"data": "digits"', '"data": "no/such/folder"'))
    assert check("--count", 2, "--dry_run", "--results", tmp_path) == 0
    seen = capsys.readouterr()
    assert "data_scaling/away is left out" in seen.err and seen.out.count("data_scaling/digits") == 2
    assert check("--count", 1, "--dry_run", "--results", tmp_path, "--only", "data_scaling/away") == 2
    assert "no/such/folder" in capsys.readouterr().err


def test_a_training_that_fails_does_not_agree_and_its_reason_is_kept(tmp_path, capsys):
    diverging = ("--models", "ViT", "ResNet", "--learning_rates.ViT", "1e30", "--grad_clip", "0", "--seeds", "1")
    with pytest.raises(SystemExit):
        main(data_scaling.STUDY, [*SMALL, *diverging, "--results", str(tmp_path), "--runs", str(tmp_path / "runs")])
    path = tmp_path / "data_scaling" / "digits" / "rows.csv"
    rows = pd.read_csv(path, dtype=str)
    rows.assign(status="finished", test_best=rows["test_best"].fillna("0.5")).to_csv(path, index=False)
    assert check("--count", 2, "--results", tmp_path) == 1
    out = capsys.readouterr().out
    assert "| 50.00 | failed |" in out and "1 of 2 runs agree" in out
    assert "step" in read_rows(tmp_path / "again" / "draw_0").set_index("score").loc[0.5, "reason"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--count", 9), "allowed: 1 to the 2"), (("--only", "data_scaling/digit"), "data_scaling/digits")],
)
def test_a_mistake_is_one_message(results, words, said, capsys):
    assert check(*words, "--results", results) == 2
    assert said in capsys.readouterr().err


def test_a_dry_run_says_what_is_drawn(results, capsys):
    assert check("--count", 2, "--dry_run", "--draw_seed", 7, "--results", results) == 0
    out = capsys.readouterr().out
    assert out.count("data_scaling/digits: classify ViT-Pico/2") == 2 and not (results / "again" / "draw_7").exists()


def test_circumstances_do_not_count_and_numbers_do():
    row = {"run": "a", "test_best": 0.1 + 0.2, "steps": 3, "wall_s": 1.0, "lr": None}
    assert same_numbers([row | {"ladder_step": "x"}], [row | {"wall_s": 2.0, "steps": 3.0}])
    assert not same_numbers([row], [row | {"test_best": 0.3}])
    assert not same_numbers([row], [row, row])


def test_the_number_of_cores_is_not_the_processor():
    place = {"hardware": "1 x Thing, 24 GiB", "torch": "2.15"}
    assert same_place(place, place | {"hardware": "2 x Thing, 24 GiB"})
    assert not same_place(place, place | {"hardware": "2 x Other, 24 GiB"})
    assert not same_place(place, place | {"torch": "2.16"})


def test_elsewhere_the_interval_of_the_seeds_judges_and_one_seed_cannot():
    def judged(now: float, *seeds: float, hardware: str = "1 x Other", **more) -> str:
        row = {"test_best": seeds[0], "hardware": "1 x Thing", "torch": "2.15"}
        stored = again.Stored("data_scaling/digits", RUN, [row], list(seeds))
        return compare(stored, [row | {"test_best": now, "hardware": hardware, "commit": "c"} | more])["agrees"]

    assert judged(0.5, 0.5, hardware="2 x Thing") == judged(0.5, 0.5) == "bit for bit"
    assert judged(0.51, 0.5, 0.6, 0.4, hardware="2 x Thing") == "no"
    assert judged(0.51, 0.5, 0.6, 0.4) == "within the interval"
    assert judged(0.9, 0.5, 0.51, 0.49) == "no"
    assert judged(0.2, 0.5) == "cannot be judged"
    assert judged(math.nan, 0.5, reason="diverged") == "no"
