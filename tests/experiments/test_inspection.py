"""The inspection study from its command line: what it writes, for which weights it works, and what it refuses."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from experiments.inspection import PRESETS, STUDY
from experiments.inspection_evidence import draw
from vitlab.claims.rule import decide
from vitlab.gallery import exhibits
from vitlab.gallery.exhibits import open_all, portrait
from vitlab.gallery.subjects import class_names, guessed_name
from vitlab.models import create, save_checkpoint
from vitlab.report.evidence import Evidence
from vitlab.runs.place import Place
from vitlab.runs.rows import with_init
from vitlab.runs.stored import read_rows
from vitlab.study.study import main

SMALL = """--preset digits_cpu --image_size 16 --depth 2 --seeds 2 --steps 6 --batch_size 16 --evaluations 3
    --snapshots 3 --measured 8"""


def inspect(*words: object) -> int:
    """Run the command in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main(STUDY, [str(word) for word in words])
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


def test_options_that_change_nothing_are_named_where_models_are_trained(tmp_path, capsys):
    rates = "--models ViT --learning_rates.ViT 0.001 --lr 0.5 --images".split()
    assert inspect(*SMALL.split(), *rates, "--dry_run", "--runs", tmp_path, "--results", tmp_path) == 0
    said = capsys.readouterr().out
    assert "--lr changes nothing here" in said and said.count("changes nothing") == 1


def test_the_page_shows_every_picture_that_was_drawn(done):
    folder = done / "results" / "inspection" / "digits"
    shown = {Path(name).stem for name in re.findall(r'<img src="([^"]+)"', (folder / "index.html").read_text())}
    assert shown == {path.stem for path in folder.glob("*.png")}
    assert {"positions_over_training", "attention_2", "distance", "over_training"} <= shown


def test_rows_hold_every_head_of_every_snapshot(done):
    rows = read_rows(done / "results" / "inspection" / "digits")
    heads = rows[(rows["part"] == "attention") & (rows["model"] == "ViT-Pico/4")]
    assert set(heads[heads["stage"] == "snapshot"]["step"]) == {0, 2, 4, 6}
    assert heads.groupby(["seed", "stage", "step"]).size().eq(2 * 4).all()  # layers x heads
    start = heads[heads["step"] == 0]
    assert np.allclose(start["distance_px"], start["uniform_px"], rtol=0.15)  # untrained attention is nearly uniform
    assert (rows["part"] == "receptive_field").sum() == 3 * 5  # stages x (start, snapshots, selected) of one seed


def test_the_claims_are_about_trained_minus_untrained_weights(done):
    folder = done / "results" / "inspection" / "digits"
    rows, evidence = read_rows(folder), Evidence.loads((folder / "evidence.json").read_text())
    found = {(verdict.claim.id, verdict.about["first"]): verdict for verdict in evidence.verdicts}
    assert {name for name, _ in found} == {f"inside.{word}" for word in "near grid depth both hybrid".split()}
    near = found["inside.near", "ViT-Pico/4"]
    positions = rows[(rows["part"] == "positions") & (rows["model"] == "ViT-Pico/4") & (rows["seed"] == 1)]
    at = (positions["near_cosine"] - positions["other_cosine"]).set_axis(
        positions["stage"] + positions["step"].map(str)
    )
    assert near.interval.n == 2 and near.values[1] == pytest.approx(at.iloc[-1] - at["snapshot0.0"], abs=1e-12)
    assert near.claim.primary and not found["inside.near", "HybridViT-Pico/4"].claim.primary
    assert "2 layers, fewer than 4" in " ".join(found["inside.depth", "ViT-Pico/4"].failed)
    assert found["inside.hybrid", "ViT-Pico/4"].subject == "ViT-Pico/4 against HybridViT-Pico/4"


def test_untrained_weights_hold_no_claim(done):
    """What is true of random weights is not learnt."""
    rows = read_rows(done / "results" / "inspection" / "digits")
    start = rows[(rows["stage"] == "snapshot") & (rows["step"] == 0)]
    again = start.assign(stage="selected", near_cosine=start["near_cosine"] + 1e-9 * start["seed"])
    drawn = draw(with_init(pd.concat([rows[rows["part"].isna()], start, again])), PRESETS["digits_cpu"])
    assert not any(verdict.outcome == "holds" for verdict in decide(list(drawn.verdicts)))


@pytest.mark.parametrize("seed", range(10))
def test_any_part_of_the_rows_is_drawn_or_declined_in_one_sentence(done, seed):
    rows, chance = read_rows(done / "results" / "inspection" / "digits"), np.random.default_rng(seed)
    kept = chance.random(len(rows)) < chance.choice([0.02, 0.2, 0.7])
    if seed % 2:
        runs = rows["run"].unique()
        kept = rows["run"].isin(runs[chance.random(len(runs)) < 0.4])
    drawn = draw(with_init(rows[kept]), PRESETS["digits_cpu"])
    assert drawn.tables or drawn.answer == "No model with attention has been inspected yet."
    assert Evidence.loads(drawn.dumps()).to_json() == drawn.to_json()


