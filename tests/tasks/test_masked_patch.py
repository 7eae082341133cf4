"""Masked patch prediction: what is corrupted, where the loss is, and that it learns."""

from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.data.augment import normalise
from vitlab.data.batches import Batch
from vitlab.data.loading import ArraySplit, ImageData, load_data
from vitlab.data.module import DataModule
from vitlab.models import create
from vitlab.models.checkpoint import read_weights
from vitlab.runs.build_model import build_model
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.masked_patch import MaskedPatchPrediction, draw_corruption
from vitlab.tasks.settings import MaskedPatch, Recipe

QUIET = Listener(lambda event: None, lambda: False)


def images_of(pixels: torch.Tensor) -> ImageData:
    """A data set whose three splits are the same uint8 images (N, 3, H, W)."""
    split = ArraySplit(pixels, torch.arange(len(pixels)), torch.zeros(len(pixels), dtype=torch.int64))
    about = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25), "fingerprint": "toy", "card": None}
    names = ("one", "two")
    size = pixels.shape[-1]
    return ImageData("toy", "toy", names, size, **about, train=split, validation=split, test=split)


PAPER = MaskedPatch()


def toy(task: MaskedPatch = PAPER, name: str = "ViT-Pico/2", *, size: int = 8, seed: int = 0, **options):
    """A task on random images, and a normalised batch of them."""
    pixels = torch.randint(0, 256, (8, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    data = images_of(pixels)
    torch.manual_seed(seed)
    model = create(name, image_size=size, num_classes=2, **options)
    made = MaskedPatchPrediction(model, task, Recipe(), data=data, steps=1, seed=seed)
    return made, normalise(pixels, data.mean, data.std)


def draw(task: MaskedPatch, images: int, patches: int, seed: int = 0):
    return draw_corruption(task, images, patches, torch.Generator().manual_seed(seed))


@given(st.integers(2, 196), st.sampled_from([0.15, 0.5, 0.75, 1.0]), st.integers(0, 99))
@settings(max_examples=50)
def test_rates_are_exact_in_every_image(patches, ratio, seed):
    found = draw(MaskedPatch(ratio=ratio), 4, patches, seed)
    count = round(ratio * patches)
    assert found.corrupted.shape == (4, count)
    assert all(len(set(row)) == count and set(row) <= set(range(patches)) for row in found.corrupted.tolist())
    assert found.masked == round(0.8 * count) and found.swapped == min(round(0.1 * count), count - found.masked)
    changed = found.corrupted[:, found.masked : found.masked + found.swapped]
    assert (changed != found.sources).all() and (found.sources < patches).all()


def test_every_patch_and_every_source_is_drawn_equally_often():
    found = draw(MaskedPatch(ratio=0.5, mask=0.0, swap=1.0), 20_000, 4)
    assert torch.allclose(found.corrupted.flatten().bincount() / 40_000, torch.full((4,), 0.25), atol=0.01)
    away = (found.sources - found.corrupted) % 4
    assert torch.allclose(away.flatten().bincount() / 40_000, torch.tensor([0, 1, 1, 1]) / 3, atol=0.01)


def test_a_seed_corrupts_the_same_patches_for_good():
    found = draw(MaskedPatch(), 2, 16, seed=0)
    assert found.corrupted.tolist() == [[12, 2, 3, 13, 14, 4, 10, 11], [11, 2, 12, 3, 14, 13, 6, 8]]
    assert (found.sources.tolist(), found.masked) == ([[3], [7]], 6)


def test_embeddings_are_masked_swapped_or_left():
    z, mask = torch.randn(3, 20, 5), torch.full((5,), 7.0)
    found = draw(MaskedPatch(), 3, 20)
    out = found.apply(z, mask)
    for i in range(3):
        corrupted = found.corrupted[i].tolist()
        assert (out[i, corrupted[:8]] == 7).all()
        assert torch.equal(out[i, corrupted[8]], z[i, found.sources[i, 0]])
        rest = [corrupted[9], *(set(range(20)) - set(corrupted))]
        assert torch.equal(out[i, rest], z[i, rest])


@pytest.mark.parametrize(
    ("name", "options"), [("ViT-Pico/2", {}), ("ViT-Pico/2", {"pooling": "gap"}), ("HybridViT-Pico/2", {})]
)
def test_the_loss_is_on_corrupted_patches_alone(name, options):
    """The gradient of the loss with respect to what the encoder says of each patch."""
    task, images = toy(name=name, **options)
    corruption = task.corruption(8, "any", 0)
    kept = []
    encode = task.encode
    task.encode = lambda z: kept.append(encode(z)) or kept[0].retain_grad() or kept[0]
    truth = task.target.truth(task.cut(images))
    truth = truth.gather(1, corruption.corrupted.unsqueeze(-1)).flatten(0, 1)
    task.target.loss(task.outputs(images, corruption), truth).backward()
    touched = kept[0].grad.abs().sum(-1)[:, task.model.prefix_tokens :] > 0
    assert torch.equal(touched, ~corruption.visible(task.patches))
    unchanged = corruption.corrupted[:, corruption.masked + corruption.swapped :]
    assert unchanged.shape[1] == 1 and touched.gather(1, unchanged).all()
    assert task.mask.grad.abs().max() > 0


def test_positions_are_added_after_the_corruption():
    """Two masked patches of one image get different predictions, because they are at different places."""
    task, images = toy(MaskedPatch(ratio=1.0, mask=1.0, swap=0.0))
    corruption = task.corruption(8, "any", 0)
    outputs = task.outputs(images, corruption).view(8, 16, -1)
    assert torch.allclose(outputs[0].sort(0).values, outputs[1].sort(0).values, atol=1e-4), (
        "nothing of the image is left"
    )
    assert (outputs[0].std(0) > 0).any()


@pytest.mark.parametrize("target", ["mean_color", "downsized", "pixels"])
def test_targets_know_no_normalisation(target):
    task, images = toy(MaskedPatch(target=target), name="ViT-Pico/4")
    pixels = task.data.train.images(torch.arange(8))
    cut = pixels.view(8, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).flatten(1, 2) / 255
    assert torch.allclose(task.target.truth(task.cut(images)).float(), task.target.truth(cut).float(), atol=1e-5)
    if target == "mean_color":
        sums = cut.mul(255).round().sum((3, 4)).long()  # of 16 bytes: whole numbers, no rounding
        levels = (sums * 8 // (255 * 16)).clamp_max(7)
        assert torch.equal(task.target.truth(task.cut(images))[..., 0], levels @ torch.tensor([64, 8, 1]))


def fit(task: MaskedPatchPrediction, data: ImageData, steps: int) -> dict[str, float]:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(task, DataModule(data, batch_size=16, steps_per_round=steps, seed=0))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_two_patches_of_one_color_are_learned_to_the_last():
    """Each image has two patches, of the same colour out of four: the visible one tells the other."""
    colors = torch.tensor([[30, 30, 30], [220, 20, 20], [20, 220, 20], [120, 120, 240]], dtype=torch.uint8)
    data = images_of(colors[torch.arange(64) % 4].view(64, 3, 1, 1).expand(64, 3, 4, 8).contiguous())
    torch.manual_seed(0)
    model = create("ViT-Pico/4", image_size=(4, 8), num_classes=2, depth=2)
    task = MaskedPatchPrediction(model, MaskedPatch(), Recipe(lr=3e-3, warmup_steps=5), data=data, steps=60, seed=0)
    metrics = fit(task, data, 60)
    assert metrics["score"] == metrics["color_accuracy"] == 1
    assert metrics["floor_neighbours"] == 1 and metrics["floor_frequent"] == 0.25


@pytest.mark.parametrize("target", ["downsized", "pixels"])
def test_a_known_guess_has_its_known_score(target):
    """Constant images: neighbours know everything, and the floor of pixels, the mean colour, saves no error."""
    pixels = torch.randint(0, 256, (32, 3, 1, 1), dtype=torch.uint8).expand(32, 3, 8, 8).contiguous()
    data = images_of(pixels)
    model = create("ViT-Pico/2", image_size=8, num_classes=2, depth=1)
    task = MaskedPatchPrediction(model, MaskedPatch(target=target), Recipe(), data=data, steps=1, seed=0)
    metrics = fit(task, data, 1)
    assert metrics["floor_neighbours"] == pytest.approx(1, abs=1e-4)
    assert metrics["floor_frequent"] == pytest.approx(0, abs=1e-6) or target == "downsized"


def test_corruption_depends_on_seed_and_step_and_evaluation_is_always_the_same():
    task, images = toy()
    other, _ = toy(seed=1)
    draws = [task.corruption(8, task.seed, "corruption", step).corrupted for step in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], other.corruption(8, other.seed, "corruption", 0).corrupted)
    losses = []
    for made in (task, task):
        torch.manual_seed(len(losses))
        losses.append(made.training_step(Batch(images, torch.zeros(8), 0), 0).item())
    assert losses[0] == losses[1]


def test_pictures_show_what_was_corrupted_and_leave_the_rest():
    task, _ = toy(MaskedPatch(mask=1.0, swap=0.0))
    task.train()
    found = task.pictures()
    assert task.training and set(found) == {"image", "corruption", "prediction", "truth"}
    assert all(panel.shape == (6, 8, 8, 3) and panel.dtype == "uint8" for panel in found.values())
    masked = (found["corruption"] == [204, 120, 166]).all(-1)
    assert masked.reshape(6, -1).mean(1).tolist() == [0.5] * 6
    for name in ("corruption", "prediction", "truth"):
        assert (found[name][~masked] == found["image"][~masked]).all()
    assert abs(found["truth"][masked].astype(int) - found["image"][masked]).mean() < 60


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ({"target": "mean_colour"}, "mean_color"),
        ({"ratio": 0.0}, "ratio"),
        ({"ratio": 1.2}, "ratio"),
        ({"mask": 0.8, "swap": 0.3}, "swap=0.3"),
    ],
)
def test_impossible_settings_are_named(task, named):
    with pytest.raises(ValueError, match=named):
        MaskedPatch(**task)


