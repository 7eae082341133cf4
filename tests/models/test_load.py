from __future__ import annotations

import pytest
import torch
from torch import nn

from vitlab import models
from vitlab.models.save import translated

PLAIN = {"image_size": 16, "num_classes": 5}


def small(name="ViT-Pico/4", **settings):
    return models.create(name, **{**PLAIN, **settings})


def test_into_a_model_and_by_name_and_by_path(tmp_path, randomize, images):
    model = randomize(small())
    path = models.save_checkpoint(model, tmp_path / "model.safetensors")
    batch = images(2, 3, 16, 16)
    torch.save(
        {"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}, "epoch": 3}, tmp_path / "a.ckpt"
    )
    for loaded in (
        models.load(path),
        models.load(None, path),
        models.load("ViT-Pico/4", path),
        models.load(small(), path),
        models.load(small(), model.state_dict()),
        models.load("ViT-Pico/4", tmp_path / "a.ckpt", image_size=16),
    ):
        assert torch.equal(loaded.eval()(batch), model(batch))


def test_everything_that_does_not_fit_is_listed_and_nothing_is_changed(randomize):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = dict(randomize(small(num_classes=7)).state_dict())
    weights["extra.weight"] = torch.zeros(1)
    weights["blocks.0.norm1.bias"] = torch.zeros(3)
    del weights["cls"], weights["norm.weight"]
    with pytest.raises(ValueError) as caught:
        models.load(model, weights)
    message = str(caught.value)
    for part in (
        "missing (2): cls; norm.weight",
        "left over (1): extra.weight",
        "wrong shape (3)",
        "(3,), but",
        "(64,)",
    ):
        assert part in message
    assert "head.weight is (7, 64), but the model's head.weight is (5, 64)" in message
    assert "head='zero'" in message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_head_kept_zeroed_or_dropped(randomize, images):
    source = randomize(small(head="tanh"))
    batch = images(2, 3, 16, 16)
    zeroed = models.load(small(head="tanh", num_classes=9), source.state_dict(), head="zero").eval()
    dropped = models.load(small(head="tanh", num_classes=9), source.state_dict(), head="drop").eval()
    assert torch.equal(zeroed.features(batch), source.features(batch))
    assert torch.equal(zeroed(batch), torch.zeros(2, 9))
    assert torch.equal(dropped.encode(dropped.embed(batch)), source.encode(source.embed(batch)))
    assert dropped.config.head == "linear" and torch.equal(dropped(batch), torch.zeros(2, 9))
    with pytest.raises(ValueError, match="head='keeep'"):
        models.load(small(), source.state_dict(), head="keeep")


@pytest.mark.parametrize("positions", ["1d", "2d", "relative", "sincos2d", "none"])
def test_positions_follow_the_grid_also_when_it_is_not_square(tmp_path, positions, randomize):
    source = randomize(small(image_size=(16, 24), positions=positions))
    path = models.save_checkpoint(source, tmp_path / "model.safetensors")
    same = models.load("ViT-Pico/4", path)
    larger = models.load("ViT-Pico/4", path, image_size=(40, 16))
    assert (same.grid, larger.grid) == ((4, 6), (10, 4))
    for name, value in source.state_dict().items():
        assert torch.equal(same.state_dict()[name], value)
        if not name.startswith("positions.") and "offsets" not in name:
            assert torch.equal(larger.state_dict()[name], value)
    if positions == "1d":
        table, old = larger.positions[0].table.detach()[0], source.positions[0].table.detach()[0]
        assert torch.equal(table[0], old[0])  # the class token's
        corners = table[1:].view(10, 4, -1)[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert torch.allclose(corners, old[1:].view(4, 6, -1)[[0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-6)
    if positions == "sincos2d":
        assert torch.equal(
            larger.positions[0].table, small(image_size=(40, 16), positions=positions).positions[0].table
        )


def test_a_grid_that_is_not_square_is_asked_for_where_nothing_tells(randomize):
    weights = randomize(small(image_size=(16, 24))).state_dict()
    with pytest.raises(ValueError, match="source_grid"):
        models.load(small(image_size=32), weights)
    given = models.load(small(image_size=32), weights, source_grid=(4, 6))
    assert given.grid == (8, 8)


def test_a_finetuned_model_remembers_what_it_computes_with(tmp_path, randomize):
    weights = translated(randomize(small()), "official")
    tuned = models.load("ViT-Pico/4", weights, head="drop", num_classes=3)
    assert tuned.config.activation == "gelu_tanh"
    again = models.load(models.save_checkpoint(tuned, tmp_path / "tuned.safetensors"))
    assert (again.config.activation, again.head.out_features) == ("gelu_tanh", 3)
    exact = models.load("ViT-Pico/4", weights, activation="gelu")
    assert exact.config.activation == "gelu"


def test_a_gap_model_has_no_class_token_in_the_official_layout(randomize, images):
    source = randomize(small(pooling="gap", activation="gelu_tanh"))
    loaded = models.load("ViT-Pico/4", translated(source, "official")).eval()
    assert loaded.config.pooling == "gap" and loaded.prefix_tokens == 0
    assert torch.equal(loaded(images(2, 3, 16, 16)), source(images(2, 3, 16, 16)))


class Payload:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_pickle_is_never_run(tmp_path, capsys):
    torch.save({"state_dict": Payload()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="nothing else in it will be run"):
        models.load("ViT-Pico/4", tmp_path / "evil.ckpt")
    assert "never run" not in capsys.readouterr().out


def test_sources_that_are_none(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    (tmp_path / "broken.npz").write_bytes(b"no")
    (tmp_path / "folder").mkdir()
    for source, message in (
        (tmp_path / "broken.safetensors", "cannot be read"),
        (tmp_path / "broken.npz", "cannot be read"),
        (tmp_path / "folder", "config.json"),
        (tmp_path / "missing.npz", "no file"),
        ({"a": torch.zeros(1)}, "holds no ViT"),
    ):
        with pytest.raises(ValueError, match=message):
            models.load("ViT-Pico/4", source)
    with pytest.raises(ValueError, match="needs a source"):
        models.load(small())
    with pytest.raises(ValueError, match="image_size would not change"):
        models.load(small(), small().state_dict(), image_size=8)
    with pytest.raises(ValueError, match="not a Linear"):
        models.load(nn.Linear(1, 1), {})
    with pytest.raises(ValueError, match="name the model"):
        models.load(None, small().state_dict())


def test_a_wrapped_model_is_unwrapped(randomize, images):
    model = randomize(small())
    compiled = {f"_orig_mod.{k}": v for k, v in model.state_dict().items()}
    parallel = nn.DataParallel(model).state_dict()
    for weights in (compiled, parallel):
        assert torch.equal(models.load(small(), weights).eval()(images(1, 3, 16, 16)), model(images(1, 3, 16, 16)))


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        ({"heads": 2}, {}, "heads=2, not 4"),
        ({"pooling": "gap", "class_token": True}, {}, "pooling='gap', not 'cls'"),
        ({"positions": "sincos2d"}, {"positions": "none"}, "positions='sincos2d', not 'none'"),
        ({"positions_at": "every_layer_shared"}, {}, "positions_at='every_layer_shared', not 'stem'"),
    ],
)
def test_weights_of_another_computation_are_refused_though_all_shapes_are_alike(tmp_path, theirs, ours, message):
    sizes = {"image_size": 8, "num_classes": 3}
    path = models.save_checkpoint(
        models.create("ViT-Pico/2", **sizes, **{"heads": 4, **theirs}), tmp_path / "model.safetensors"
    )
    model = models.create("ViT-Pico/2", **sizes, **{"heads": 4, **ours})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        models.load(model, path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert models.load(path).config == models.create("ViT-Pico/2", **sizes, **{"heads": 4, **theirs}).config
