"""The model that a run starts with: what its options, its weights and its task say of it, and which goes first."""

from dataclasses import replace

import pytest
import torch

from vitlab.models import create, save_checkpoint
from vitlab.runs.build_model import build_model
from vitlab.runs.execute import images_of
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Classify, LinearProbe
from vitlab.weights import fingerprint

DIGITS_RUN = Run("ViT-Pico/2", Data("digits"))


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, tmp_path / "cache")


def test_a_run_computes_as_it_says_and_not_as_its_weights_did(place, tmp_path):
    path = save_checkpoint(create("ViT-Pico/2", image_size=8, num_classes=10), tmp_path / "gelu.safetensors")
    run = replace(DIGITS_RUN, init=str(path))
    data = images_of(run, place)
    assert build_model(run, data, place.store).config.activation == "gelu"
    run = replace(run, options=(("activation", "relu"),))
    assert build_model(run, data, place.store).config.activation == "relu"


def test_weights_that_were_replaced_since_the_plan_are_refused(place, tmp_path):
    path = save_checkpoint(create("ViT-Pico/2", image_size=8, num_classes=10), tmp_path / "w.safetensors")
    planned = replace(DIGITS_RUN, init=str(path), init_fingerprint=fingerprint(path))
    data = images_of(planned, place)
    build_model(planned, data, place.store)
    save_checkpoint(create("ViT-Pico/2", image_size=8, num_classes=3), path)
    with pytest.raises(ValueError, match=r"w.safetensors was changed since this run was planned"):
        build_model(planned, data, place.store)


@pytest.mark.parametrize("kind", ["1d", "2d", "sincos2d", "relative"])
def test_zeros_in_place_of_positions_are_zeros_of_every_kind(place, tmp_path, kind):
    options = (("positions", kind),)
    model = create("ViT-Pico/2", image_size=8, num_classes=10, positions=kind)
    torch.nn.init.normal_(model.head.weight)
    path = save_checkpoint(model, tmp_path / "model.safetensors")
    run = replace(DIGITS_RUN, init=str(path), options=options, task=LinearProbe("zero"))
    built = build_model(run, images_of(run, place), place.store).eval()
    images = torch.randn(2, 3, 8, 8)
    mixed = images.unfold(2, 2, 2).unfold(3, 2, 2).flatten(2, 3)[:, :, torch.randperm(16)]  # (2, 3, 16, 2, 2)
    mixed = mixed.unflatten(2, (4, 4)).permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 8, 8)
    with torch.no_grad():  # without positions the order of the patches is nothing to the model
        torch.testing.assert_close(built.features(images), built.features(mixed))
    drawn = replace(run, task=Classify(positions="fresh"), seed=1)
    if kind == "sincos2d":
        with pytest.raises(ValueError, match="fresh.*none that are drawn"):
            build_model(drawn, images_of(run, place), place.store)
        return
    names = [name for name in model.state_dict() if name.startswith("positions.") or name.endswith("offsets")]
    fresh = build_model(drawn, images_of(run, place), place.store).state_dict()
    assert names and not any(torch.equal(fresh[name], model.state_dict()[name]) for name in names)