def test_a_ratio_of_no_patch_is_refused():
    with pytest.raises(ValueError, match="ratio=0.01 corrupts none of 16 patches"):
        toy(MaskedPatch(ratio=0.01))


def test_a_model_without_patches_is_refused():
    with pytest.raises(ValueError, match="ResNet.*hybrid"):
        toy(name="ResNet-Pico")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("masked")
    return Place(folder / "runs", folder / "cache")


RUN = Run("ViT-Pico/4", Data("digits"), Recipe(steps=6, evaluations=3, batch_size=16), MaskedPatch(), snapshots=1)


def test_a_run_trains_saves_the_model_alone_and_starts_a_classifier(place):
    outcome = execute(RUN, place, QUIET)
    assert outcome.status == "finished", outcome.reason
    (row,) = (row for row in outcome.rows if row["split"] == "test")
    assert {"score", "loss", "color_accuracy", "floor_frequent", "floor_neighbours"} <= set(row)
    assert list(place.store.path(RUN).glob("pictures_*.npz")) == [place.store.path(RUN, "pictures_0000006.npz")]
    saved = read_weights(place.store.weights(RUN))
    data = load_data("digits", cache=place.cache)
    model = build_model(Run(RUN.model, RUN.data, seed=1, init=RUN), data, place.store)
    assert set(saved) == set(model.state_dict()), "neither the prediction head nor [mask] is in the file"
    loaded = model.state_dict()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved if not name.startswith("head"))
    assert not loaded["head.weight"].any()


