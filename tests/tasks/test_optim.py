"""What decays, that an optimiser's steps are those of its name, and the rate at each step."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

from vitlab.models import create
from vitlab.tasks.optim import decaying, optimizer, schedule
from vitlab.tasks.settings import Recipe


def names(model, decay):
    chosen = {id(p) for p in decaying(model, decay)}
    return {name for name, p in model.named_parameters() if id(p) in chosen}


LINEAR = {"attention.qkv", "attention.out", "mlp.fc1", "mlp.fc2"}
BLOCKS = {f"blocks.{layer}.{part}.weight" for layer in (0, 1) for part in LINEAR} | {"patch.weight", "head.weight"}


@pytest.mark.parametrize(
    ("options", "kernels", "tables"),
    [
        ({}, set(), {"cls", "positions.0.table"}),
        ({"head": "tanh"}, {"pre_logits.linear.weight"}, {"cls", "positions.0.table"}),
        ({"positions": "2d"}, set(), {"cls", "positions.0.rows", "positions.0.columns", "positions.0.cls"}),
        ({"positions": "none"}, set(), {"cls"}),
        ({"positions": "relative"}, set(), {"cls", *(f"blocks.{i}.attention.relative.offsets" for i in (0, 1))}),
    ],
)
def test_in_a_vit_positions_and_class_token_are_matrices_but_no_kernels(options, kernels, tables):
    model = create("ViT-Pico/2", image_size=8, num_classes=10, **options)
    assert names(model, "kernels") == BLOCKS | kernels
    assert names(model, "matrices") == BLOCKS | kernels | tables


def test_in_a_hybrid_the_kernels_of_the_cnn_decay_too():
    model = create("HybridViT-Pico/2", image_size=8, num_classes=10)
    cnn = {f"backbone.{name}.weight" for name, m in model.backbone.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert len(cnn) == 1 + 3 * 2 + 2  # stem, three blocks, two projections
    assert names(model, "kernels") == BLOCKS | cnn
    assert names(model, "matrices") == BLOCKS | cnn | {"cls", "positions.0.table"}


def test_a_resnet_has_no_matrices_but_kernels():
    model = create("ResNet-Pico", image_size=8, num_classes=10)
    assert names(model, "kernels") == names(model, "matrices")
    assert names(model, "kernels") == {name for name, p in model.named_parameters() if "norm" not in name} - {
        "head.bias"
    }


@pytest.mark.parametrize("decay", ["matrices", "kernels"])
@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_a_step_without_a_gradient_decays_what_is_named_and_no_more(kind, decay):
    """AdamW and SGD shrink a weight by lr * decay; Adam takes the decay for a gradient and steps by lr."""
    model = create("ViT-Pico/2", image_size=8, num_classes=10)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(2.0)
            parameter.grad = torch.zeros_like(parameter)
    optimizer(model, Recipe(optimizer=kind, lr=0.1, weight_decay=0.5, decay=decay)).step()
    expected = {"adamw": 2 * (1 - 0.1 * 0.5), "sgd": 2 * (1 - 0.1 * 0.5), "adam": 2 - 0.1}[kind]
    for name, parameter in model.named_parameters():
        value = expected if name in names(model, decay) else 2.0
        torch.testing.assert_close(parameter, torch.full_like(parameter, value), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        ("adamw", partial(torch.optim.AdamW, weight_decay=0.0)),
        ("adam", torch.optim.Adam),
        ("sgd", partial(torch.optim.SGD, momentum=0.9)),
    ],
)
def test_steps_without_decay_are_torchs_own(kind, plain):
    """With the moments of Tables 3 and 4, which take several different gradients to show."""
    ours = create("ViT-Pico/2", image_size=8, num_classes=10)
    theirs = copy.deepcopy(ours)
    pair = (
        (ours, optimizer(ours, Recipe(optimizer=kind, lr=0.02, weight_decay=0.0))),
        (theirs, plain(theirs.parameters(), lr=0.02)),
    )
    for step in range(4):
        for model, steps in pair:
            for parameter in model.parameters():
                parameter.grad = parameter.detach().cos() * (-0.5) ** step
            steps.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-5, atol=1e-6)


FALLS = {
    "cosine": lambda part: (1 + np.cos(np.pi * part)) / 2,
    "linear": lambda part: 1 - part,
    "constant": np.ones_like,
}


@pytest.mark.parametrize("kind", FALLS)
def test_the_rate_rises_evenly_to_its_peak_and_then_falls_as_its_name_says(kind):
    factor = schedule(Recipe(schedule=kind, warmup_steps=4), 20)
    assert [factor(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert [factor(step) for step in range(4, 21)] == pytest.approx(FALLS[kind](np.arange(17) / 16))


def test_a_warm_up_takes_half_of_the_steps_at_most_and_no_step_has_a_rate_of_zero():
    assert [schedule(Recipe(warmup_steps=400), 10)(step) for step in (4, 5)] == pytest.approx([5 / 6, 1.0])
    for steps in (1, 2, 3, 7):
        for warmup in (0, 1, 400):
            rates = [schedule(Recipe(warmup_steps=warmup), steps)(step) for step in range(steps)]
            assert min(rates) > 0 and max(rates) == 1.0
