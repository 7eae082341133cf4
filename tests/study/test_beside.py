"""What stands beside training from scratch: weights from any source as a Run, and the names of arms."""

import importlib

import pandas as pd
import pytest

from vitlab.models import create, save_checkpoint
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.study.beside import Beside, arms, short_name, short_names, start_of
from vitlab.study.plan import SEED
from vitlab.study.study import main
from vitlab.tasks.settings import Classify, LinearProbe, Recipe


def test_a_file_says_its_model_its_options_and_its_pixels(tmp_path):
    made = create("ViT-Pico/2", image_size=12, num_classes=5, pooling="gap", head="tanh")
    path = str(save_checkpoint(made, tmp_path / "w.safetensors"))
    run, size = start_of(path)
    assert (run.model, run.init, run.options, size) == ("ViT-Pico/2", path, (("pooling", "gap"),), 12)


def test_a_run_of_the_store_is_its_folder(tmp_path):
    place = Place(tmp_path / "runs", tmp_path / "cache")
    trained = Run("ResNet-Pico", Data("digits", train_size=20), Recipe(steps=1, evaluations=1))
    assert execute(trained, place, Listener(lambda event: None, lambda: False)).status == "finished"
    run, size = start_of(str(place.store.path(trained)))
    assert (run.model, size, run.init) == ("ResNet-Pico", 8, str(place.store.weights(trained)))
    unfinished = tmp_path / "runs" / "0123456789ab"
    unfinished.mkdir()
    (unfinished / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="has no weights yet"):
        start_of(str(unfinished))


def test_a_name_of_timms_is_known_without_its_weights():
    run, size = start_of("vit_tiny_patch16_224.augreg_in21k")
    assert (run.model, size, run.init) == ("ViT-Ti/16", 224, "vit_tiny_patch16_224.augreg_in21k")
    assert start_of("ViT-Ti/16=vit_tiny_patch16_384.augreg_in21k_ft_in1k")[1] == 384


def test_a_path_may_have_equals_signs(tmp_path):
    (tmp_path / "lr=0.1").mkdir()
    made = create("ViT-Pico/2", image_size=8, num_classes=5)
    path = str(save_checkpoint(made, tmp_path / "lr=0.1" / "w=1.safetensors"))
    assert start_of(f"ViT-Pico/2={path}") == start_of(path) and start_of(path)[0].init == path
    missing = str(tmp_path / "lr=0.1" / "none.npz")
    with pytest.raises(ValueError, match=f"^--init {missing}: there is no such file"):
        start_of(missing)
    with pytest.raises(ValueError, match="Did you mean 'ViT-Pico/2'"):
        start_of(f"ViT-Pic/2={path}")


@pytest.mark.parametrize("source", ["~nobody_here/w.npz", "~nobody_here/w=1.npz", "ViT-B/16=~nobody_here/w.npz"])
def test_the_home_of_nobody_is_refused(source):
    with pytest.raises(ValueError, match="~nobody_here/w.* is no path"):
        start_of(source)


def test_the_plan_is_paired_and_at_the_pixels_of_the_weights(tmp_path):
    path = str(save_checkpoint(create("ViT-Pico/2", image_size=12, num_classes=5), tmp_path / "w.safetensors"))
    runs = Beside(init=(path,), rates=(0.1, 0.3)).pretrained({SEED: (0, 1), "data.train_size": (20, None)})
    assert len(set(runs)) == 2 * 2 * (1 + 2)
    assert all(run.seed == run.data.subset_seed and run.data.image_size == 12 and run.init == path for run in runs)
    tuned = [run for run in runs if isinstance(run.task, Classify)]
    assert {run.recipe.lr for run in tuned} == {0.1, 0.3} and {run.recipe.optimizer for run in tuned} == {"sgd"}
    assert sum(isinstance(run.task, LinearProbe) for run in runs) == 4
    assert Beside().pretrained({SEED: (0,)}) == [] and Beside().floors({SEED: (0,)}) == []


def test_arms_are_named_and_a_rate_is_chosen_for_each_size_on_validation():
    found = []
    for n, best in ((20, 0.1), (80, 0.3)):
        for kind, init, lr in (("classify", None, 1e-3), ("classify", "a/b.npz", 0.1), ("classify", "a/b.npz", 0.3),
                               ("linear_probe", "a/b.npz", 1e-3), ("floors", None, 1e-3)):  # fmt: skip
            for split in ("validation", "test")[kind == "floors" :]:
                right = (lr == best) == (split == "validation")
                found.append({"task.kind": kind, "init": init, "recipe.lr": lr, "train_images": n, "split": split})
                found[-1] |= {"score": 0.9 if right else 0.5, "model": "pixels" if kind == "floors" else "ViT"}
                found[-1] |= {
                    "part": "majority class" if kind == "floors" else None,
                    "title": "t",
                    "data.name": "d",
                    "seed": 0,
                }
    named = arms(pd.DataFrame(found))
    assert list(dict.fromkeys(named["model"])) == ["ViT", "ViT of b, fine-tuned", "ViT of b, frozen", "majority class"]
    tuned = named[named["model"] == "ViT of b, fine-tuned"]
    assert dict(zip(tuned["train_images"], tuned["recipe.lr"], strict=False)) == {20: 0.1, 80: 0.3}
    assert (tuned.query("split == 'test'")["score"] == 0.5).all(), "the test split plays no part"


def test_weights_have_short_names():
    names = ("runs/0123/model.safetensors", "a/B_16.npz", "vit_tiny_patch16_224.augreg_in21k", "hf/folder")
    assert [short_name(name) for name in names] == ["0123", "B_16", "vit_tiny_patch16_224.augreg_in21k", "folder"]
    alike = ["in21k/B_16.npz", "in1k/B_16.npz", "in1k/S_16.npz"]
    assert list(short_names(alike).values()) == ["in21k/B_16", "in1k/B_16", "S_16"]


def test_names_grow_until_weights_differ():
    named = {"/a/w/best.pt": "a/w/best", "/b/w/best.pt": "b/w/best", "/a/v/best.pt": "v/best"}
    assert short_names(named) == named
    runs = {"a/0123/model.safetensors": "a/0123", "b/0123/model.safetensors": "b/0123"}
    assert short_names(runs) == runs
    kinds = {"a/best.pt": "a/best.pt", "a/best.npz": "a/best.npz", "best": "best"}
    assert short_names(kinds) == kinds, "folders alone do not tell them apart"


@pytest.mark.parametrize("study", ["data_scaling", "tuning"])
def test_rates_of_a_family_that_there_is_not_are_refused(study, tmp_path, capsys):
    words = ["--rates_by_family", "Vit", *["0.1"] * 4, "--rates", *["0.1"] * 4, "--dry_run", "--runs", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        main(importlib.import_module(f"experiments.{study}").STUDY, words)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "'Vit'" in said and "Did you mean 'ViT'?" in said and "HybridViT, ResNet" in said
