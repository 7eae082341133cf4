"""A folder of one's own through the command line: understood, run, run again, and looked into without saying where."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.data_scaling import STUDY
from experiments.inspection import STUDY as INSPECTION
from vitlab.data import info
from vitlab.models import create, load
from vitlab.runs.stored import read_rows
from vitlab.study.settings import _described
from vitlab.study.study import main


def study(*words: object, of=STUDY) -> int:
    """Run a study in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main(of, [str(word) for word in words])
    return end.value.code


def listing(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """40 images of 2 classes in Training/ and 20 in Testing/, which are darker; a photo that is none; some notes."""
    root, rng = tmp_path_factory.mktemp("own") / "Bugs and Bees", np.random.default_rng(0)
    for split, count, shade in (("Training", 20, 120), ("Testing", 10, 0)):
        for index in range(2 * count):
            path = root / split / ("bee", "bug")[index % 2] / f"{index}.{('png', 'webp', 'bmp')[index % 3]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 60, (16, 20, 3)) + shade + 60 * (index % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    (root / "Training" / "bee" / "IMG_1.HEIC").write_bytes(b"-")
    return root


SHORT = "--train_sizes 8 16 --steps 6 --evaluations 3 --seeds 1 --models ViT --sizes Pico --wandb off".split()


def test_a_dry_run_says_what_was_understood_and_chosen_and_does_nothing(folder, tmp_path, capsys):
    before = listing(folder)
    places = ("--results", tmp_path / "results", "--runs", tmp_path / "runs", "--wandb", "off")
    assert study("--data", folder, "--dry_run", *places) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "60 images of 2 classes: bee 30, bug 30.",
        "train: 36 images (Training/ of the folder)",
        "validation: 4 images (carved: 10% of train",
        "test: 20 images (Testing/ of the folder)",
        "Chance is 50.0%; always saying",
        "1 file of other kinds (1 .heic)",
        "16 px: images have 16 px (--image_size)",
        "64 tokens",
        "36 images: from a few a class up to all",
        "crop, flip",
        "20 test images, so that an accuracy near 50% is uncertain by 22 points",
        "runs: 0 done",
        "as measured here",
    ):
        assert words in said, words
    assert listing(folder) == before and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory) -> Path:
    """A small study of the folder, with its command's places."""
    place = tmp_path_factory.mktemp("done")
    assert study("--data", folder, *SHORT, "--results", place / "results", "--runs", place / "runs") == 0
    return place


def evidence(done: Path) -> Path:
    return done / "results" / "data_scaling" / "bugs_and_bees"


def test_the_record_has_what_was_chosen_and_asks_for_the_same_runs(done, folder, capsys):
    record = json.loads((evidence(done) / "provenance.json").read_text())
    assert record["settings"]["image_size"] == 16 and record["settings"]["patch"] == 2
    assert record["settings"]["recipe"]["augment"] == ["crop", "flip"] and record["settings"]["recipe"]["steps"] == 6
    places = ("--results", done / "again", "--runs", done / "runs", "--wandb", "off")
    speeds = (done / "runs" / "speed.json").read_bytes()
    assert study("--config", evidence(done) / "provenance.json", *places) == 0
    assert "4 runs: 4 done, 0 to do" in capsys.readouterr().out
    assert study("--data", folder, *SHORT, *places[:-2]) == 0
    assert "4 runs: 4 done, 0 to do" in capsys.readouterr().out
    assert (done / "runs" / "speed.json").read_bytes() == speeds


def test_what_is_extended_keeps_its_settings_on_another_machine(done, folder, tmp_path, capsys):
    words = ("--data", folder, "--extend", "--dry_run", "--wandb", "off", "--results", done / "results")
    assert study(*words, "--seeds", 2, "--runs", tmp_path / "runs") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "8 runs: 4 done, 4 to do" in said and "Settings as in" in said


def test_a_single_seed_and_few_images_stand_before_the_answer(done):
    text = (evidence(done) / "evidence.md").read_text()
    assert "with 1 seed a difference" in text and "no trend is claimed" in text
    assert not [
        v for v in json.loads((evidence(done) / "evidence.json").read_text())["verdicts"] if v["outcome"] == "holds"
    ]


def test_rows_of_an_earlier_plan_hide_no_warning(done, folder, tmp_path):
    """Two more seeds are told apart from luck; asked for one alone again, the two that stay in the file are not."""
    shutil.copytree(done, tmp_path / "copy")
    places = ("--results", tmp_path / "copy" / "results", "--runs", tmp_path / "copy" / "runs")
    path = evidence(tmp_path / "copy") / "evidence.md"
    for seeds, warned in ((3, False), (1, True)):
        assert study("--data", folder, *SHORT, "--seeds", seeds, *places) == 0
        assert ("no trend is claimed" in path.read_text()) == warned
    assert read_rows(path.parent)["seed"].nunique() == 3


def test_a_run_remembers_where_its_images_are(done, tmp_path, monkeypatch):
    run = read_rows(evidence(done))["run"].iloc[0]
    monkeypatch.chdir(tmp_path)
    words = ("--checkpoint", run, "--measured", 4, "--wandb", "off", "--runs", done / "runs")
    assert study(*words, "--results", tmp_path / "results", of=INSPECTION) == 0
    rows = read_rows(tmp_path / "results" / "inspection" / run)
    assert "bugs_and_bees" in set(rows["data.name"])


