"""The main study from its command line: what it writes, how it is stopped, killed and redrawn, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.data_scaling import PRESETS, STUDY, plan
from vitlab.runs.stored import read_rows
from vitlab.study.command_line import parse
from vitlab.study.study import main

SMALL = "--models ViT ResNet --train_sizes 50 100 --seeds 2 --steps 12 --evaluations 3 --wandb off".split()
UNTIMED = ["wall_s", "images_per_s", "date", "commit"]


def study(*words: str) -> int:
    """Run the study in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main(STUDY, [str(word) for word in words])
    return end.value.code


def rows_of(results: Path, name: str = "digits"):
    return read_rows(results / "data_scaling" / name).drop(columns=UNTIMED)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder with a small finished study: `results` and `runs`."""
    folder = tmp_path_factory.mktemp("study")
    assert study(*SMALL, "--results", folder / "results", "--runs", folder / "runs") == 0
    return folder


def test_the_study_writes_its_evidence(done):
    folder = done / "results" / "data_scaling" / "digits"
    names = {path.name for path in folder.iterdir()}
    assert {"rows.csv", "evidence.json", "evidence.md", "figure.png", "provenance.json"} <= names
    rows = read_rows(folder)
    assert len(rows) == 2 * 2 * 2 * 2 and rows["run"].nunique() == 8
    assert (rows["steps"] == 12).all() and rows["score"].between(0, 1).all()
    assert set(rows["data.train_size"]) == set(rows["train_images"]) == {50, 100}
    assert rows.groupby("split")["images"].first().to_dict() == {"test": 360, "validation": 288}
    assert (rows["train_flops_per_image"] > 0).all() and rows["hardware"].notna().all()


def test_a_finished_study_repeats_nothing_and_config_asks_for_the_same(done, capsys):
    record = done / "results" / "data_scaling" / "digits" / "provenance.json"
    before = {path: path.stat().st_mtime_ns for path in (done / "runs").glob("*/rows.json")}
    words = ("--config", record, "--wandb", "off", "--results", done / "again", "--runs", done / "runs")
    assert study(*words) == 0
    assert "8 done, 0 to do" in " ".join(capsys.readouterr().out.split())
    assert before == {path: path.stat().st_mtime_ns for path in (done / "runs").glob("*/rows.json")}
    assert rows_of(done / "again").equals(rows_of(done / "results"))


def test_redraw_remakes_the_files_without_torch(done):
    folder = done / "results" / "data_scaling" / "digits"
    made = ("evidence.md", "evidence.json", "figure.png")
    expected = {name: (folder / name).read_bytes() for name in (*made, "rows.csv")}
    for name in made:
        (folder / name).unlink()
    code = (
        "import sys\nfrom experiments.data_scaling import STUDY\nfrom vitlab.study.study import main\n"
        "try: main(STUDY, ['--redraw', '--results', sys.argv[1]])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(done / "results")], check=True, capture_output=True)
    assert {name: (folder / name).read_bytes() for name in expected} == expected


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 3)])
def test_killed_in_the_middle_and_started_again_gives_the_same_rows_bit_for_bit(done, tmp_path, how, code):
    words = [sys.executable, "-m", "experiments.data_scaling", *SMALL]
    words += ["--results", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    for _ in range(5):  # on a crowded core the run may end between its checkpoint and the signal
        if unfinished := killed(words, tmp_path / "runs", how, code):
            break
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
    assert unfinished, "the study was finished before it could be killed"
    subprocess.run(words, check=True, capture_output=True)
    assert rows_of(tmp_path / "results").equals(rows_of(done / "results"))


def killed(words, runs, how, code):
    """Start a study and end it at its first checkpoint; the checkpoints that it leaves."""
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(runs.glob("*/last.ckpt")):
        assert time.monotonic() < deadline and first.poll() is None, "no checkpoint was ever written"
        time.sleep(0.01)
    os.kill(first.pid, how)
    assert first.wait() == code
    return list(runs.glob("*/last.ckpt"))


def test_rows_made_elsewhere_count_as_done_when_a_study_is_extended(done, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(done / "results", results)
    before = read_rows(results / "data_scaling" / "digits").set_index(["run", "split"])
    words = [*SMALL, "--seeds", "3", "--extend", "--results", results, "--runs", tmp_path / "runs"]
    assert study(*words) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "8 done, 4 to do" in out and "from 8 finished runs" in out
    after = read_rows(results / "data_scaling" / "digits").set_index(["run", "split"])
    assert len(after) == 24 and set(after["seed"]) == {0, 1, 2}
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    assert study(*words) == 0 and "12 done, 0 to do" in " ".join(capsys.readouterr().out.split())


def test_what_other_evidence_holds_counts_as_done_when_a_study_is_extended(done, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(done / "results" / "data_scaling" / "digits", results / "position" / "elsewhere")
    (results / "tuning" / "digits").mkdir(parents=True)
    (results / "tuning" / "digits" / "rows.csv").write_text("nothing\n")
    words = [*SMALL, "--train_sizes", "50", "400", "--seeds", "1", "--results", results, "--runs", tmp_path / "runs"]
    assert study(*words, "--extend", "--dry_run") == 0
    said = capsys.readouterr()
    assert "4 runs: 2 done, 2 to do" in " ".join(said.out.split()) and "tuning/digits is left out" in said.err
    assert study(*words, "--extend") == 0
    rows = read_rows(results / "data_scaling" / "digits")
    pd.testing.assert_frame_equal(*(
        one.query("train_images == 50 and seed == 0").set_index(["run", "split"])[["score", "date"]]
        for one in (rows, read_rows(done / "results" / "data_scaling" / "digits"))
    ))  # fmt: skip


def test_a_time_budget_stops_cleanly_and_the_same_command_goes_on(tmp_path, capsys):
    words = ("--models", "ViT", "--train_sizes", 50, "--seeds", 1, "--steps", 4, "--wandb", "off")
    places = ("--results", tmp_path / "results", "--runs", tmp_path / "runs")
    assert study(*words, *places, "--time_budget", "1s") == 3
    assert "1 of 1 runs are left" in capsys.readouterr().out
    assert study(*words, *places) == 0


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path, capsys):
    assert study(*SMALL, "--dry_run", "--results", tmp_path / "results", "--runs", tmp_path / "runs") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "8 runs: 0 done, 8 to do" in out and "FLOPs" in out
    assert not list(tmp_path.iterdir())


def test_a_non_finite_loss_is_named_and_the_study_goes_on(tmp_path, capsys):
    words = ("--models", "ViT", "ResNet", "--train_sizes", 50, "--seeds", 1, "--steps", 6, "--wandb", "off")
    rates = ("--learning_rates.ViT", "1e30", "--learning_rates.ResNet", "1e-3", "--grad_clip", 0)
    assert study(*words, *rates, "--results", tmp_path / "results", "--runs", tmp_path / "runs") == 1
    assert "left" not in capsys.readouterr().out
    rows = read_rows(tmp_path / "results" / "data_scaling" / "digits")
    failed = rows[rows["status"] == "failed"]
    assert list(failed["model"]) == ["ViT-Pico/2"] and "step" in failed["reason"].iloc[0]
    assert set(rows.loc[rows["status"] == "finished", "model"]) == {"ResNet-Pico"}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_parses(preset):
    settings, how = parse("experiments.data_scaling", "", PRESETS, ["--preset", preset, "--seeds", "1"])
    assert settings.seeds == 1 and how.preset == preset and settings.data == PRESETS[preset].data


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--preset", "quik"], "quick"),
        (["--train_size", "50"], "--train_sizes"),
        (["--data", "cifar11"], "cifar10"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--train_sizes", "0"], "0"),
        (["--train_sizes", "5"], "10"),
        (["--train_sizes", "5000"], "5000"),
        (["--models", "Vit"], "Did you mean 'ViT'? Allowed: ViT, HybridViT, ResNet"),
        (["--models", "ViT-Pico/5"], "ViT-Pico has patches of 1, 2, 4"),
        (["--models", "ViT-Huge/4"], "There are ViT-Ti, ViT-S"),
        (["--sizes", "pico"], "Did you mean 'Pico'? Allowed: Pico, Nano"),
        (["--patch", "3"], "allowed: 1, 2, 4, 7, 8"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--seeds", "-1"], "--seeds is -1"),
        (["--augment", "flap"], "flip"),
        (["--optimizer", "adamm"], "adamw"),
        (["--time_budget", "soon"], "9m"),
        (["--jobs", "none"], "auto"),
        (["--wandb", "offlin"], "offline"),
        (["--config", "nothing.json"], "nothing.json"),
        (["--redraw"], "rows"),
    ],
)
def test_a_mistake_is_one_message_with_exit_code_2(words, named, tmp_path, capsys):
    assert study("--results", tmp_path / "results", "--runs", tmp_path / "runs", *words) == 2
    out, err = capsys.readouterr()
    assert named in out + err and "Traceback" not in out + err
    assert not (tmp_path / "results").exists()


def picture(path: Path, shade: int, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = rng.integers(0, 80, (40, 32, 3)) + shade
    Image.fromarray(noise.astype(np.uint8)).save(path)


def test_a_folder_of_pictures_goes_through_the_whole_study(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(30):
        picture(tmp_path / "mine" / "dark" / f"{i}.png", 0, rng)
        picture(tmp_path / "mine" / "light" / f"{i}.jpg", 150, rng)
    words = (
        "--data",
        tmp_path / "mine",
        "--train_sizes",
        8,
        16,
        "--seeds",
        1,
        "--steps",
        20,
        "--patch",
        8,
        "--sizes",
        "Pico",
        "--init",
    )
    places = ("--results", tmp_path / "results", "--runs", tmp_path / "runs", "--wandb", "off")
    assert study(*words, *places) == 0
    rows = read_rows(tmp_path / "results" / "data_scaling" / "mine")
    trained = rows[rows["task.kind"] == "classify"]
    assert len(trained) == 8 and trained["score"].mean() > 0.8


def test_a_corrupt_picture_is_named_or_skipped(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for i in range(10):
        picture(tmp_path / "mine" / "dark" / f"{i}.png", 0, rng)
        picture(tmp_path / "mine" / "light" / f"{i}.png", 150, rng)
    (tmp_path / "mine" / "dark" / "broken.png").write_bytes(b"no picture")
    words = (
        "--data",
        tmp_path / "mine",
        "--train_sizes",
        8,
        "--seeds",
        1,
        "--steps",
        2,
        "--patch",
        8,
        "--sizes",
        "Pico",
    )
    places = ("--models", "ViT", "--results", tmp_path / "results", "--runs", tmp_path / "runs", "--wandb", "off")
    assert study(*words, *places) == 2
    assert "broken.png" in capsys.readouterr().err
    assert study(*words, *places, "--skip_bad_images") == 0


def test_subsets_and_seeds_are_paired_across_models_and_nested():
    runs = plan(PRESETS["quick"])
    by_seed = {(run.seed, run.data.train_size): run.data.subset_seed for run in runs}
    assert len(runs) == 3 * 6 * 3 and all(by_seed[seed, size] == seed for seed, size in by_seed)


def test_the_record_is_complete(done):
    record = json.loads((done / "results" / "data_scaling" / "digits" / "provenance.json").read_text())
    assert record["settings"]["train_sizes"] == [50, 100] and record["versions"]["torch"]
    assert record["rows"]["seed"] == [0, 1] and record["command"][:3] == ["python", "-m", "experiments.data_scaling"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"downstream": ("digits",)}, "--downstream is for --measure few_shot"),
        ({"measure": "few_shot", "downstream": ("digits",), "init": ("w.npz",)}, "--init is for --measure test"),
    ],
)
def test_what_the_measure_does_not_take_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plan(replace(PRESETS["quick"], **change))
