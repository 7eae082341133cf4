from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from vitlab import models
from vitlab.models.config import CHOICES
from vitlab.models.layers import DropPath

SWITCHES = [
    {},
    {"head": "tanh"},
    {"pooling": "gap"},
    {"pooling": "gap", "class_token": True},
    *({"positions": kind} for kind in ("none", "2d", "relative", "sincos2d")),
    *({"positions": kind, "positions_at": "every_layer"} for kind in ("1d", "2d", "sincos2d")),
    *({"positions": kind, "positions_at": "every_layer_shared"} for kind in ("1d", "2d", "sincos2d")),
    {"attention": "axial", "pooling": "gap"},
    {"attention": "axial", "pooling": "gap", "positions_at": "every_layer"},
    {"norm": "post", "activation": "relu"},
    {"activation": "gelu_tanh"},
    {"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.2},
    {"width": 32, "depth": 3, "heads": 2, "mlp_width": 48},
]  # fmt: skip


def by_hand(model, images):
    """Equations 1 to 4 with the weights of `model`, one patch and one layer at a time."""
    p = model.config.patch
    patches = [x.flatten(1) for row in images.split(p, dim=2) for x in row.split(p, dim=3)]
    e = model.patch.weight.flatten(1)  # (D, C P P)
    tokens = [model.cls[0].expand(len(images), -1), *(x @ e.T + model.patch.bias for x in patches)]
    z = torch.stack(tokens, dim=1) + model.positions[0].table  # eq. 1
    for block in model.blocks:
        z = block.attention(F.layer_norm(z, z.shape[-1:], block.norm1.weight, block.norm1.bias, 1e-6)) + z  # eq. 2
        hidden = F.gelu(block.mlp.fc1(F.layer_norm(z, z.shape[-1:], block.norm2.weight, block.norm2.bias, 1e-6)))
        z = block.mlp.fc2(hidden) + z  # eq. 3
    y = F.layer_norm(z[:, 0], z.shape[-1:], model.norm.weight, model.norm.bias, 1e-6)  # eq. 4
    return y @ model.head.weight.T + model.head.bias


def test_equations_1_to_4_on_an_image_that_is_not_square(randomize, images, relative_error):
    model = randomize(models.create("ViT-Pico/4", image_size=(8, 12), num_classes=5, in_channels=2))
    batch = images(3, 2, 8, 12)
    assert model.grid == (2, 3)
    assert relative_error(model(batch), by_hand(model, batch)) < 1e-5


@pytest.mark.parametrize("name", ["ViT-Pico/4", "HybridViT-Pico/4"])
@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_inspect_shows_the_forward_pass(name, switches, randomize, images):
    model = randomize(models.create(name, image_size=(16, 8), num_classes=5, **switches))
    batch = images(2, 3, 16, 8)
    seen = model.inspect(batch)
    tokens = model.prefix_tokens + 8
    blocks = model.depth * (2 if switches.get("attention") == "axial" else 1)
    assert torch.allclose(seen.logits, model(batch), atol=1e-5)
    assert torch.allclose(seen.pre_logits, model.features(batch), atol=1e-5)
    assert torch.allclose(model.head(seen.pre_logits), seen.logits)
    assert [tuple(t.shape) for t in seen.tokens] == [(2, tokens, model.width)] * blocks
    assert [tuple(a.shape) for a in seen.attention] == [(2, model.heads, tokens, tokens)] * blocks
    for weights in seen.attention:
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    encoded = model.encode(model.embed(batch))
    assert torch.allclose(encoded, model.norm(seen.tokens[-1]), atol=1e-5)
    assert (model.embed(batch).shape, encoded.shape) == ((2, 8, model.width), (2, tokens, model.width))
    model.train()(batch).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.numel())


def test_the_mean_leaves_the_class_token_out(randomize, images):
    model = randomize(models.create("ViT-Pico/4", image_size=8, num_classes=5, pooling="gap", class_token=True))
    encoded = model.encode(model.embed(images(2, 3, 8, 8)))
    assert encoded.shape[1] == 1 + 4
    assert torch.allclose(model.features(images(2, 3, 8, 8)), encoded[:, 1:].mean(1))


