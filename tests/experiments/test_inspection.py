"""The inspection study from its command line: what it writes, for which weights it works, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments.inspection import PRESETS, main, picture_names
from vitlab.gallery import exhibits
from vitlab.gallery.exhibits import open_all
from vitlab.gallery.portrait import portrait
from vitlab.gallery.subjects import class_names, guessed_name
from vitlab.models import create, save_checkpoint
from vitlab.runs.stored import read_rows
from vitlab.runs.place import Place

SMALL = "--image_size 16 --depth 2 --seeds 2 --steps 6 --batch_size 16 --evaluations 3 --snapshots 3 --measured 8"


def inspect(*words: object) -> int:
    """Run the command in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return end.value.code


def weights(folder: Path, name: str, size: int | tuple[int, int] = 32, **overrides: object) -> Path:
    """A file of random weights with a classifier that prefers something."""
    torch.manual_seed(0)
    model = create(name, image_size=size, num_classes=3, **overrides)
    torch.nn.init.normal_(model.head.weight)
    path = folder / f"{name.replace('/', '-')}.safetensors"
    return save_checkpoint(model, path, metadata={"classes": ["ant", "bee", "cow"]})


def photograph(folder: Path) -> Path:
    path = folder / "photo.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (60, 80, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder with a small finished study: `results` and `runs`."""
    folder = tmp_path_factory.mktemp("inspection")
    assert (
        inspect(
            *SMALL.split(), "--jobs", "1", "--wandb", "off", "--results", folder / "results", "--runs", folder / "runs"
        )
        == 0
    )
    return folder


def test_the_page_shows_every_picture_that_was_drawn(done):
    folder = done / "results" / "inspection" / "digits"
    shown = set(re.findall(r'<img src="([^"]+)"', (folder / "index.html").read_text()))
    assert shown == {path.name for path in folder.glob("*.png")}
    assert {path.stem for path in folder.glob("*.png")} == {path.stem for path in folder.glob("*.svg")}
    assert {"positions_over_training.png", "attention_2.png", "distance.png", "over_training.png"} <= shown


def test_rows_hold_every_head_of_every_snapshot(done):
    rows = read_rows(done / "results" / "inspection" / "digits")
    heads = rows[(rows["part"] == "attention") & (rows["model"] == "ViT-Pico/4")]
    assert set(heads[heads["stage"] == "snapshot"]["step"]) == {0, 2, 4, 6}
    assert heads.groupby(["seed", "stage", "step"]).size().eq(2 * 4).all()  # layers x heads
    start = heads[heads["step"] == 0]
    assert np.allclose(start["distance_px"], start["uniform_px"], rtol=0.15)  # untrained attention is nearly uniform
    assert (rows["part"] == "receptive_field").sum() == 3 * 5  # stages x (start, snapshots, selected) of one seed


def test_the_page_holds_the_papers_statements_against_the_seeds(done):
    text = (done / "results" / "inspection" / "digits" / "verdicts.md").read_text()
    for words in ("neighbouring patches", "is global", "grows with depth", "fewer local heads"):
        assert words in text
    assert "n = 2" in text


def test_a_redraw_needs_rows_alone(done, tmp_path):
    folder = done / "results" / "inspection" / "digits"
    before = {name: (folder / name).read_bytes() for name in ("index.html", "distance.png", "verdicts.md")}
    for name in before:
        (folder / name).unlink()
    assert inspect("--redraw", "--results", done / "results", "--runs", tmp_path) == 0
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_a_run_of_the_store_is_shown_with_its_snapshots(done):
    rows = read_rows(done / "results" / "inspection" / "digits")
    trained = rows[(rows["task"] == "classify") & (rows["model"] == "ViT-Pico/4")]["run"].iloc[0]
    place = Place(done / "runs", done / "runs" / "cache")
    subject = next(open_all([trained], place, model="", image_size=None, data=""))
    again = pd.DataFrame(exhibits.rows(subject, place, images=(), data="", count=8))
    same = ["stage", "step", "part", "layer", "head", "distance_px"]
    first = rows[(rows["model"] == "ViT-Pico/4") & (rows["task"] == "inspect") & (rows["seed"] == 0)]
    pd.testing.assert_frame_equal(first[same].reset_index(drop=True), again[same], check_dtype=False, rtol=1e-4)
    drawn = exhibits.figures(subject, place, images=())
    assert {"positions_over_training", "rollout", "attention_1", "attention_2"} <= set(drawn)


