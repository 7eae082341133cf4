from __future__ import annotations

import pytest
import timm.layers
import torch

from vitlab import models
from vitlab.models.convolution import StdConv2d, group_norm, pad_same
from vitlab.models.hybrid import HybridBackbone, SmallBackbone


@pytest.mark.parametrize(("on_deviation", "eps"), [(False, 1e-8), (True, 1e-5)])
def test_filters_have_mean_0_and_deviation_1(on_deviation, eps):
    conv = StdConv2d(5, 7, 3)
    conv.eps, conv.eps_on_deviation = eps, on_deviation
    filters = conv.standardized().flatten(1)
    flat = conv.weight.double().flatten(1)
    deviation = flat.std(1, keepdim=True, correction=0)
    scale = deviation + eps if on_deviation else (deviation**2 + eps).sqrt()
    assert torch.allclose(filters.double(), (flat - flat.mean(1, keepdim=True)) / scale, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_is_timms_at_every_size(kernel, stride, images):
    for size in (5, 6, 7, 8):
        x = images(1, 2, size, size + 1)
        assert torch.equal(pad_same(x, kernel, stride), timm.layers.pad_same(x, [kernel] * 2, [stride] * 2))
        conv = StdConv2d(2, 3, kernel, stride=stride, same=True)
        assert conv(x).shape == (1, 3, -(-size // stride), -(-(size + 1) // stride))


@pytest.mark.parametrize("channels", [64, 256, 2048, 12, 20, 36, 80, 88, 168, 248, 336, 3, 1])
def test_groups_divide_the_channels(channels):
    norm = group_norm(channels)
    assert channels % norm.num_groups == 0
    if channels in (64, 256, 2048):
        assert norm.num_groups == 32  # as in BiT


def test_inspect_shows_each_stage(randomize, images):
    model = randomize(models.create("ResNet-Pico", image_size=28, num_classes=5))
    batch = images(2, 3, 28, 28)
    seen = model.inspect(batch)
    assert [tuple(m.shape) for m in seen.maps] == [(2, 16, 28, 28), (2, 32, 14, 14), (2, 80, 7, 7)]
    assert seen.tokens == seen.attention == ()
    assert torch.equal(seen.logits, model(batch))
    assert torch.equal(seen.pre_logits, model.features(batch))


def test_a_resnet_starts_at_zero_and_takes_a_new_head(images):
    model = models.create("ResNet-Pico", image_size=8, num_classes=5)
    model.reset_head(3)
    assert torch.equal(model(images(2, 3, 8, 8)), torch.zeros(2, 3))


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_small_backbones_have_one_size_and_their_stride(stride, images):
    backbone = SmallBackbone(3, 12, stride=stride)
    assert backbone(images(1, 3, 28, 16)).shape == (1, 48, -(-28 // stride), 16 // stride)
    sizes = {sum(p.numel() for p in SmallBackbone(3, 12, stride=s).parameters()) for s in (2, 4, 8)}
    assert max(sizes) / min(sizes) < 1.02


def test_a_hybrid_of_stage_3_has_four_times_the_tokens():
    """Section 3.1: stage 4, or stage 3 extended to the same number of layers."""
    shape = {"image_size": 224, "num_classes": 1000}
    with torch.device("meta"):
        four, three = models.create("R50+ViT-L/32", **shape), models.create("R50+ViT-L/32", stage=3, **shape)
        named = models.create("R50+ViT-L/16", **shape)
    assert (four.grid, three.grid, three.token_stride) == ((7, 7), (14, 14), 16)
    assert [len(stage) for stage in three.backbone.stages] == [3, 4, 9]
    assert sum(p.numel() for p in three.parameters()) == sum(p.numel() for p in named.parameters())
    with pytest.raises(ValueError, match="take 3 or 4"):
        models.create("R26+ViT-S/32", stage=3, **shape)


def test_official_and_timm_constants_differ_a_little(images):
    official, timms = HybridBackbone(3, (1, 1)), HybridBackbone(3, (1, 1), numerics="timm")
    timms.load_state_dict(official.state_dict())
    batch = images(1, 3, 32, 32)
    difference = (official(batch) - timms(batch)).abs().max()
    assert 0 < difference < 1e-2
    timms.set_numerics("official")
    assert torch.equal(official(batch), timms(batch))
    with pytest.raises(ValueError, match="numerics='jax'"):
        HybridBackbone(3, (), numerics="jax")
