"""The answer for a folder of a person's own images, end to end, where it is known: dark or light, two to one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.data_scaling import STUDY
from vitlab.models import create, save_checkpoint
from vitlab.report.evidence import Evidence
from vitlab.runs.stored import read_rows
from vitlab.study.study import main

WORDS = (
    "--models ViT-Pico/8 --image_size 16 --patch 8 --learning_rates.ViT 0.003 --precision fp32 --train_sizes 8 32 "
    "--seeds 2 --steps 20 --evaluations 2 --rates 0.1 --wandb off"
)
MADE = ("evidence.json", "evidence.md", "confusion.png")


def study(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(STUDY, [str(word) for word in words])
    return end.value.code


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder, chance = tmp_path_factory.mktemp("at@home") / "mine", np.random.default_rng(0)
    for i in range(60):
        path = folder / ("light" if i % 3 else r"dark $\foo$") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = 150 if i % 3 else 0
        Image.fromarray((chance.integers(0, 80, (16, 16, 3)) + shade).astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def done(images, tmp_path_factory) -> Path:
    """The evidence with weights that were never trained in the place of pre-trained ones."""
    folder = tmp_path_factory.mktemp("done")
    weights = save_checkpoint(create("ViT-Pico/8", image_size=16, num_classes=5), folder / "tiny.safetensors")
    places = ("--results", folder / "results", "--runs", folder / "runs")
    assert study("--data", images, *WORDS.split(), "--init", weights, *places) == 0
    return folder / "results" / "data_scaling" / "mine"


def test_every_arm_is_in_the_rows_at_the_same_sizes_on_the_same_subsets(done):
    rows = read_rows(done)
    kinds = rows.groupby("task.kind")["run"].nunique().to_dict()
    assert kinds == {"classify": 2 * 2 * 2, "linear_probe": 2 * 2, "floors": 2 * 2}
    assert (rows.groupby("task.kind")["train_images"].unique().map(set) == {8, 32}).all()
    assert (rows["data.subset_seed"] == rows["seed"]).all()


def test_the_floors_are_what_they_must_be(done):
    floors = read_rows(done).query("`task.kind` == 'floors'").groupby("part")["score"].unique()
    assert floors["majority class"] == pytest.approx([2 / 3]) and floors["nearest neighbour on pixels"] == [1.0]


def test_the_answer_says_what_to_take_and_what_cannot_be_said(done):
    found = Evidence.loads((done / "evidence.json").read_text())
    said = found.summary
    assert said.startswith("Warning: with 2 seeds")
    assert "With 32 of the 43 training images take ViT-Pico/8" in said
    assert "majority class 66.7%, nearest neighbour on pixels 100.0%" in said
    assert "cannot be said: only 2 train sizes, not 4" in said
    assert "Pre-trained weights, held against training from scratch, are not told apart with 8 images" in said
    table = next(table for table in found.tables if table.name == "accuracy").frame
    arms = ["ViT-Pico/8", "ViT-Pico/8 of tiny, fine-tuned", "ViT-Pico/8 of tiny, frozen"]
    assert set(table.index) == {*arms, "majority class", "nearest neighbour on pixels"}
    assert {"figure", "arms"} <= set(found.figures) and "confusion" in found.pictures


def test_a_redraw_says_the_same_without_torch_and_leaves_the_pictures(done):
    before = {name: (done / name).read_bytes() for name in MADE}
    for name in ("evidence.json", "evidence.md"):
        (done / name).unlink()
    code = (
        "import sys\nfrom experiments.data_scaling import STUDY\nfrom vitlab.study.study import main\n"
        "try: main(STUDY, ['--redraw', '--name', 'mine', '--results', sys.argv[1]])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(done.parents[1])], check=True, capture_output=True)
    assert {name: (done / name).read_bytes() for name in MADE} == before
    assert 'src="confusion.png"' in (done / "index.html").read_text()


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("no/such/file.npz", "there is no such file"),
        ("vit_tiny_patch16_224.no_such_weights", "a name of timm's such as"),
        ("ViT-Pico/8=nowhere.safetensors", "there is no such file"),
        ("resnet50.a1_in1k", "write MODEL=resnet50.a1_in1k"),
    ],
)
def test_weights_that_cannot_be_had_are_named_before_anything_is_trained(source, named, images, tmp_path, capsys):
    places = ("--results", tmp_path / "results", "--runs", tmp_path / "runs")
    assert study("--data", images, *WORDS.split(), "--init", source, *places) == 2
    assert named in capsys.readouterr().err and not (tmp_path / "results").exists()
