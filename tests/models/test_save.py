from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vitlab import models

CASES = [
    ("vitlab", ".safetensors", "ViT-Pico/4", {}),
    ("vitlab", ".safetensors", "HybridViT-Pico/4", {"positions": "2d", "norm": "post", "activation": "relu"}),
    ("vitlab", ".safetensors", "ViT-Pico/4", {"attention": "axial", "pooling": "gap", "positions_at": "every_layer"}),
    ("vitlab", ".safetensors", "ResNet-Pico", {}),
    ("timm", ".safetensors", "ViT-Pico/4", {"head": "tanh"}),
    ("timm", ".safetensors", "ResNet-Pico", {}),
    ("timm", ".safetensors", "R+ViT-Ti/16", {}),
    ("official", ".npz", "ViT-Pico/4", {"head": "tanh"}),
    ("official", ".npz", "ViT-Pico/4", {"activation": "gelu_tanh", "pooling": "gap", "positions": "sincos2d"}),
    ("official", ".npz", "R+ViT-Ti/16", {"numerics": "timm"}),
    ("official", ".npz", "R50x1", {"layers": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize(("layout", "suffix", "name", "settings"), CASES)
def test_round_trips_are_exact(layout, suffix, name, settings, tmp_path, randomize, images):
    model = randomize(models.create(name, image_size=(32, 64), num_classes=5, **settings))
    path = models.save(model, tmp_path / f"model{suffix}", layout=layout)
    again = models.load(path).eval()
    state = again.state_dict()
    assert list(state) == list(model.state_dict())
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(again(images(1, 3, 32, 64)), model(images(1, 3, 32, 64)))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_describes_itself(tmp_path):
    model = models.create("ViT-Pico/4", image_size=8, num_classes=2, in_channels=1)
    more = {"mean": [0.5], "std": [0.25], "classes": ["cat", "dog"], "card": "Trained on nothing."}
    path = models.save_checkpoint(model, tmp_path / "model.safetensors", metadata=more)
    told = models.read_metadata(path)
    assert told.items() >= more.items()
    assert (told["name"], told["image_size"], told["num_classes"], told["in_channels"]) == ("ViT-Pico/4", [8, 8], 2, 1)
    with safe_open(path, "pt") as file:
        card = file.metadata()["card"]
    for part in ("# ViT-Pico/4", f"{models.count(model).parameters:,} parameters", "8 x 8 px", "Trained on nothing."):
        assert part in card


def test_official_files_hold_the_official_names_and_shapes(tmp_path):
    model = models.create("ViT-Pico/4", image_size=8, num_classes=2)
    with np.load(models.save(model, tmp_path / "model.npz")) as file:
        shapes = {name: file[name].shape for name in file.files}
    attention = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    assert shapes["Transformer/posembed_input/pos_embedding"] == (1, 5, 64)
    assert shapes["embedding/kernel"] == (4, 4, 3, 64)
    assert shapes[f"{attention}/query/kernel"] == (64, 4, 16)
    assert shapes[f"{attention}/value/bias"] == (4, 16)
    assert shapes[f"{attention}/out/kernel"] == (4, 16, 64)
    assert shapes["Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel"] == (64, 256)
    assert shapes["head/kernel"] == (64, 2)
    assert len(shapes) == 2 * 16 + 8


@pytest.mark.parametrize(
    ("name", "settings", "file", "layout", "message"),
    [
        ("ViT-Pico/4", {"positions": "2d"}, "a.npz", None, "no place for positions='2d'"),
        ("ViT-Pico/4", {"norm": "post"}, "a.safetensors", "timm", "no place for norm='post'"),
        ("HybridViT-Pico/4", {}, "a.npz", None, "the CNN for small images"),
        ("ResNet-Pico", {}, "a.npz", None, "no official layout"),
        ("ViT-Pico/4", {}, "a.pt", None, "do not go together"),
        ("ViT-Pico/4", {}, "a.npz", "timm", "do not go together"),
    ],
)
def test_what_has_no_place_is_refused(name, settings, file, layout, message, tmp_path):
    model = models.create(name, image_size=8, num_classes=2, **settings)
    with pytest.raises(ValueError, match=message):
        models.save(model, tmp_path / file, layout=layout)


def test_metadata_must_be_plain(tmp_path):
    model = models.create("ViT-Pico/4", image_size=8, num_classes=2)
    with pytest.raises(ValueError, match="plain JSON"):
        models.save_checkpoint(model, tmp_path / "a.safetensors", metadata={"mean": torch.ones(3)})
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="does not say which"):
        models.read_metadata(tmp_path / "foreign.safetensors")


def test_a_description_that_an_npz_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    model = models.create("ViT-Pico/2", image_size=8, num_classes=3)
    with pytest.raises(ValueError, match="description.*write .safetensors"):
        models.save(model, tmp_path / "model.npz", metadata={"classes": ["a long name of a class"] * 3000})
    assert not list(tmp_path.iterdir())