def test_the_best_weights_are_tested_with_the_mask_and_the_head_of_their_step(place, tmp_path: Path):
    """At a constant rate a training that ends at the best step of a longer one is its beginning."""
    recipe = Recipe(steps=80, evaluations=16, lr=0.01, schedule="constant", warmup_steps=5, batch_size=32)
    for seed in range(6):
        run = replace(RUN, model="ViT-Pico/2", recipe=recipe, seed=seed, snapshots=0)
        stops = iter([False] * 70)
        execute(run, place, Listener(lambda event: None, lambda stops=stops: next(stops, True)))
        (test,) = (row for row in execute(run, place, QUIET).rows if row["split"] == "test")
        if (best := test["best_step"]) < 70:
            break
    else:
        pytest.fail("no training had its best step before it was resumed")
    shorter = replace(run, recipe=replace(recipe, steps=best, evaluations=best // 5))
    (end,) = (row for row in execute(shorter, replace(place, runs=tmp_path), QUIET).rows if row["split"] == "test")
    assert end["best_step"] == best
    for name in ("score", "color_accuracy", "loss"):
        assert test[name] == end[name], name


def test_stopped_and_resumed_is_bit_for_bit_the_same(place, tmp_path: Path):
    execute(RUN, place, QUIET)
    again = replace(place, runs=tmp_path)
    asked = iter([False] * 3)
    assert execute(RUN, again, Listener(lambda event: None, lambda: next(asked, True))).status == "stopped"
    assert (again.store.path(RUN, "last.ckpt")).exists()
    assert execute(RUN, again, QUIET).status == "finished"
    one, two = (read_weights(of.store.weights(RUN)) for of in (place, again))
    assert all(torch.equal(one[name], two[name]) for name in one)
    timed = {"wall_s", "images_per_s", "date", "commit"}
    rows = [{k: v for k, v in of.store.rows(RUN)[0].items() if k not in timed} for of in (place, again)]
    assert rows[0] == rows[1]
