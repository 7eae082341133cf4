"""Options that change nothing are named, and no others."""

from dataclasses import replace

import pytest

from experiments import compute_scaling, data_scaling, few_shot, inspection, throughput
from vitlab.study.own_data import options_given
from vitlab.study.study import Study
from vitlab.study.unused import unused

FEW = few_shot.PRESETS["quick"]
FROZEN = replace(FEW, checkpoint="vitlab/vit_pico_4.tiny_imagenet_32", models=("ViT-Pico/4",))
TUNED = data_scaling.PRESETS["quick"]  # with a rate of its own for each family
EPOCHS = replace(TUNED, train_sizes=(77,), steps_by_size={77: 9}, recipe=replace(TUNED.recipe, epochs=2.0, steps=9))
LOOKED = replace(inspection.PRESETS["cifar10_cpu"], data="digits", images=(), measured=64)  # a rate a family
OPENED = inspection.PRESETS["quick"]
NANO = replace(TUNED, models=("ViT-Nano/2",))


def named(study: Study, settings: object, command: str) -> list[str]:
    said = unused(study.plan, settings, options_given(command.split()) - study.shown)
    assert all("changes nothing here" in words for words in said)
    return [words.split()[1].removeprefix("--") for words in said]


@pytest.mark.parametrize(
    ("study", "settings", "command", "ignored"),
    [
        (compute_scaling.STUDY, compute_scaling.PRESETS["quick"], "--steps 200 --batch_size 64", ["steps"]),
        (data_scaling.STUDY, TUNED, "--lr 0.01 --weight-decay 0.1 --seeds 1", ["lr"]),
        (data_scaling.STUDY, replace(TUNED, learning_rates={}), "--lr 0.01", []),
        (data_scaling.STUDY, replace(TUNED, models=("ResNet",)), "--patch 4 --sizes Pico --data digits", ["patch"]),
        (data_scaling.STUDY, replace(NANO, sizes=("Micro",)), "--sizes Micro --augment", ["sizes"]),
        (data_scaling.STUDY, replace(TUNED, steps_by_size={77: 9}), "--steps_by_size.77=9", ["steps_by_size.77"]),
        (
            data_scaling.STUDY,
            replace(TUNED, models=("ViT",)),
            "--learning_rates.ViT 0.1 --learning_rates.ResNet 0.1",
            ["learning_rates.ResNet"],
        ),
        (few_shot.STUDY, FROZEN, "--learning_rates ViT 0.1 --steps 9 --finetune.steps 9", ["learning_rates", "steps"]),
        (data_scaling.STUDY, EPOCHS, "--epochs 2 --steps 9 --steps_by_size.77 9", ["steps", "steps_by_size.77"]),
        (few_shot.STUDY, FEW, "--learning_rates ViT 0.1 --steps 9 --rates 0.1 --shots 1 5", []),
        (inspection.STUDY, LOOKED, "--data digits --lr 0.5 --images --measured 64 --model ViT --snapshots 3", ["lr"]),
        (inspection.STUDY, OPENED, "--images a.png --measured 9 --model ViT-Pico/4 --checkpoint-size 32", []),
        (throughput.STUDY, throughput.PRESETS["quick"], "--batch 8 --peers --repeats 2", []),
    ],
)  # fmt: skip
def test_options_that_no_run_depends_on_are_named(study, settings, command, ignored):
    assert named(study, settings, command) == ignored


def test_what_the_command_line_does_not_say_is_not_spoken_of():
    assert named(compute_scaling.STUDY, compute_scaling.PRESETS["quick"], "--seeds 2") == []
