"""The same weights in timm's models and in ours give the same logits and gradients."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F

from vitlab import models
from vitlab.models.layouts import entries

TWINS = {
    "ViT-Ti/16": "vit_tiny_patch16_224",
    "ViT-S/32": "vit_small_patch32_224",
    "ViT-B/16": "vit_base_patch16_224",
    "R+ViT-Ti/16": "vit_tiny_r_s16_p8_224",
    "R26+ViT-S/32": "vit_small_r26_s32_224",
    "R50+ViT-B/16": "vit_base_r50_s16_224",
    "R50x1": "resnetv2_50x1_bit",
}


@pytest.mark.parametrize("name", TWINS)
def test_logits_and_gradients_are_those_of_timm(name, randomize, images, relative_error):
    size = 112 if name == "R50+ViT-B/16" else 224  # the costly one on smaller images
    twin = randomize(timm.create_model(TWINS[name], num_classes=7, **({"img_size": 112} if size == 112 else {})))
    ours = models.load(name, twin.state_dict(), image_size=size).eval()
    batch, label = images(1, 3, size, size), torch.tensor([3])
    with torch.no_grad():
        assert relative_error(ours(batch), twin(batch)) < 1e-5

    # Gradients in double precision: in single, rounding moves activations across the kink of a ReLU, and with it whole
    # terms of a gradient, by more than any bound that would find a mistake.
    twin, ours, batch = twin.double(), ours.double(), batch.double()
    expected, got = twin(batch), ours(batch)
    assert relative_error(got, expected) < 1e-9

    F.cross_entropy(expected, label).backward()
    F.cross_entropy(got, label).backward()
    theirs, mine = dict(twin.named_parameters()), dict(ours.named_parameters())
    for entry in entries(ours, "timm"):
        gradient = entry.turn.back(*(theirs[part].grad for part in entry.theirs))
        assert relative_error(mine[entry.ours].grad, gradient) < 1e-9, entry.ours


def test_interpolated_to_384_px_as_timm_does(randomize, images, relative_error):
    twin = randomize(timm.create_model("vit_base_patch16_224", num_classes=7))
    ours = models.load("ViT-B/16", twin.state_dict(), image_size=384).eval()
    twin.set_input_size(img_size=384)
    batch = images(1, 3, 384, 384)
    with torch.no_grad():
        assert relative_error(ours(batch), twin(batch)) < 1e-5


def test_tokens_of_odd_feature_maps_are_timms(randomize, images, relative_error):
    """SAME padding depends on the size: 112 px gives odd feature maps in the last stages."""
    twin = randomize(timm.create_model("vit_small_r26_s32_224", num_classes=7, img_size=(112, 160)))
    ours = models.load("R26+ViT-S/32", twin.state_dict(), image_size=(112, 160)).eval()
    batch = images(2, 3, 112, 160)
    with torch.no_grad():
        assert relative_error(ours(batch), twin(batch)) < 1e-5


def test_a_file_in_timms_layout_is_read_by_timm(tmp_path, randomize, images, relative_error):
    ours = randomize(models.create("R26+ViT-S/32", image_size=64, num_classes=5, numerics="timm"))
    path = models.save(ours, tmp_path / "timm.safetensors", layout="timm")
    twin = timm.create_model("vit_small_r26_s32_224", img_size=64, num_classes=5, checkpoint_path=str(path)).eval()
    batch = images(2, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(twin(batch), ours(batch)) < 1e-5


def test_a_timm_name_is_a_source(monkeypatch, randomize, images):
    """Without a network: timm gives the architecture with random weights where it would download them."""
    create_model = timm.create_model
    twin = randomize(create_model("vit_tiny_patch16_224", num_classes=7))
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: twin)
    batch = images(1, 3, 224, 224)
    assert torch.allclose(
        models.load("ViT-Ti/16", "vit_tiny_patch16_224").eval()(batch), twin(batch), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="timm knows no such model"):
        models.load("ViT-Ti/16", "vit_tinny_patch16_224")
