"""Warnings where an answer would mislead, and none where it would not."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from experiments.data_scaling import PRESETS, DataScaling
from experiments.inspection import Inspection
from vitlab.data.info import DataInfo, SplitInfo
from vitlab.data.leaks import Leaks
from vitlab.study.cautions import after, before, left_out
from vitlab.tasks.settings import Recipe


def info(test: int = 400, classes: int = 2, common: float = 0.5) -> DataInfo:
    counts = {f"c{n}": round(test * (1 - common) / (classes - 1)) for n in range(1, classes)}
    counts = {"c0": round(test * common), **counts}
    splits = (SplitInfo("train", 800, "", counts), SplitInfo("test", test, "", counts))
    return DataInfo("mine", "mine", classes, {"train": 800, "validation": 400, "test": test}, 32, None, None, splits)


def rows(validation: float, test: float, seeds: int = 3) -> pd.DataFrame:
    """A model that is near chance with few images and as said with many."""
    found = [
        {"model": "ViT-Pico/4", "train_images": n, "seed": seed, "split": split, "score": score, "status": "finished"}
        for n in (50, 800)
        for seed in range(seeds)
        for split, score in (("validation", validation if n > 50 else 0.5), ("test", test if n > 50 else 0.5))
    ]
    return pd.DataFrame(found)


def test_nothing_is_said_of_a_good_answer_and_of_a_study_s_own_data():
    assert before(info(), SimpleNamespace(seeds=3)) == after(info(), rows(0.9, 0.89)) == []
    assert before(None, SimpleNamespace(seeds=1)) == after(None, rows(0.9, 0.1)) == []
    named = rows(0.9, 0.1).assign(**{"data.name": "mine"})
    assert after(info(), named) and after(info(), named.assign(split=None)) == [], "none of these is a training's"


def test_runs_that_diverged_are_counted_where_the_rest_is_spoken_of():
    runs = pd.DataFrame({"run": list("aabbcd"), "model": ["ViT"] * 4 + ["ResNet"] * 2})
    kinds = runs.assign(failure=[None, None, "certain", "certain", "killed", None])
    assert left_out(kinds) == [
        "Warning: 1 of 2 runs of ViT diverged or failed for good; what follows is of the others."
    ]
    assert left_out(kinds.assign(failure=None)) == left_out(runs) == []


@pytest.mark.parametrize(("images", "points"), [(25, "20"), (96, "10"), (99, "10")])
def test_few_test_images_are_said_with_their_sampling_error(images, points):
    (said,) = before(info(images), SimpleNamespace(seeds=3))
    assert f"{images} test images" in said and f"uncertain by {points} points" in said


def test_test_images_that_are_not_new_are_said():
    (copies, folders) = before(replace(info(), leaks=Leaks({"c0": 4, "c1": 3}, folders=12)), SimpleNamespace(seeds=3))
    assert "7 of the 400 test images are among those of training too" in copies
    assert "12 folders below the class folders have images both in training and in test" in folders


def test_a_test_split_of_one_class_above_all_is_said():
    (said,) = before(info(common=0.9), SimpleNamespace(seeds=3))
    assert "90% of the test images are of 'c0', and 40 of 'c1'" in said


def test_small_patches_are_said_with_larger_ones_but_not_of_weights_that_are_opened():
    (said,) = before(info(), DataScaling("mine", image_size=64, patch=2))
    assert "1,024 tokens of an image of 64 px" in said and "--patch 8 makes 64" in said
    assert before(info(), DataScaling("mine", image_size=64, patch=4)) == []
    assert before(info(), DataScaling("mine", image_size=64, patch=2, models=("ResNet",))) == []
    assert before(info(), Inspection(data="mine", image_size=64, checkpoint=("weights.pt",))) == []


def test_a_patch_that_is_no_number_is_left_to_the_zoo():
    settings = SimpleNamespace(image_size=64, seeds=3, model_names=lambda: ["ViT-Pico/x"])
    assert before(info(), settings) == []


@pytest.mark.parametrize(("seeds", "words"), [(1, "with 1 seed a difference"), (2, "with 2 seeds a difference")])
def test_few_seeds_claim_no_trend(seeds, words):
    for said in (before(info(), SimpleNamespace(seeds=seeds)), after(info(), rows(0.9, 0.9, seeds))):
        assert len(said) == 1 and words in said[0] and "no trend is claimed" in said[0]


def test_a_test_split_of_another_kind_is_said_at_the_largest_size():
    (said,) = after(info(), rows(0.95, 0.7))
    assert "25 points below validation (70.0%, not 95.0%, for ViT-Pico/4)" in said


def test_what_was_learned_for_other_images_is_not_called_nothing():
    (said,) = after(info(), rows(0.9, 0.5))
    assert "40 points below validation" in said and "nothing was learned" not in said


def test_a_gap_within_the_sampling_error_is_not_worth_a_word():
    assert after(info(30), rows(0.7, 0.55 + 0.01)) == [] and after(info(2000), rows(0.7, 0.56)) != []


@pytest.mark.parametrize(("common", "guess"), [(0.5, "guessing for 50.0%"), (0.8, "always saying 'c0' for 80.0%")])
def test_near_the_floor_nothing_was_learned(common, guess):
    floor = max(0.5, common)
    (said,) = after(info(common=common), rows(floor + 0.03, floor + 0.02))
    assert guess in said and "nothing was learned" in said
    assert after(info(common=common), rows(floor + 0.08, floor + 0.08)) == []


@pytest.mark.parametrize(
    ("sizes", "steps"), [((500, 5000), {500: 300, 8000: 1200, 49_000: 2400}), ((5000,), {8000: 1200})]
)
def test_fewer_images_than_a_size_with_fewer_steps_are_said(sizes, steps):
    settings = DataScaling("cifar10", train_sizes=sizes, steps_by_size=steps, recipe=Recipe(steps=2400))
    (said,) = before(None, settings)
    assert said.startswith(
        "Warning: 5,000 images are trained for 2,400 steps, and 8,000 for 1,200; --steps_by_size.5000 "
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_said_of_the_steps_of_a_preset(preset):
    assert before(None, PRESETS[preset]) == []


def test_nothing_is_said_of_the_most_images_which_take_the_most_steps():
    steps = {500: 300, 2000: 600}
    assert before(None, DataScaling("cifar10", train_sizes=(500, 2000, 8000), steps_by_size=steps)) == []


def test_what_was_learned_of_other_images_is_nothing_to_these():
    found = rows(0.9, 0.9).assign(**{"data.name": "mine@0,1"})
    other = rows(0.06, 0.05).assign(train_images=95_000, **{"data.name": "tiny_imagenet_32"})
    assert after(info(), pd.concat([found, other])) == []
    (said,) = after(info(), pd.concat([found, other.assign(**{"data.name": "mine"})]))
    assert "nothing was learned" in said


def test_a_model_is_looked_at_with_its_best_rate_and_not_with_the_mean_of_all():
    bad, good = (rows(score, score).assign(**{"recipe.lr": lr}) for score, lr in ((0.5, 0.1), (0.9, 0.01)))
    assert after(info(), pd.concat([bad, good])) == [] and after(info(), bad) != []


def test_arms_of_one_model_are_looked_at_by_themselves():
    found = pd.concat(
        [
            rows(score, score).assign(
                **{"init": init, "task.kind": kind, "recipe.lr": 0.1, "data.name": "mine", "title": "d"}
            )
            for score, init, kind in ((0.5, None, "classify"), (0.52, "w", "classify"), (0.9, "w", "linear_probe"))
        ]
    )
    assert after(info(), found) == []
    (said,) = after(info(), found[found["task.kind"] == "classify"])
    assert "the best model, ViT-Pico/4 of w, fine-tuned, is right for 52.0%" in said
