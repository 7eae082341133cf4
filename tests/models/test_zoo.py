from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vitlab import models

PARAMETERS = {  # with the fine-tuning head, 224 px, 1,000 classes
    "ViT-Ti/16": 5_717_416,
    "ViT-S/16": 22_050_664,
    "ViT-S/32": 22_878_952,
    "ViT-B/16": 86_567_656,
    "ViT-B/32": 88_224_232,
    "ViT-L/16": 304_326_632,
    "ViT-L/32": 306_535_400,
    "ViT-H/14": 632_045_800,
    "R+ViT-Ti/16": 6_337_704,
    "R26+ViT-S/32": 36_431_912,
    "R50+ViT-B/16": 98_659_112,
    "R50+ViT-L/32": 328_994_856,
    "R50x1": 25_549_352,
    "R152x4": 936_533_224,
}
SIZES = ("Pico", "Nano", "Micro", "Mini", "Small")
SMALL = ("ViT-Pico/2", "HybridViT-Pico/2", "ResNet-Pico")


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_papers(name):
    with torch.device("meta"):
        model = models.create(name, image_size=224, num_classes=1000)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", models.names())
def test_every_name_can_be_created(name):
    patch = int(name.split("/")[1]) if "/" in name else 1
    with torch.device("meta"):
        model = models.create(name, image_size=32 if 32 % patch == 0 else 2 * patch, num_classes=3)
        assert model.head.out_features == 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("pixels", "patch"), [(8, 2), (28, 4), (32, 4), (48, 8)])
def test_the_three_small_families_have_matched_parameters(size, pixels, patch):
    three = (f"ViT-{size}/{patch}", f"HybridViT-{size}/{patch}", f"ResNet-{size}")
    counts = [models.count(name, image_size=pixels, num_classes=10).parameters for name in three]
    assert max(counts) / min(counts) < 1.1 + 0.01 * (size == "Pico" and pixels == 48)


@pytest.mark.parametrize(
    ("options", "d", "mlp", "depth", "patch"),
    [
        ({}, 128, 512, 6, 4),
        ({"patch": 8}, 128, 512, 6, 8),
        ({"patch": 2, "depth": 3, "heads": 2}, 128, 512, 3, 2),
        ({"width": 96, "heads": 3}, 96, 384, 6, 4),
        ({"mlp_width": 100}, 128, 100, 6, 4),
        ({"head": "tanh"}, 128, 512, 6, 4),
        ({"pooling": "gap"}, 128, 512, 6, 4),
        ({"norm": "post", "activation": "relu"}, 128, 512, 6, 4),
        ({"positions": "relative"}, 128, 512, 6, 4),
        ({"attention": "axial", "pooling": "gap"}, 128, 512, 6, 4),
    ],
)
def test_flops_of_a_vit_are_twice_its_multiply_adds(options, d, mlp, depth, patch):
    """The closed form in `count`: patches, eq. 2 and 3 for T tokens in each layer, the head."""
    patches = (32 // patch) ** 2
    tokens = patches + (options.get("pooling") != "gap")
    axial = options.get("attention") == "axial"
    seen = 32 // patch if axial else tokens  # by each token
    matrices = tokens * (4 * d * d + 2 * d * mlp)
    attention = 2 * tokens * seen * d
    relative = tokens * (2 * tokens - 1) * d if options.get("positions") == "relative" else 0
    head = d * 10 + (d * d if options.get("head") == "tanh" else 0)
    expected = 2 * (patches * 3 * patch**2 * d + depth * (2 if axial else 1) * (matrices + attention + relative) + head)
    assert models.count("ViT-Micro/4", image_size=32, num_classes=10, **options).flops == expected


def test_a_model_can_be_counted_too():
    model = models.create("HybridViT-Nano/4", image_size=28, num_classes=10, head="tanh")
    model.reset_head(3)
    assert models.count(model) == models.count("HybridViT-Nano/4", image_size=28, num_classes=3)
    assert models.count(model).parameters == sum(p.numel() for p in model.parameters())


def test_a_typing_mistake_suggests_the_nearest_name():
    with pytest.raises(ValueError, match=r"no model 'ViT-B16'\. Did you mean 'ViT-B/16'"):
        models.create("ViT-B16", image_size=224, num_classes=10)
    with pytest.raises(ValueError, match="num_classes=0"):
        models.create("ViT-B/16", image_size=224, num_classes=0)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SMALL)
def test_small_models_learn_on_a_cpu(name, precision, images):
    torch.manual_seed(0)
    model = models.create(name, image_size=8, num_classes=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch, labels = images(16, 3, 8, 8), torch.arange(16) % 4
    losses = []
    for _ in range(12):
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = F.cross_entropy(model(batch).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(torch.tensor(4.0).log().item())  # the classifier starts at zero
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "name", [f"{f}-{s}{p}" for s in SIZES for f, p in (("ViT", "/4"), ("HybridViT", "/4"), ("ResNet", ""))]
)
def test_small_models_take_a_step_with_all_weights_in_bfloat16(name, images):
    model = models.create(name, image_size=16, num_classes=4).bfloat16()
    torch.nn.init.normal_(model.head.weight)
    loss = F.cross_entropy(model(images(2, 3, 16, 16).bfloat16()), torch.tensor([0, 1]))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.numel())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("training", [False, True])
def test_compiles_without_a_graph_break(name, training, randomize, images):
    model = randomize(models.create(name, image_size=8, num_classes=4)).train(training)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    batch = images(2, 3, 8, 8)
    assert torch.allclose(compiled(batch), model(batch), atol=1e-5)
    torch.compiler.reset()
