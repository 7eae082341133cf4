"""Settings from one's own images: what is chosen for which images and which machine, and that a command line wins."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as some

from experiments import head, inspection, peak_rates, recipes
from experiments.data_scaling import PRESETS, plan
from tests.data.conftest import write_folder
from vitlab.data.info import DataInfo, describe
from vitlab.models import create
from vitlab.models.zoo import PATCHES, SMALL_VITS
from vitlab.runs.run import Run
from vitlab.study import settings as allowed
from vitlab.study.chosen import told
from vitlab.study.command_line import Execution
from vitlab.study.own_data import (
    BUDGET,
    LONGEST_FINETUNING,
    MINUTES,
    TOKENS,
    Machine,
    options_given,
    patch_for,
    seconds,
    suited,
    train_sizes,
    weights_for,
)
from vitlab.study.speeds import understood
from vitlab.tasks.settings import TRAINING, LinearProbe

QUICK = PRESETS["quick"]
COST = {"Pico": 1, "Nano": 2.4, "Micro": 7}


def machine(rate: float) -> Machine:
    """Two processes that train `rate` images/s of the smallest ViT; a CNN's cost grows with its pixels."""

    def speed(model: str, side: int, precision: str) -> float:
        size = model.partition("/")[0].split("-")[1]
        pixels = (side / 32) ** 2 if model.startswith("ResNet") else 1
        return rate / COST[size] / pixels / (1 if precision == "bf16" else 2)

    return Machine(speed, 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """300 images of 3 classes, 64 x 68 px as far as anybody looks: the headers are all that is read."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("own") / "photos"
    for index in range(300):
        path = root / "cat dog owl".split()[index % 3] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 68, 3), index % 256, np.uint8)).save(path)
    return root


def trains(run: Run) -> bool:
    """Whether a run of the plan trains; the floors beside it do not."""
    return isinstance(run.task, TRAINING)


def chosen(photos: Path, rate: float, *words: str, info: DataInfo | None = None, beside: bool = False, **given: object):
    """What is chosen, without pre-trained weights beside it unless asked."""
    words = words if beside else (*words, "--init")
    settings = replace(QUICK, data=str(photos), **given)
    found = suited(
        plan, settings, info or describe(str(photos)), options_given(words), recipes.PHOTOGRAPHS, machine(rate)
    )
    return found


def test_a_slow_machine_gets_small_images_and_a_fast_one_larger_images_and_models(photos):
    slow, usual, fast = (chosen(photos, rate).settings for rate in (400, 2000, 200_000))
    assert (slow.image_size, slow.patch, slow.sizes) == (32, 4, ("Pico",))
    assert usual.image_size == 48 and usual.patch == 8 and usual.recipe.steps >= 800
    assert (fast.image_size, fast.sizes) == (64, ("Micro",))
    assert slow.recipe.steps < 800 and slow.models == ("ViT", "ResNet")


def test_fewer_train_sizes_are_the_last_thing_to_be_given_up_and_all_images_stay(photos):
    sizes = {rate: chosen(photos, rate).settings.train_sizes for rate in (400, 230, 60)}
    assert [len(found) for found in sizes.values()] == [5, 4, 3]
    assert {found[-1] for found in sizes.values()} == {sizes[400][-1]} and sizes[230][0] == sizes[400][0]


@pytest.mark.parametrize("rate", [60, 200, 1000, 5000, 10**6])
def test_what_is_chosen_fits_into_the_time_or_says_that_it_does_not(photos, rate):
    found, info = chosen(photos, rate), describe(str(photos))
    runs = plan(found.settings)
    assert found.seconds == seconds(runs, info, machine(rate))
    images = sum(math.prod(run.recipe.rounds(1)) * run.recipe.batch_size for run in runs if trains(run))
    assert found.seconds > images / machine(rate).speed("ViT-Pico/4", 32, "bf16") / 2
    said = "\n".join(told(found, info, (), machine(rate).speed))
    assert ("takes longer" in said) == (found.seconds > 60 * MINUTES)
    assert found.seconds <= BUDGET or found.settings.recipe.steps == 100


def test_a_probe_costs_less_than_a_training_and_what_is_no_model_hardly_anything(photos):
    info, known = describe(str(photos)), machine(1000)
    run = plan(replace(QUICK, data=str(photos), models=("ViT",), train_sizes=(50,), seeds=1, patch=8))[-1]
    training, probe, pixels = (
        seconds([one], info, known)
        for one in (run, replace(run, task=LinearProbe()), replace(run, model="pixels", task=LinearProbe()))
    )
    assert training > probe > pixels > 0


def test_every_choice_is_one_line_with_its_option_and_what_was_left_out_is_said(photos):
    said = told(chosen(photos, 1000), describe(str(photos)), (), machine(1000).speed)
    options = "image_size patch models train_sizes augment learning_rates precision steps".split()
    assert [sum(f"(--{name})" in line for line in said) for name in options] == [1] * len(options)
    assert "32 px: images have 64 px, the largest for which there is time" in said[1]
    assert "64 tokens" in said[2] and "Left out" in said[-1]
    assert "HybridViT" in said[-1] and "--sizes Nano" in said[-1] and "--image_size 64" in said[-1]


def test_a_patch_that_is_given_cuts_images_of_any_size(photos):
    asked = {"image_size": 50, "patch": 2}
    found = chosen(photos, 500, "--image_size", "50", "--patch", "2", **asked).settings
    assert (found.image_size, found.patch) == (50, 2)
    with pytest.raises(ValueError, match="or the --patch that you want"):
        chosen(photos, 500, "--image_size", "50", image_size=50)
    alone = {"image_size": 50, "models": ("ResNet",)}
    assert chosen(photos, 500, "--image_size", "50", "--models", "ResNet", **alone).settings.image_size == 50


def test_the_data_of_a_preset_that_has_none_are_not_named(photos, tmp_path):
    for study, words in ((inspection, "preset quick."), (head, "preset quick, which was made for digits.")):
        settings = replace(study.PRESETS["quick"], data=str(photos))
        known = understood(study.STUDY, settings, Execution(runs=tmp_path), ["--data", str(photos)])
        assert known.said[-1] == f"What the command line does not say is as in the {words}"


def test_the_command_line_wins_over_every_choice(photos):
    words = "--image_size=64 --patch 16 --models ViT --train-sizes 30 60 --steps 7 --augment color --lr 0.5 --seeds 1"
    recipe = replace(QUICK.recipe, steps=7, augment=("color",), lr=0.5)
    asked = {"image_size": 64, "patch": 16, "models": ("ViT",), "train_sizes": (30, 60), "seeds": 1, "recipe": recipe}
    found = chosen(photos, 500, *words.split(), **asked).settings
    for name in ("image_size", "patch", "models", "train_sizes", "seeds"):
        assert getattr(found, name) == asked[name]
    assert found.recipe.steps == 7 and found.recipe.augment == ("color",) and not found.steps_by_size
    assert {run.recipe.lr for run in plan(found) if trains(run)} == {0.5}
    assert not set(options_given(words.split())) & {"data", "sizes"}


def test_a_rate_of_one_family_leaves_the_others_as_they_were_tuned(photos):
    asked = {"learning_rates": {**QUICK.learning_rates, "ViT": 0.7}}
    rates = chosen(photos, 500, "--learning_rates.ViT", "0.7", **asked).settings.learning_rates
    assert rates["ViT"] == 0.7 and rates["ResNet"] == peak_rates.CIFAR10_SHORT.chosen["ResNet"]


@pytest.mark.parametrize("steps", ["", "--steps"])
def test_the_steps_of_one_size_leave_those_of_the_others_as_they_are_chosen(photos, steps):
    words, sizes = ("--train_sizes", "30", "90", "200", *steps.split()), {"train_sizes": (30, 90, 200)}
    found = chosen(photos, 500, *words, "--steps_by_size.90", "7", **sizes, steps_by_size={90: 7}).settings
    share = 50 * round(found.recipe.steps * math.sqrt(30 / 200) / 50)
    assert found.steps_by_size == ({90: 7} if steps else {30: share, 90: 7})
    assert {run.recipe.steps for run in plan(found) if trains(run) and run.data.train_size == 90} == {7}


def test_a_larger_vit_takes_its_own_rate_in_long_trainings_unless_the_family_is_given_one(photos):
    models = ("ViT-Pico/8", "ViT-Nano/8", "ViT-Micro/8")
    words = ["--steps", "2000", "--models", *models]
    asked = {"models": models, "recipe": replace(QUICK.recipe, steps=2000)}

    def rates(*more, **also) -> list[float]:
        found = chosen(photos, 500, *words, *more, **asked, **also).settings
        return [found.recipe_of(model).lr for model in models]

    cifar10, eurosat = peak_rates.CIFAR10_LONG.chosen, peak_rates.EUROSAT_SHORT.chosen
    assert rates() == [cifar10["ViT"], eurosat["ViT-Nano"], cifar10["ViT-Micro"]]
    assert recipes.LONG_RATES["ViT-B"] == recipes.LONG_RATES["ViT-Micro"] < recipes.LONG_RATES["ViT-Nano"]
    assert rates("--learning_rates.ViT", "0.7", learning_rates={**QUICK.learning_rates, "ViT": 0.7}) == [0.7] * 3


def test_long_trainings_take_the_rates_of_long_ones(photos):
    recipe = replace(QUICK.recipe, batch_size=4)  # so that a hundred epochs are thousands of steps
    long, short = (chosen(photos, rate, "--batch_size", "4", recipe=recipe).settings for rate in (10**5, 100))
    assert long.recipe.steps > 1600 > short.recipe.steps and long.recipe.batch_size == 4
    assert long.learning_rates["ViT"] == 3e-3 and short.learning_rates["ViT"] == 1e-3
    assert long.recipe.warmup_steps == long.recipe.steps // 10
    runs = [run for run in plan(long) if run.seed == 0 and run.model.startswith("ViT")]
    for few, many in zip(runs, runs[1:], strict=False):
        share = math.sqrt(few.data.train_size / many.data.train_size)
        assert few.recipe.steps / many.recipe.steps == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize("words", [("--steps", "4000"), ("--epochs", "150")])
def test_a_length_that_is_given_has_the_rates_and_the_warm_up_of_its_own(photos, words):
    asked = {"steps": 4000} if "--steps" in words else {"epochs": 150.0}
    recipe = replace(QUICK.recipe, batch_size=4, **asked)
    found = chosen(photos, 2000, *words, "--batch_size", "4", recipe=recipe).settings
    steps = math.prod(found.recipe.rounds(max(found.train_sizes)))
    assert steps > 1600 and found.learning_rates["ViT"] == 3e-3
    assert found.recipe.warmup_steps == pytest.approx(steps / 10, rel=0.02)
    own = chosen(
        photos, 2000, *words, "--batch_size", "4", "--warmup_steps", "7", recipe=replace(recipe, warmup_steps=7)
    )
    assert own.settings.recipe.warmup_steps == 7


def test_tiny_images_are_not_enlarged(tmp_path):
    for side, patch in ((20, 2), (28, 4)):
        write_folder(tmp_path / str(side), {"a": 20, "b": 20}, side)
        info = describe(str(tmp_path / str(side)))
        native = replace(info, native=replace(info.native, median=side))
        found = chosen(tmp_path / str(side), 10**6, info=native).settings
        assert found.image_size == (16 if side == 20 else 28) and found.patch == patch


def test_photographs_are_held_against_the_weights_that_come_with_vitlab(photos):
    found = chosen(photos, 2000, beside=True).settings
    started = {run.init for run in plan(found) if run.init}
    assert started == set(found.init) == set(weights_for(["ViT-Pico/4", "ResNet-Pico"])) and started
    tuned = {(run.model, run.recipe.lr) for run in plan(found) if run.init and trains(run)}
    assert tuned == {("ViT-Pico/4", 0.03), ("ResNet-Pico", 0.3)}
    assert not any(run.init for run in plan(chosen(photos, 2000).settings))


def test_fine_tuning_has_as_many_steps_as_training_from_scratch_at_every_size_up_to_what_was_tried(photos):
    for rate in (500, 2000, 10**5):
        found = chosen(photos, rate, beside=True).settings
        steps: dict[bool, dict[int, int]] = {True: {}, False: {}}
        for run in filter(trains, plan(found)):
            steps[bool(run.init)][run.data.train_size] = run.recipe.steps
        share = min(1, LONGEST_FINETUNING / found.recipe.steps)
        assert steps[True] == {size: round(share * length) for size, length in steps[False].items()}
        assert found.finetune.warmup_steps == found.finetune.steps // 10
    short = chosen(photos, 2000, "--steps", "40", beside=True, recipe=replace(QUICK.recipe, steps=40)).settings
    assert (short.recipe.steps, short.finetune.steps) == (40, 40)
    asked = {"finetune": replace(QUICK.finetune, steps=7, augment=("color",)), "rates": (0.5,)}
    words = ("--finetune.steps", "7", "--finetune.augment", "color", "--rates", "0.5")
    own = chosen(photos, 2000, *words, beside=True, **asked).settings
    assert (own.finetune.steps, own.finetune.augment) == (7, ("color",))
    assert {run.recipe.lr for run in plan(own) if run.init and trains(run)} == {0.5}
    said = told(chosen(photos, 2000, beside=True), describe(str(photos)), (), machine(2000).speed)
    assert any("steps at ViT 0.03, ResNet 0.3 (--init)" in line for line in said)
    assert own.finetune.batch_size == recipes.PHOTOGRAPHS.finetune.batch_size


def test_images_that_cannot_be_read_are_not_asked_for(photos):
    info, settings = describe(str(photos)), replace(QUICK, data=str(photos))
    info = replace(info, sizes={**info.sizes, "train": info.sizes["train"] - 4})  # as `describe` knows of four
    found = suited(plan, settings, info, (), recipes.PHOTOGRAPHS, machine(500))
    assert max(found.settings.train_sizes) == info.sizes["train"]


def test_some_classes_have_fewer_images(photos):
    found = chosen(Path(f"{photos}@0,2"), 500, info=describe(str(photos)).only((0, 2))).settings
    counts = next(split.classes for split in describe(str(photos)).splits if split.name == "train")
    assert max(found.train_sizes) == counts["cat"] + counts["owl"]


@drawn(some.integers(2, 200), some.integers(2, 10**6))
def test_train_sizes_grow_to_all_and_are_never_below_the_classes(classes, images):
    images = max(images, 2 * classes)
    sizes = train_sizes(images, classes)
    assert sizes[-1] == images and sizes[0] >= classes and list(sizes) == sorted(set(sizes)) and len(sizes) <= 5
    assert all(b / a < 4.5 or a <= 4 for a, b in zip(sizes, sizes[1:], strict=False))


@pytest.mark.parametrize("side", [8, 16, 20, 24, 28, 32, 40, 48, 64, 96, 112, 128, 224, 256])
def test_a_patch_leaves_at_most_a_hundred_tokens(side):
    patch = patch_for(side)
    assert side % patch == 0 and (side // patch) ** 2 <= TOKENS
    model = create(f"ViT-Pico/{patch}", image_size=side, num_classes=2)
    assert model.grid == (side // patch, side // patch)


def test_a_size_that_no_patch_cuts_says_which_one_is_near():
    with pytest.raises(ValueError, match="97 px into at most 100 tokens; give --image_size 96"):
        patch_for(97)


def test_the_words_of_the_command_line_are_those_of_the_models():
    assert allowed.PATCHES == PATCHES and tuple(SMALL_VITS) == allowed.SMALL_SIZES
