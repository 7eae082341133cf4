"""transformers' ViT: directories as `save_pretrained` writes them, and state dicts."""

from __future__ import annotations

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from vitlab import models

SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "image_size": 16,
    "patch_size": 4,
    "num_labels": 5,
}


@pytest.mark.parametrize(("activation", "ours"), [("gelu", "gelu"), ("gelu_new", "gelu_tanh"), ("relu", "relu")])
def test_a_classifier_gives_the_same_logits(activation, ours, tmp_path, randomize, images, relative_error):
    twin = randomize(ViTForImageClassification(ViTConfig(**SHAPE, hidden_act=activation)))
    twin.save_pretrained(tmp_path)
    model = models.load("ViT-Pico/4", tmp_path).eval()
    batch = images(2, 3, 16, 16)
    with torch.no_grad():
        assert relative_error(model(batch), twin(batch).logits) < 1e-5
    assert (model.config.activation, model.config.norm_eps, model.image_size) == (ours, 1e-12, (16, 16))


def test_a_state_dict_in_memory(randomize, images, relative_error):
    twin = randomize(ViTForImageClassification(ViTConfig(**SHAPE)))
    model = models.load("ViT-Pico/4", twin.state_dict()).eval()
    batch = images(2, 3, 16, 16)
    with torch.no_grad():
        assert relative_error(model(batch), twin(batch).logits) < 1e-5


def test_a_backbone_with_its_pooler_and_other_images(tmp_path, randomize, images, relative_error):
    twin = randomize(ViTModel(ViTConfig(**SHAPE)))
    twin.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="give num_classes, and head='drop'"):
        models.load("ViT-Pico/4", tmp_path)
    dropped = models.load("ViT-Pico/4", tmp_path, head="drop", num_classes=3, image_size=(24, 16)).eval()
    pooled = models.load("ViT-Pico/4", tmp_path, head="zero", num_classes=3).eval()
    small, large = images(2, 3, 16, 16), images(2, 3, 24, 16)
    with torch.no_grad():
        assert relative_error(pooled.features(small), twin(small).pooler_output) < 1e-5
        theirs = twin(large, interpolate_pos_encoding=True).last_hidden_state
        assert relative_error(dropped.encode(dropped.embed(large)), theirs) < 1e-5


def test_other_models_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="'bert' and 0 weight files"):
        models.load("ViT-Pico/4", tmp_path)