def test_without_positions_the_patches_are_a_bag(randomize, images):
    batch = images(2, 3, 8, 8)
    swapped = torch.cat([batch[..., 4:], batch[..., :4]], dim=-1)
    for positions, same in (("none", True), ("1d", False), ("relative", False), ("2d", False), ("sincos2d", False)):
        model = randomize(models.create("ViT-Pico/4", image_size=8, num_classes=5, positions=positions))
        assert torch.allclose(model(batch), model(swapped), atol=1e-5) == same, positions


def test_shared_positions_are_one_table_and_others_one_a_layer():
    shapes = {"image_size": 8, "num_classes": 5}
    counts = {
        place: models.count("ViT-Pico/4", positions_at=place, **shapes).parameters
        for place in ("stem", "every_layer", "every_layer_shared")
    }
    assert counts["stem"] == counts["every_layer_shared"] == counts["every_layer"] - (2 - 1) * 5 * 64


def test_post_norm_ends_every_layer_with_a_norm(images):
    model = models.create("ViT-Pico/4", image_size=8, num_classes=5, norm="post", activation="relu").eval()
    seen = model.inspect(images(2, 3, 8, 8))
    for tokens in seen.tokens:
        assert torch.allclose(tokens.mean(-1), torch.zeros(()), atol=1e-5)
        assert torch.allclose(tokens.std(-1, correction=0), torch.ones(()), atol=1e-2)


