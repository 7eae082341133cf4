"""Every switch of the paper's ablations, from a Run that was read from JSON to weights that open by themselves."""

import csv
import json

import pytest
import torch

from vitlab.models import create, load
from vitlab.models.config import CHOICES
from vitlab.runs.build_model import build_model
from vitlab.runs.execute import execute, images_of
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run, from_settings, settings
from vitlab.tasks.settings import Classify, Recipe

QUIET = Listener(lambda event: None, lambda: False)
SHORT = Recipe(steps=24, batch_size=32, lr=3e-3, warmup_steps=3, evaluations=2)
DIGITS = Data("digits", train_size=400)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return Place(folder, folder / "cache")


def trained(run, place):
    """Train the run as it comes back from JSON: its row, its loss in each round, and its weights, opened without it."""
    stored = from_settings(json.loads(json.dumps(settings(run))))
    assert (stored, stored.id, hash(stored)) == (run, run.id, hash(run))
    outcome = execute(stored, place, QUIET)
    assert outcome.status == "finished", outcome.reason
    with place.store.path(stored, "curve.csv").open() as file:
        losses = [float(line["train_loss"]) for line in csv.DictReader(file)]
    return outcome.rows[0], losses, load(place.store.weights(stored))


VITS = [
    *({"positions": kind} for kind in ("none", "relative", "sincos2d")),  # D.4
    *({"positions": kind, "positions_at": at} for kind in ("1d", "2d") for at in CHOICES["positions_at"]),
    *({"pooling": "gap"}, {"pooling": "gap", "class_token": True}),  # D.3
    {"attention": "axial", "pooling": "gap"},  # D.6
    *({"depth": 3}, {"width": 32}, {"mlp_width": 48}, {"heads": 2}, {"patch": 4}),  # D.2
    {"depth": 1, "width": 48, "heads": 3, "mlp_width": 64, "patch": 4},
    *({"norm": "post", "activation": "relu"}, {"norm": "post"}, {"activation": "relu"}, {"activation": "gelu_tanh"}),
    {"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.1},
]


@pytest.mark.parametrize("options", VITS, ids=str)
def test_a_vit_learns_with_each_option_and_its_weights_tell_it(options, place):
    run = Run("ViT-Pico/2", DIGITS, SHORT, options=tuple(sorted(options.items())))
    row, losses, model = trained(run, place)
    asked = create("ViT-Pico/2", image_size=8, num_classes=10, **options)
    assert model.config == asked.config and all(getattr(model.config, name) == options[name] for name in options)
    assert row["parameters"] == sum(p.numel() for p in asked.parameters())
    assert losses[1] < losses[0] - 0.05


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.1), ("adam", 1e-2), ("adamw", 1e-2)])
@pytest.mark.parametrize("decay", ["matrices", "kernels"])
def test_a_resnet_learns_with_each_optimiser(optimizer, lr, decay, place):
    """D.1; a ResNet's widths are options too, and a list of JSON is the tuple that it was."""
    recipe = Recipe(steps=24, batch_size=32, optimizer=optimizer, decay=decay, lr=lr, warmup_steps=3, evaluations=2)
    options = (("layers", (1, 1)), ("widths", (16, 32)))
    row, losses, model = trained(Run("ResNet-Pico", DIGITS, recipe, options=options), place)
    assert model.config.widths == (16, 32) and row["parameters"] == sum(p.numel() for p in model.parameters())
    assert losses[1] < losses[0] - 0.05


def test_pre_training_with_sigmoid_and_a_tanh_layer_and_fine_tuning_without(place):
    """Section 3.1 and the authors' upstream loss: each of 10 classes costs ln 2 at first, and the mean answer less."""
    task, head = Classify(loss="sigmoid"), (("head", "tanh"),)
    before = Run("ViT-Pico/2", Data("digits", classes=(0, 1, 2, 3, 4, 5, 6)), SHORT, task, options=head)
    _, losses, model = trained(before, place)
    assert losses[0] < 7 * torch.tensor(2.0).log() and losses[1] < losses[0] - 0.05
    assert isinstance(model.pre_logits.linear, torch.nn.Linear)
    after = Run("ViT-Pico/2", Data("digits", classes=(7, 8, 9)), SHORT, init=before)
    started = build_model(after, images_of(after, place), place.store)
    assert torch.equal(started.state_dict()["cls"], model.state_dict()["cls"])
    _, losses, tuned = trained(after, place)
    assert losses[1] < losses[0] - 0.05 and isinstance(tuned.pre_logits, torch.nn.Identity)


@pytest.mark.parametrize("name", ["ViT-Pico/2", "ResNet-Pico"])
def test_single_pixels_shuffled_can_be_learned(name, place):
    data = Data("digits", train_size=400, shuffle=1)
    _, losses, _ = trained(Run(name, data, SHORT), place)
    assert losses[1] < losses[0] - 0.05
