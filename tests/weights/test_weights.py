"""Weights that come with vitlab, and the command that makes them of a finished run."""

import lzma
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from vitlab.data.cards import cards
from vitlab.models import load, read_metadata
from vitlab.models.checkpoint import read_weights
from vitlab.models.timm_registry import register, timm_names
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.study.beside import short_name
from vitlab.tasks.settings import MaskedPatch, Recipe
from vitlab.weights import FOLDER, find, fingerprint, shipped
from vitlab.weights.__main__ import card, ship
from vitlab.weights.__main__ import trained as read

LARGEST = 3 * 2**20  # bytes


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Run]:
    """The folder of a finished training on digits, with its run."""
    place = Place(tmp_path, tmp_path / "cache")
    run = Run("ViT-Pico/2", Data("digits", train_size=100), Recipe(steps=4, batch_size=16, evaluations=1))
    assert execute(run, place, Listener(lambda event: None, lambda: False)).status == "finished"
    return place.store.path(run), run


@pytest.mark.parametrize("name", shipped())
def test_shipped_weights_are_small_halves_with_a_card_and_class_names(name):
    file, model = find(name), load(name)
    assert file.stat().st_size < LARGEST
    assert {weight.dtype for weight in read_weights(file).values()} == {torch.float16}
    assert len(read_metadata(file)["classes"]) == model.head.out_features
    text = file.with_name(f"{name.removeprefix('vitlab/')}.md").read_text()
    assert text.startswith(f"# {name}\n") and f"{sum(p.numel() for p in model.parameters()):,} parameters" in text


def test_there_are_weights_and_every_card_has_some():
    assert shipped()
    assert {path.stem for path in FOLDER.glob("*.md")} == {name.removeprefix("vitlab/") for name in shipped()}


@pytest.mark.parametrize("name", shipped())
def test_timm_makes_them_under_its_own_names(name):
    register()
    about, images = read_metadata(find(name)), torch.rand(2, 3, 32, 32)
    (asked,) = (ours for ours, (model, px) in timm_names().items() if (model, px) == (about["name"], 32))
    whole, other = (timm.create_model(asked, pretrained=True, **more).eval() for more in ({}, {"num_classes": 7}))
    assert torch.equal(whole(images), load(name).eval()(images))
    assert torch.equal(whole.forward_features(images), other.forward_features(images)) and other(images).shape == (2, 7)
    assert whole.pretrained_cfg["mean"] == tuple(about["mean"])


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"comes with no weights 'vitlab/none'; there are .*tiny_imagenet"):
        load("vitlab/none")


def test_the_home_of_nobody_is_no_path():
    with pytest.raises(ValueError, match=r"^~nobody_here/w\.npz is no path: .*home"):
        find("~nobody_here/w.npz")


@pytest.mark.parametrize(
    ("weights", "others"),
    [("model.safetensors", "pytorch_model.bin"), ("pytorch_model-00001-of-00002.bin", "optimizer.pt")],
)
def test_of_a_hugging_face_folder_what_is_read_counts(weights, others, tmp_path):
    read = ("config.json", "preprocessor_config.json", weights)
    for name in (*read, others, "README.md"):
        (tmp_path / name).write_text("as it was")
    found = [fingerprint(tmp_path)]
    for name in (others, "README.md"):
        (tmp_path / name).write_text("changed since")
    (tmp_path / ".gitattributes").touch()
    assert fingerprint(tmp_path) == found[0]
    for name in read:
        (tmp_path / name).write_text("changed since")
        found.append(fingerprint(tmp_path))
    assert len(set(found)) == len(found)


def test_of_a_runs_folder_its_weights_count(tmp_path):
    for name in ("model.safetensors", "run.json", "log.csv"):
        (tmp_path / name).write_text("as it was")
    before = fingerprint(tmp_path)
    assert before == fingerprint(tmp_path / "model.safetensors")
    (tmp_path / "run.json").write_text("changed since")
    (tmp_path / "log.csv").unlink()
    assert fingerprint(tmp_path) == before
    (tmp_path / "model.safetensors").write_text("changed since")
    assert fingerprint(tmp_path) != before


def test_a_run_is_shipped_with_what_made_it(trained, tmp_path):
    folder, run = trained
    file = ship(folder, tmp_path / "made")
    own, images = load(folder).eval(), torch.randn(3, 3, 8, 8)
    assert file.name == "vit_pico_2.digits.safetensors"
    assert torch.allclose(load(file).eval()(images), own(images), atol=1e-2)
    text = file.with_name("vit_pico_2.digits.md").read_text()
    assert "4 steps of 16 images" in text and run.id in text and "100 images of Digits" in text