def test_a_redraw_needs_rows_alone(done, tmp_path):
    folder = done / "results" / "inspection" / "digits"
    before = {name: (folder / name).read_bytes() for name in ("index.html", "distance.png", "evidence.md")}
    for name in before:
        (folder / name).unlink()
    words = ("--preset", "digits_cpu", "--redraw", "--results", done / "results", "--runs", tmp_path)
    assert inspect(*words) == 0
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_a_run_of_the_store_is_inspected_as_the_study_did(done, tmp_path):
    rows = read_rows(done / "results" / "inspection" / "digits")
    trained = rows[(rows["task.kind"] == "classify") & (rows["model"] == "ViT-Pico/4")]["run"].iloc[0]
    words = ("--checkpoint", trained, "--measured", 8, "--wandb", "off", "--name", "one")
    assert inspect(*words, "--results", tmp_path, "--runs", done / "runs") == 0
    folder = tmp_path / "inspection" / "one"
    again = read_rows(folder)
    first = rows[rows["run"].isin(again["run"])]
    same = ["run", "init", "stage", "step", "part", "layer", "head", "distance_px", "score"]
    order = ["run", "split", "part", "stage", "step", "layer", "head"]
    pd.testing.assert_frame_equal(*(t.sort_values(order)[same].reset_index(drop=True) for t in (first, again)))
    assert {"positions_over_training.png", "rollout.png", "attention_2.png"} <= {path.name for path in folder.iterdir()}
    found = Evidence.loads((folder / "evidence.json").read_text()).verdicts
    assert {verdict.interval.n for verdict in found} == {1} and {v.outcome for v in found} == {"cannot be tested here"}
    assert "points above chance" in found[0].failed[0]


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
    rows = pd.DataFrame(exhibits.subject_rows(subject, place, 0, images=(), data="", count=8))
    heads = rows[(rows["part"] == "attention") & (rows["stage"] == "selected")]
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


def test_the_architecture_of_a_hugging_face_folder_in_ones_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "vit_hf").mkdir()
    (tmp_path / "vit_hf" / "config.json").write_text('{"hidden_size": 192, "patch_size": 8}')
    assert guessed_name("~/vit_hf") == "ViT-Ti/8"


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
    shown = {Path(name).stem for name in re.findall(r'<img src="([^"]+)"', (folder / "index.html").read_text())}
    assert shown == {path.stem for path in folder.glob("*.png")}
    assert "4 × 6 patches" in (folder / "evidence.md").read_text()
    rows = read_rows(folder)
    assert set(rows["init"]) == {str(source)} and set(rows["stage"]) == {"snapshot", "selected"}


def test_weights_that_were_opened_beside_the_first_before_are_not_averaged_with_it(tmp_path):
    (tmp_path / "other").mkdir()
    first, other = weights(tmp_path, "ViT-Pico/8"), weights(tmp_path / "other", "ViT-Pico/8", (32, 48))
    places = ("--name", "x", "--results", tmp_path, "--runs", tmp_path / "runs", "--wandb", "off")
    path = tmp_path / "inspection" / "x" / "evidence.json"
    alone = []
    for sources in ((first,), (first, other), (first,)):
        assert inspect("--checkpoint", *sources, *places) == 0
        alone.append(Evidence.loads(path.read_text()))
    assert alone[0].to_json() == alone[2].to_json() != alone[1].to_json()
    assert set(read_rows(path.parent)["init"]) == {str(first), str(other)}, "its rows stay in the file"
    assert inspect("--redraw", *places) == 0 and Evidence.loads(path.read_text()).to_json() == alone[0].to_json()


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


def test_without_arguments_the_weights_that_come_along_name_what_they_see(tmp_path):
    assert inspect("--results", tmp_path, "--runs", tmp_path / "runs", "--wandb", "off") == 0
    folder = tmp_path / "inspection" / "vit_micro_4.tiny_imagenet_32"
    assert {"classes.png", "class_token_1.png", "rollout.png", "positions.png"} <= {p.name for p in folder.iterdir()}
    assert set(read_rows(folder)["model"]) == {"ViT-Micro/4"} and not list((tmp_path / "runs").glob("*/rows.json"))


@pytest.mark.parametrize("words", [("--steps", 10), ("--sizes", "Nano"), ("--seeds", 5)])
def test_what_only_a_training_takes_is_refused_where_weights_are_opened(tmp_path, capsys, words):
    assert inspect(*words, "--results", tmp_path, "--runs", tmp_path / "runs", "--wandb", "off") == 2
    said = capsys.readouterr().err
    assert "nothing is trained" in said and "digits_cpu" in said and not list(tmp_path.iterdir())


def test_a_model_too_small_for_photographs_says_what_to_give(tmp_path, capsys):
    assert inspect("--checkpoint", weights(tmp_path, "ViT-Pico/2", 8), "--results", tmp_path / "out") == 2
    assert "give --images or --data" in capsys.readouterr().err


def test_a_dry_run_names_what_would_be_opened(tmp_path, capsys):
    source = weights(tmp_path, "ViT-Pico/8")
    assert inspect("--checkpoint", source, "--dry_run", "--results", tmp_path / "out", "--runs", tmp_path) == 0
    assert f"{source}: ViT-Pico/8, 32 x 32 px" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_a_plan_needs_attention_first():
    with pytest.raises(ValueError, match="name a ViT or a hybrid first"):
        STUDY.plan(replace(PRESETS["digits_cpu"], models=("ResNet", "ViT")))
    runs = [run.init for run in STUDY.plan(PRESETS["digits_cpu"])]
    assert [run.seed for run in runs if run.model == "ResNet-Pico"] == [0] and len(runs) == 7
    assert runs[0].model == "ViT-Pico/4" and dict(runs[0].options) == {"depth": 4}
    few = [run.init for run in STUDY.plan(replace(PRESETS["digits_cpu"], train_size=100)) if run.model == "ViT-Pico/4"]
    assert [(run.seed, run.data.subset_seed, run.data.train_size) for run in few] == [(n, n, 100) for n in range(3)]
