"""What a training takes of each process, planned without any of it."""

from dataclasses import replace

import pytest
import torch

from vitlab.models import create
from vitlab.runs.footprint import footprint, lines
from vitlab.runs.run import Data, Run
from vitlab.study.command_line import Execution
from vitlab.study.engines import check
from vitlab.tasks.settings import Recipe

HUGE = Run("ViT-H/14", Data("imagenet"), Recipe(batch_size=512, optimizer="adamw", precision="bf16"))


def test_a_huge_model_is_planned_and_not_made():
    whole, sharded = (footprint(HUGE, 224, 1000, strategy, 8) for strategy in ("ddp", "fsdp"))
    width, depth, tokens = 1280, 32, 257
    layer = 12 * width**2 + 13 * width  # four matrices of attention, eight of the MLP, biases and two norms
    outside = 3 * 14**2 * width + width + (tokens + 1) * width + 2 * width + 1000 * width + 1000
    assert whole.cost.parameters == depth * layer + outside
    assert whole.kept == 16 * whole.cost.parameters and whole.together == 0
    assert sharded.kept == pytest.approx(whole.kept / 8, abs=8)
    assert sharded.together == 4 * (outside + 2 * layer)
    assert sharded.images == 64 and sharded.activations == whole.activations
    # Of each token the inputs of six maps and norms and more, and of each head the attention, in two bytes.
    least = 2 * 64 * depth * (tokens * 10 * width + 16 * tokens**2)
    assert least < sharded.activations < 3 * least


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_are_those_that_a_training_keeps(precision):
    run = Run("ViT-Pico/4", Data("digits"), Recipe(batch_size=10, precision=precision))
    planned = footprint(run, 32, 10, "ddp", 2)
    model = create("ViT-Pico/4", image_size=32, num_classes=10)
    weights, kept = {weight.data_ptr() for weight in model.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
    ):
        model(torch.rand(5, 3, 32, 32))
    real = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)
    assert planned.activations == pytest.approx(real, rel=0.5)


def test_a_line_for_each_model_and_trainings_alone():
    small = replace(HUGE, model="ViT-Pico/4")
    said = lines([HUGE, replace(HUGE, seed=1), small], [(224, 1000), (224, 1000), (32, 10)], "fsdp", 8)
    assert len(said) == 2 and said[0].startswith("ViT-H/14 at 224 px: 632,045,800 parameters")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": "fdsp", "devices": 2}, "Unknown --strategy 'fdsp'; allowed: ddp, fsdp. Did you mean 'fsdp'"),
        ({"strategy": "fsdp"}, "--strategy fsdp spreads a model over several processes; ask for them with --devices"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        check(Execution(**given))
    check(Execution(strategy="fsdp", devices=2))