def test_weights_may_be_rounded_to_fewer_bits_as_their_card_says(trained, tmp_path):
    folder, _ = trained
    whole = read_weights(folder / "model.safetensors")
    for bits in (8, 5):
        file = ship(folder, tmp_path / str(bits), bits)
        for key, weight in read_weights(file).items():
            exact = whole[key].double()
            normal = exact.abs() > 2.0**-14
            assert ((weight.double() - exact).abs() <= 2.0**-bits * exact.abs())[normal].all()
            if bits == 8:
                assert torch.equal(weight[normal], whole[key].bfloat16().half()[normal])
        assert f"half precision, rounded to {bits} significant bits." in file.with_suffix(".md").read_text()
    assert len(zlib.compress(file.read_bytes())) < 0.8 * len(zlib.compress(ship(folder, tmp_path).read_bytes()))
    with pytest.raises(ValueError, match=r"--bits is 12; a half has 11, so give 1 to 11\."):
        ship(folder, tmp_path, 12)


def test_compressed_weights_are_the_same_and_take_the_place_of_the_others(trained, tmp_path):
    folder, run = trained
    made = tmp_path / "made"
    plain = ship(folder, made, 5)
    weights, size, said = read_weights(plain), plain.stat().st_size, read_metadata(plain)
    images = torch.randn(3, 3, 8, 8)
    logits = load(plain).eval()(images)
    file = ship(folder, made, 5, compressed=True)
    assert file.name == "vit_pico_2.digits.safetensors.xz" and file.stat().st_size < 0.6 * size
    assert sorted(path.name for path in made.iterdir()) == ["vit_pico_2.digits.md", file.name]
    assert read_metadata(file) == said and all(
        torch.equal(own, weights[key]) for key, own in read_weights(file).items()
    )
    assert torch.equal(load(file).eval()(images), logits) and short_name(str(file)) == "vit_pico_2.digits"
    with pytest.raises(ValueError, match=f"run {run.id} both make"):
        ship(finished(replace(run, seed=1), tmp_path), made)
    assert ship(folder, made, 5) == plain and not file.exists()


@pytest.mark.parametrize("content", [b"no xz", lzma.compress(bytes(2**28)), lzma.compress(b"no safetensors")])
def test_what_is_no_compressed_weight_file_is_refused_by_its_name(content, tmp_path):
    path = tmp_path / "odd.safetensors.xz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.safetensors\.xz .*(cannot be read|would grow)"):
        load(path)


def finished(run: Run, folder: Path) -> Path:
    place = Place(folder, folder / "cache")
    assert execute(run, place, Listener(lambda event: None, lambda: False)).status == "finished"
    return place.store.path(run)


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vitlab.weights", *map(str, words)], capture_output=True, text=True)


def test_the_card_is_true_of_the_recipe_the_start_and_the_place(trained, tmp_path):
    folder, run = trained
    recipe = Recipe(epochs=2, batch_size=20, evaluations=1, warmup_steps=40)
    tuned = finished(replace(run, init=run, recipe=recipe), tmp_path)
    file = ship(tuned, tmp_path / "made")
    text = file.with_suffix(".md").read_text()
    assert "- 10 steps of 20 images (2 epochs)" in text and " 5 steps of warm-up" in text
    assert f"- Started from the weights of run {run.id}, ViT-Pico/2 after classify on digits." in text
    (source,) = re.findall(r'vitlab\.models\.load\("(.*?)"\)', text)
    assert torch.equal(load(source).head.weight, load(file).head.weight) and f"`--init {source}`" in text
    assert "Started from" not in ship(folder, tmp_path / "other").with_suffix(".md").read_text()


@pytest.mark.parametrize(("name", "like"), [("eurosat_64", "eurosat"), ("cifar10@0,1", "cifar10"), ("holiday", None)])
def test_the_licence_is_that_of_the_set_which_a_copy_or_some_classes_are_of(name, like, trained):
    folder, run = trained
    found = read(folder)
    text = card(replace(found, run=replace(run, data=replace(run.data, name=name))), "w", 11)
    assert f"- Data: {cards()[like].licence if like else 'see their own terms'}." in text


def test_two_runs_are_not_written_over_one_another(trained, tmp_path):
    folder, run = trained
    other = replace(run, seed=1)
    second, to = finished(other, tmp_path), tmp_path / "made"
    both = command(folder, second, "--to", to)
    assert both.returncode == 2 and not to.exists()
    assert run.id in both.stderr and other.id in both.stderr and "Traceback" not in both.stderr
    file = ship(folder, to)
    with pytest.raises(ValueError, match=f"Run {other.id} and run {run.id} both make .* removed first"):
        ship(second, to)
    assert read_metadata(file)["run"] == run.id and ship(folder, to) == file, "the same run may be shipped again"


def test_weights_that_tell_no_classes_apart_are_not_shipped(trained, tmp_path):
    _, run = trained
    folder = finished(replace(run, task=MaskedPatch()), tmp_path)
    with pytest.raises(ValueError, match="predicts masked patches"):
        ship(folder, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_what_is_no_finished_run_is_refused(trained, tmp_path):
    folder, _ = trained
    with pytest.raises(ValueError, match="is no folder of a run"):
        ship(tmp_path, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="is no finished training"):
        ship(folder, tmp_path / "made")
    found = subprocess.run(
        [sys.executable, "-m", "vitlab.weights", str(tmp_path / "none")], capture_output=True, text=True
    )
    assert found.returncode == 2 and "runs/0123456789ab" in found.stderr and "Traceback" not in found.stderr