@pytest.mark.parametrize(
    ("name", "size", "overrides", "shape"),
    [
        ("ViT-Pico/8", (32, 48), {}, "25 × 64"),
        ("ViT-Pico/4", 32, {"pooling": "gap", "positions": "relative"}, "64 × 64"),
        ("ViT-Pico/8", 32, {"pooling": "gap", "attention": "axial", "positions": "2d"}, "16 × 64"),
        ("HybridViT-Pico/8", 32, {"positions": "none"}, "17 × 48"),
        ("ViT-Pico/16", 224, {}, "197 × 64"),
    ],
)
def test_any_grid_pooling_and_stem(tmp_path, name, size, overrides, shape):
    place = Place(tmp_path, tmp_path / "cache")
    source = str(weights(tmp_path, name, size, **overrides))
    subject = next(open_all([source], place, model="", image_size=None, data=""))
    drawn = exhibits.figures(subject, place, images=())
    rows = pd.DataFrame(exhibits.rows(subject, place, images=(), data="", count=8))
    heads = rows[rows["part"] == "attention"]
    assert len(heads) == len(subject.model.blocks) * subject.model.heads and heads["distance_px"].gt(0).all()
    assert shape in set(rows["shape"].dropna())
    assert ("positions" in drawn) == (overrides.get("positions", "1d") not in ("none", "relative"))
    assert ("positions" in drawn) == ("positions" in set(rows["part"]))


def test_classes_have_their_names(tmp_path):
    place = Place(tmp_path, tmp_path / "cache")
    subject = next(open_all([str(weights(tmp_path, "ViT-Pico/8"))], place, model="", image_size=None, data=""))
    seen = portrait(subject, exhibits.photographs((32, 32))).views[0]
    with torch.no_grad():
        logits = subject.model(subject.normalise(torch.from_numpy(seen.pixels).permute(2, 0, 1)[None]))[0]
    assert seen.top[0][0] == ["ant", "bee", "cow"][int(logits.argmax())]
    assert sum(share for _, share in seen.top) == pytest.approx(1.0)
    assert class_names(None, 1000)[497].startswith("church") and class_names(None, 2) == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", "ViT-B/16"),
        ("deit_tiny_patch16_224", "ViT-Ti/16"),
        ("resnetv2_50x1_bit", None),
    ],
)
def test_the_architecture_of_a_timm_name(source, name):
    assert guessed_name(source) == name


def test_given_weights_and_a_file_become_a_page(tmp_path):
    source, image = weights(tmp_path, "ViT-Pico/8", (32, 48)), photograph(tmp_path)
    words = (
        "--checkpoint",
        source,
        "--images",
        image,
        "--results",
        tmp_path,
        "--runs",
        tmp_path / "runs",
        "--name",
        "x",
    )
    assert inspect(*words, "--wandb", "off") == 0
    folder = tmp_path / "inspection" / "x"
    shown = set(re.findall(r'<img src="([^"]+)"', (folder / "index.html").read_text()))
    assert shown == {path.name for path in folder.glob("*.png")}
    assert "4 × 6 patches" in (folder / "table.md").read_text()


@pytest.mark.parametrize(
    ("source", "image", "message"),
    [
        ("ViT", "text", "cannot be read as an image"),
        ("ViT", "missing", "cannot be read as an image"),
        ("ResNet", None, "has no attention"),
        ("nothing.npz", None, "There is no file"),
        ("0123456789ab", None, "There is no run 0123456789ab"),
    ],
)
def test_wrong_input_is_one_message(tmp_path, capsys, source, image, message):
    named = {"ViT": "ViT-Pico/8", "ResNet": "ResNet-Pico"}
    path = weights(tmp_path, named[source]) if source in named else source
    (tmp_path / "text").write_text("no image")
    images = ("--images", tmp_path / image) if image else ()
    assert inspect("--checkpoint", path, *images, "--results", tmp_path / "out", "--runs", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "out").exists()


def test_a_model_too_small_for_photographs_says_what_to_give(tmp_path, capsys):
    assert inspect("--checkpoint", weights(tmp_path, "ViT-Pico/2", 8), "--results", tmp_path / "out") == 2
    assert "give --images or --data" in capsys.readouterr().err


def test_a_run_without_snapshots_has_no_picture_over_training():
    rows = pd.DataFrame({"part": "positions", "stage": ["snapshot", "selected"], "step": [0, 100]})
    assert "positions_over_training" not in picture_names(rows, PRESETS["quick"])
    course = pd.concat([rows, rows.assign(stage="snapshot", step=50)])
    assert "positions_over_training" in picture_names(course, PRESETS["quick"])