@pytest.mark.parametrize("norm", CHOICES["norm"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_a_block_is_torchs_encoder_layer(norm, activation, randomize, images, relative_error):
    """The original Transformer's block (norm after the addition, ReLU), the paper's, and what lies between, number for
    number: outputs, and gradients of input and weights.
    """
    model = randomize(models.create("ViT-Pico/4", image_size=8, num_classes=5, norm=norm, activation=activation))
    block = model.blocks[0].double()
    theirs = torch.nn.TransformerEncoderLayer(
        64, 4, 256, 0.0, activation, layer_norm_eps=1e-6, batch_first=True, norm_first=norm == "pre"
    ).double()
    theirs.load_state_dict({new: block.state_dict()[old] for new, old in TORCH_NAMES.items()})
    ours_in, theirs_in = (images(3, 7, 64).double().requires_grad_() for _ in range(2))
    ours_out, theirs_out = block(ours_in), theirs(theirs_in)
    assert relative_error(ours_out, theirs_out) < 1e-12
    for out in (ours_out, theirs_out):
        (out * images(3, 7, 64, seed=2)).sum().backward()
    assert relative_error(ours_in.grad, theirs_in.grad) < 1e-12
    gradients = {name: parameter.grad for name, parameter in block.named_parameters()}
    for new, old in TORCH_NAMES.items():
        assert relative_error(gradients[old], theirs.get_parameter(new).grad) < 1e-12, old


TORCH_NAMES = {
    f"{new}.{kind}".replace("in_proj.", "in_proj_"): f"{old}.{kind}"
    for new, old in {
        "self_attn.in_proj": "attention.qkv",
        "self_attn.out_proj": "attention.out",
        "linear1": "mlp.fc1",
        "linear2": "mlp.fc2",
        "norm1": "norm1",
        "norm2": "norm2",
    }.items()
    for kind in ("weight", "bias")
}


def test_post_norm_with_relu_is_the_original_transformers_block(randomize, images, relative_error):
    """z' = LN(z + MSA(z)); out = LN(z' + W2 max(0, W1 z')); no norm after the last block (arXiv 1706.03762)."""
    model = randomize(models.create("ViT-Pico/4", image_size=8, num_classes=5, norm="post", activation="relu"))
    batch = images(2, 3, 8, 8)
    z = torch.cat([model.cls.expand(2, -1, -1), model.embed(batch)], dim=1) + model.positions[0].table
    for block in model.blocks:
        w1, w2 = block.mlp.fc1, block.mlp.fc2
        z = F.layer_norm(z + block.attention(z), (64,), block.norm1.weight, block.norm1.bias, 1e-6)
        hidden = (z @ w1.weight.T + w1.bias).clamp_min(0)
        z = F.layer_norm(z + hidden @ w2.weight.T + w2.bias, (64,), block.norm2.weight, block.norm2.bias, 1e-6)
    assert relative_error(model(batch), z[:, 0] @ model.head.weight.T + model.head.bias) < 1e-5


def test_resetting_the_head(randomize, images):
    model = randomize(models.create("ViT-Pico/4", image_size=8, num_classes=5, head="tanh"))
    assert model.features(images(2, 3, 8, 8)).abs().max() < 1
    model.reset_head(7)
    assert torch.equal(model(images(2, 3, 8, 8)), torch.zeros(2, 7))
    assert model.features(images(2, 3, 8, 8)).abs().max() > 1


def test_initial_values_are_the_official_ones():
    torch.manual_seed(0)
    model = models.create("ViT-Micro/4", image_size=32, num_classes=10)
    block = model.blocks[0]
    limit = (6 / (128 + 128)) ** 0.5
    for matrix in block.attention.qkv.weight.chunk(3):
        assert matrix.abs().max() <= limit and matrix.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert 0 < block.mlp.fc1.bias.abs().max() < 1e-5
    assert model.positions[0].table.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.patch.weight.std().item() == pytest.approx((3 * 16) ** -0.5, rel=0.05)
    assert not model.cls.any() and not model.head.weight.any() and not model.patch.bias.any()


def test_stochastic_depth_keeps_the_mean():
    drop = DropPath(0.25)
    kept = drop.train()(torch.ones(4000, 2))
    assert sorted(set(kept.flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert kept.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(kept[:, 0], kept[:, 1])
    assert torch.equal(drop.eval()(torch.ones(4)), torch.ones(4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "gapp"}, "Did you mean 'gap'"),
        ({"poling": "gap"}, "no setting 'poling'.*Did you mean 'pooling'"),
        ({"heads": 5}, "not a multiple of heads"),
        ({"dropout": 1.0}, r"dropout=1.0 must be in \[0, 1\)"),
        ({"positions": "relative", "positions_at": "every_layer"}, "leave positions_at"),
        ({"attention": "axial"}, "pooling='gap'"),
        ({"class_token": False}, "needs the class token"),
        ({"depth": 0}, "at least 1"),
        ({"mlp_width": 0}, "mlp_width=0 must be at least 1"),
        ({"norm": "pots"}, "norm='pots': choose from pre, post. Did you mean 'post'"),
        ({"activation": "rellu"}, "choose from gelu, gelu_tanh, relu. Did you mean 'relu'"),
        ({"positions": "3d"}, "choose from none, 1d, 2d, relative, sincos2d"),
        ({"positions_at": "every_layers"}, "Did you mean 'every_layer'"),
        ({"head": "tan"}, "Did you mean 'tanh'"),
        ({"attention": "axal"}, "Did you mean 'axial'"),
    ],
)
def test_wrong_settings_say_what_to_do(settings, message):
    with pytest.raises(ValueError, match=message):
        models.create("ViT-Pico/4", image_size=8, num_classes=5, **settings)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match="multiple of 8 px"):
        models.create("ViT-Pico/8", image_size=28, num_classes=5)
    model = models.create("ViT-Pico/4", image_size=8, num_classes=5)
    for shape in ((1, 3, 12, 8), (1, 1, 8, 8)):
        with pytest.raises(ValueError, match="made for 3 channels of 8 x 8 px"):
            model(torch.zeros(shape))


def test_all_named_choices_combine():
    """No pair of switches that is not refused on purpose breaks the other."""
    names = ("norm", "pooling", "positions", "activation")
    for values in itertools.product(*(CHOICES[name] for name in names)):
        model = models.create(
            "ViT-Pico/4", image_size=8, num_classes=2, depth=1, **dict(zip(names, values, strict=True))
        )
        assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 2)
