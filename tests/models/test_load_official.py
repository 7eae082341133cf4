"""Files in the authors' layout: read as timm reads them, and told apart from timm by their GELU and constants."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from vitlab import models
from vitlab.models.save import translated

TWINS = {
    "ViT-Ti/16": "vit_tiny_patch16_224",
    "R+ViT-Ti/16": "vit_tiny_r_s16_p8_224",
    "R26+ViT-S/32": "vit_small_r26_s32_224",
    "R50x1": "resnetv2_50x1_bit",
}


def write(path, name, randomize, **settings):
    """An `.npz` in the official layout with random values, and nothing that says who wrote it."""
    model = randomize(models.create(name, image_size=64, num_classes=5, **settings))
    np.savez(path, **{key: value.numpy() for key, value in translated(model, "official").items()})
    return path


@pytest.mark.parametrize("name", TWINS)
def test_same_logits_as_timms_own_loader(name, tmp_path, randomize, images, relative_error):
    path = write(tmp_path / "official.npz", name, randomize)
    size = {} if name == "R50x1" else {"img_size": 64}
    twin = timm.create_model(TWINS[name], num_classes=5, **size).eval()
    twin.load_pretrained(str(path))
    timms = {"activation": "gelu", "numerics": "timm"} if name.startswith("R") else {"activation": "gelu"}
    ours = models.load(name, path, image_size=64, **({} if name == "R50x1" else timms)).eval()
    if name == "ViT-Ti/16":
        assert models.load(name, path, image_size=64).config.activation == "gelu_tanh"
    batch = images(2, 3, 64, 64)
    with torch.no_grad():
        assert relative_error(ours(batch), twin(batch)) < 1e-5


def test_images_as_large_as_the_positions_are_for(tmp_path, randomize):
    path = write(tmp_path / "official.npz", "ViT-Ti/16", randomize)
    model = models.load("ViT-Ti/16", path)
    assert (model.image_size, model.head.out_features) == ((64, 64), 5)


def test_hidden_layer_comes_with_the_head(tmp_path, randomize, images):
    path = write(tmp_path / "official.npz", "ViT-Ti/16", randomize, head="tanh")
    kept = models.load("ViT-Ti/16", path).eval()
    zeroed = models.load("ViT-Ti/16", path, head="zero").eval()
    dropped = models.load("ViT-Ti/16", path, head="drop", num_classes=3).eval()
    batch = images(2, 3, 64, 64)
    assert kept.config.head == zeroed.config.head == "tanh"
    assert dropped.config.head == "linear"
    assert torch.equal(kept.features(batch), zeroed.features(batch))
    assert torch.equal(zeroed(batch), torch.zeros(2, 5))
    assert torch.equal(dropped(batch), torch.zeros(2, 3))
    assert torch.allclose(kept.pre_logits(dropped.features(batch)), kept.features(batch), atol=1e-6)


def test_older_and_newer_names_and_optimiser_states(tmp_path, randomize, images):
    path = write(tmp_path / "official.npz", "ViT-Ti/16", randomize)
    arrays = dict(np.load(path))
    renames = (("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0"), ("LayerNorm_2", "LayerNorm_1"))
    newer = {}
    for key, value in arrays.items():
        for old, new in (*renames, ("MlpBlock_3", "MlpBlock_0")):
            key = key.replace(old, new)
        newer[key] = value
    np.savez(tmp_path / "newer.npz", **newer)
    states = {f"opt/state/{key}/grad_ema": value for key, value in arrays.items()}
    np.savez(tmp_path / "older.npz", **{f"opt/target/{key}": value for key, value in arrays.items()}, **states)
    batch = images(1, 3, 64, 64)
    expected = models.load("ViT-Ti/16", path).eval()(batch)
    for other in ("newer.npz", "older.npz"):
        assert torch.equal(models.load("ViT-Ti/16", tmp_path / other).eval()(batch), expected)


def test_group_norms_of_published_files(tmp_path, randomize, images):
    """The published hybrids keep scales of group norms as (1, 1, 1, C)."""
    path = write(tmp_path / "official.npz", "R+ViT-Ti/16", randomize)
    arrays = dict(np.load(path))
    for key in ("gn_root/scale", "gn_root/bias"):
        arrays[key] = arrays[key][None, None, None]
    np.savez(tmp_path / "published.npz", **arrays)
    batch = images(1, 3, 64, 64)
    ours = [models.load("R+ViT-Ti/16", tmp_path / file).eval()(batch) for file in ("official.npz", "published.npz")]
    assert torch.equal(*ours)


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", **{"embedding/kernel": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match="plain arrays"):
        models.load("ViT-Ti/16", tmp_path / "evil.npz")