def test_the_folder_of_a_run_is_a_source_of_weights(done):
    run = read_rows(evidence(done))["run"].iloc[0]
    model = create("ViT-Pico/2", image_size=16, num_classes=2)
    load(model, done / "runs" / run)
    stored = load(done / "runs" / run / "model.safetensors").state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_images_that_were_moved_are_asked_for(done, tmp_path, capsys):
    run = read_rows(evidence(done))["run"].iloc[0]
    shutil.copytree(done / "runs" / run, tmp_path / "runs" / run)
    for name in ("images.json", "images.json.b2"):
        (tmp_path / "runs" / run / name).unlink()
    (tmp_path / "runs" / run / "images.json").write_text('{"source": "/no/such/folder"}')
    words = ("--checkpoint", run, "--wandb", "off", "--runs", tmp_path / "runs", "--results", tmp_path)
    assert study(*words, of=INSPECTION) == 2
    error = capsys.readouterr().err
    assert run in error and "/no/such/folder" in error and "say with --data where they are" in error


@pytest.mark.parametrize("large", [False, True])
def test_a_run_is_looked_into_with_its_own_images_alone(large, folder, tmp_path, capsys, monkeypatch):
    if large:
        monkeypatch.setattr(info, "CHEAP_BYTES", -1)  # images are too many to be hashed for a plan
        _described.cache_clear()
    places = ("--runs", tmp_path / "runs", "--results", tmp_path / "results")
    assert study("--data", folder, *SHORT, *places) == 0
    _described.cache_clear()
    run = read_rows(evidence(tmp_path)).query("`task.kind` == 'classify'")["run"].iloc[0]
    for name in ("others", "moved"):
        shutil.copytree(folder, tmp_path / name)
    for path in (tmp_path / "others").rglob("*.png"):
        Image.fromarray(np.full((16, 20, 3), 250, np.uint8)).save(path)
    words = ("--checkpoint", run, "--measured", 4, "--wandb", "off", *places)
    stored = {}
    for inspected in ("not yet", "already"):
        stored[inspected] = set((tmp_path / "runs").glob("*/rows.json"))
        capsys.readouterr()
        assert study(*words, "--data", tmp_path / "others", of=INSPECTION) == 2, inspected
        said = capsys.readouterr().err
        assert f"{tmp_path / 'others'} has other images: say with --data where those are" in said
        assert set((tmp_path / "runs").glob("*/rows.json")) == stored[inspected], "nothing is recorded of it"
        assert study(*words, "--data", tmp_path / "moved", of=INSPECTION) == 0
    weights = said.partition("--checkpoint ")[2].strip().removesuffix(".")
    assert study("--checkpoint", weights, "--data", tmp_path / "others", *words[2:], of=INSPECTION) == 0


def test_bad_images_are_named_counted_and_not_missed(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "torn")
    (tmp_path / "torn" / "Training" / "bug" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    words = ["--data", tmp_path / "torn", *SHORT[3:], "--runs", tmp_path / "runs"]
    words += ["--results", tmp_path / "results"]
    assert study(*words, "--train_sizes", 8) == 2
    assert "torn.jpg cannot be read" in capsys.readouterr().err
    assert study(*words, "--skip_bad_images") == 0
    assert read_rows(tmp_path / "results" / "data_scaling" / "torn")["train_images"].max() == 35
    capsys.readouterr()
    assert study(*words, "--skip_bad_images", "--dry_run") == 0
    assert "1 image that could not be read" in capsys.readouterr().out


def test_bad_images_of_another_split_are_not_missed_in_training(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "torn")
    for index in range(40):  # more than there are images to train on
        (tmp_path / "torn" / "Testing" / "bug" / f"torn{index}.jpg").write_bytes(b"nothing")
    words = ["--data", tmp_path / "torn", *SHORT[3:], "--runs", tmp_path / "runs", "--results", tmp_path / "results"]
    assert study(*words, "--skip_bad_images") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "train: 36 images" in said and "test: 20 images" in said and "there are 20 test images" in said
    assert read_rows(tmp_path / "results" / "data_scaling" / "torn")["train_images"].max() == 36


def test_a_class_without_an_image_that_can_be_read_is_refused_by_name(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "torn")
    for file in (tmp_path / "torn" / "Training" / "bug").iterdir():
        file.write_bytes(b"nothing")
    words = ("--data", tmp_path / "torn", *SHORT, "--runs", tmp_path / "runs", "--results", tmp_path / "results")
    for more in ((), ("--preset", "quick", "--models", "ViT", "--patch", 4)):
        assert study(*words, "--skip_bad_images", *more) == 2
        assert "No training image of the class 'bug' can be read." in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_folder_with_the_name_of_a_card_is_pointed_out(folder, tmp_path, capsys, monkeypatch):
    shutil.copytree(folder, tmp_path / "imagenet")
    monkeypatch.chdir(tmp_path)
    words = ("--data", "imagenet", "--preset", "quick", "--train_sizes", 1000, "--dry_run", "--wandb", "off")
    assert study(*words) == 0 and "write ./imagenet for it" in capsys.readouterr().out


def test_a_preset_that_is_asked_for_is_taken_as_it_is(folder, tmp_path, capsys):
    words = ("--data", folder, "--preset", "quick", "--train_sizes", 8, "--dry_run", "--runs", tmp_path)
    assert study(*words, "--wandb", "off") == 0
    said = capsys.readouterr().out
    assert "60 images of 2 classes" in said and "Chosen for" not in said and "12 runs" in said
