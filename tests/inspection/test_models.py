"""Inspection of real models: the same attention as timm's, and every kind of model that has a grid."""

import pytest
import timm
import torch

from vitlab import models
from vitlab.inspection import (
    accumulate,
    attention_distances,
    attention_rollout,
    cls_attention,
    effective_receptive_field,
    field_size,
    rollout_matrix,
    safe_batch_size,
    uniform_distance,
)


def timm_attention(model: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """What timm's model multiplies its values with, read where dropout would act on it (without fused attention)."""
    seen: list[torch.Tensor] = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.no_grad():
        model(images)
    return seen


def test_attention_equals_timms_with_the_same_weights():
    torch.manual_seed(0)
    reference = timm.create_model("vit_tiny_patch16_224", img_size=(64, 96), num_classes=5).eval()
    for block in reference.blocks:  # so that attention is far from uniform
        torch.nn.init.normal_(block.attn.qkv.weight, std=0.12)
    images = torch.randn(2, 3, 64, 96)
    model = models.load(
        "ViT-Ti/16", reference.state_dict(), image_size=(64, 96), num_classes=5, source_grid=(4, 6)
    ).eval()
    with torch.no_grad():
        found = model.inspect(images)
    expected = timm_attention(reference, images)
    assert len(found.attention) == len(expected) == 12
    for ours, theirs in zip(found.attention, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert max(float(layer.max()) for layer in expected) > 0.3
    distances, reference_distances = (
        attention_distances(attention, grid=model.grid, stride=model.token_stride, prefix=1)
        for attention in (found.attention, expected)
    )
    torch.testing.assert_close(distances, reference_distances, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("name", "size", "overrides"),
    [
        ("ViT-Nano/4", (16, 16), {}),
        ("ViT-Nano/4", (16, 24), {"pooling": "gap"}),
        ("ViT-Nano/4", (16, 24), {"pooling": "gap", "class_token": True}),
        ("ViT-Nano/4", (16, 24), {"pooling": "gap", "attention": "axial"}),
        ("HybridViT-Nano/4", (24, 16), {}),
    ],
)
def test_every_kind_of_grid_can_be_inspected(name, size, overrides):
    torch.manual_seed(0)
    model = models.create(name, image_size=size, num_classes=3, **overrides).eval()
    grid, prefix = model.grid, model.prefix_tokens
    pooling = overrides.get("pooling", "cls")
    found = accumulate(
        model,
        [torch.randn(3, 3, *size)],
        {
            "distance": lambda seen: attention_distances(
                seen.attention, grid=grid, stride=model.token_stride, prefix=prefix
            ),
            "rollout": lambda seen: attention_rollout(seen.attention, grid=grid, prefix=prefix, pooling=pooling),
            "rows": lambda seen: rollout_matrix(seen.attention).sum(-1),
        },
        batch_size=2,
    )
    assert grid == (size[0] // 4, size[1] // 4)
    assert found["distance"].mean.shape == (len(model.blocks), model.heads)
    assert (found["distance"].mean > 0).all() and (found["distance"].mean < max(size)).all()
    if "attention" not in overrides:  # freshly initialised attention is nearly uniform
        uniform = uniform_distance(grid, 4)
        assert found["distance"].mean.mean().item() == pytest.approx(uniform, rel=0.15)
    assert found["rollout"].mean.shape == grid
    torch.testing.assert_close(found["rows"].mean, torch.ones_like(found["rows"].mean), atol=1e-5, rtol=0)
    if prefix:
        with torch.no_grad():
            maps = cls_attention(model.inspect(torch.randn(2, 3, *size)).attention[-1], grid=grid)
        assert maps.shape == (2, model.heads, *grid)


def test_the_batch_is_cut_by_the_models_own_size():
    model = models.create("ViT-Nano/4", image_size=16, num_classes=3).eval()
    pieces: list[int] = []

    def count(seen: models.Inspection) -> torch.Tensor:
        pieces.append(len(seen.logits))
        return seen.logits

    size = safe_batch_size(17, model.heads, model.depth, width=model.width)
    accumulate(model, [torch.randn(2, 3, 16, 16)], {"logits": count})
    assert size > 1000 and pieces == [2]


def test_the_receptive_field_of_a_resnet_grows_with_its_stages():
    torch.manual_seed(0)
    model = models.create("ResNet-Nano", image_size=32, num_classes=3).eval()
    images = torch.randn(2, 3, 32, 32)
    stages = len(model.inspect(images).maps)
    sizes = [
        field_size(effective_receptive_field(lambda x, stage=stage: model.inspect(x).maps[stage], [images]))
        for stage in range(stages)
    ]
    assert stages >= 2
    assert all(a.mean_distance < b.mean_distance for a, b in zip(sizes, sizes[1:], strict=False))
    assert sizes[-1].radius_95 < 32
    with pytest.raises(ValueError, match="no attention layers"):
        attention_distances(model.inspect(images).attention, grid=(8, 8), stride=4, prefix=0)
