"""Frozen features end to end: what they depend on, what the evaluators make of them, and positions at a new size."""

import math
import shutil
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from vitlab.data.loading import load_data
from vitlab.data.shuffle import patch_order
from vitlab.models import create, read_metadata, save, save_checkpoint
from vitlab.runs.build_model import build_model
from vitlab.runs.execute import execute, images_of, prepare
from vitlab.runs.inspecting import normalised as shown
from vitlab.runs.place import Listener, Place, Stopped
from vitlab.runs.probing import few_shot_rows, frozen_features, normalised, pixels_of, probe, seen_images
from vitlab.runs.run import Data, Run
from vitlab.runs.training import run_indices
from vitlab.tasks.settings import Classify, FewShot, LinearProbe, NearestNeighbours, Recipe
from vitlab.weights import find, shipped

DIGITS_RUN = Run("ViT-Pico/2", Data("digits"))
SILENT = Listener(lambda event: None, lambda: False)
DIGITS = Data("digits")
TRAINED = Run("ResNet-Pico", DIGITS, Recipe(steps=60, lr=3e-3, warmup_steps=6, evaluations=1))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return Place(folder, folder / "cache")


@pytest.fixture(scope="module")
def trained(place):
    """A small ResNet that knows the digits after two seconds."""
    outcome = execute(TRAINED, place, SILENT)
    assert outcome.status == "finished", outcome.reason
    assert outcome.rows[1]["score"] > 0.9
    return TRAINED


def features(run, place, *, batch=256, listener=SILENT):
    data = images_of(run, place)
    model = build_model(run, data, place.store)
    pixels = pixels_of(run, data, place.store)
    return frozen_features(run, model, data, "test", pixels, place.store, listener, batch=batch)


def test_features_of_equal_weights_with_another_activation_are_others(place, tmp_path):
    weights, found = create("ViT-Pico/2", image_size=8, num_classes=10).state_dict(), []
    for activation in ("gelu", "relu"):
        model = create("ViT-Pico/2", image_size=8, num_classes=10, activation=activation)
        model.load_state_dict(weights)
        path = save_checkpoint(model, tmp_path / f"{activation}.safetensors")
        found.append(features(Run("ViT-Pico/2", DIGITS, init=str(path)), place))
    assert not torch.allclose(*found, atol=1e-2)


@pytest.mark.parametrize("head", ["linear", "tanh"])
def test_fine_tuning_leaves_the_tanh_layer_of_pre_training_behind_unless_it_asks_for_one(place, tmp_path, head):
    """Section 3.1: one hidden layer with tanh at pre-training, one zero linear layer at fine-tuning."""
    before = create("ViT-Pico/2", image_size=8, num_classes=5, head="tanh")
    path = save_checkpoint(before, tmp_path / "model.safetensors")
    run = Run("ViT-Pico/2", DIGITS, init=str(path), options=(("head", head),) if head == "tanh" else ())
    state = build_model(run, images_of(run, place), place.store).state_dict()
    assert not state["head.weight"].any() and len(state["head.weight"]) == 10
    torch.testing.assert_close(state["blocks.0.norm1.weight"], before.state_dict()["blocks.0.norm1.weight"])
    assert ("pre_logits.linear.weight" in state) == (head == "tanh")
    if head == "tanh":
        torch.testing.assert_close(state["pre_logits.linear.weight"], before.state_dict()["pre_logits.linear.weight"])


def test_features_do_not_depend_on_the_batch_size(place, trained, tmp_path):
    run = Run(trained.model, trained.data, task=FewShot(), init=trained)
    whole = features(run, place, batch=360)
    data, model = images_of(run, place), build_model(run, images_of(run, place), place.store).eval()
    with torch.no_grad():
        parts = [model.features(x) for x in normalised(data, "test", pixels_of(run, data, place.store), 7, SILENT)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)


def test_the_cache_notices_changed_weights_and_gives_the_same_ones_without_a_look_at_the_images(place, tmp_path):
    """The same source path with other weights in it is another set of features."""
    path, found = tmp_path / "weights.safetensors", []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = create("ViT-Pico/2", image_size=8, num_classes=10)
        save_checkpoint(model, path)
        found.append(features(Run("ViT-Pico/2", DIGITS, task=FewShot(), init=str(path)), place))
    assert not torch.allclose(*found)
    again = features(
        Run("ViT-Pico/2", DIGITS, task=FewShot(), init=str(path)), place, listener=Listener(print, lambda: True)
    )
    assert torch.equal(again, found[1])


def test_shuffled_data_has_features_of_its_own_from_shuffled_images(place, trained):
    """All readers of a run's images see one permutation: features, their cache, and what is inspected."""
    run = Run(trained.model, trained.data, task=FewShot(), init=trained)
    plain = features(run, place)
    for side, seed in ((2, 0), (2, 1), (1, 0)):
        moved = replace(run, data=replace(run.data, shuffle=side, shuffle_seed=seed))
        data, found = images_of(moved, place), features(moved, place)
        assert torch.equal(data.order, patch_order(8, side, seed)) and not torch.allclose(found, plain)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
        pixels = data.test.images(torch.arange(len(data.test))).flatten(2)[:, :, data.order].view(-1, 3, 8, 8)
        model = build_model(moved, data, place.store).eval()
        with torch.no_grad():
            expected = model.features((pixels.float() / 255 - mean) / std)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shown(data, len(data.test)), (pixels.float() / 255 - mean) / std)
    assert torch.equal(features(run, place), plain), "the cache keeps them apart"


def test_computed_positions_that_are_set_to_zero_have_features_of_their_own(place, tmp_path):
    """They are in no file, so that the weights alone do not tell."""
    model = create("ViT-Pico/2", image_size=8, num_classes=10, positions="sincos2d")
    path = save_checkpoint(model, tmp_path / "w.safetensors")
    run = Run("ViT-Pico/2", DIGITS, init=str(path), options=(("positions", "sincos2d"),))
    kept, zeroed = (features(replace(run, task=LinearProbe(kind)), place) for kind in ("interpolate", "zero"))
    assert not torch.allclose(kept, zeroed, atol=0.1)


def test_a_shuffle_that_does_not_fit_is_refused_before_anything_is_trained(place):
    with pytest.raises(ValueError, match="shuffle=3.*choose from 1, 2, 4"):
        prepare([replace(TRAINED, data=replace(DIGITS, shuffle=3))], place)


def test_a_stop_ends_the_extraction(place):
    stopping = Listener(lambda event: None, lambda: True)
    with pytest.raises(Stopped):
        features(Run("ViT-Pico/4", DIGITS, task=FewShot(), seed=5), place, listener=stopping)


def test_pixels_are_those_of_the_weights_training(place, trained, tmp_path):
    data = images_of(Run("ViT-Pico/2", DIGITS), place)
    model = create("ViT-Pico/2", image_size=8, num_classes=10)
    told = save_checkpoint(model, tmp_path / "told.safetensors", metadata={"mean": [0.1] * 3, "std": [0.2] * 3})
    silent = save_checkpoint(model, tmp_path / "silent.safetensors")
    run = Run("ViT-Pico/2", DIGITS, task=FewShot())
    assert pixels_of(replace(run, init=str(told)), data, place.store) == ((0.1,) * 3, (0.2,) * 3)
    assert pixels_of(replace(run, init=str(silent)), data, place.store) == (data.mean, data.std)
    assert pixels_of(run, data, place.store) == (data.mean, data.std)


def test_pixels_are_the_same_by_name_file_and_folder(place, trained, tmp_path):
    data, run = images_of(DIGITS_RUN, place), replace(DIGITS_RUN, task=FewShot())
    name = next(name for name in shipped() if find(name).suffix == ".safetensors")
    told = read_metadata(find(name))
    wanted = tuple(told["mean"]), tuple(told["std"])
    shutil.copy(find(name), tmp_path / "model.safetensors")
    for source in (name, str(find(name)), str(tmp_path)):
        assert pixels_of(replace(run, init=source), data, place.store) == wanted
    assert pixels_of(replace(run, init=str(place.store.path(trained))), data, place.store) == (data.mean, data.std)
    model = create("ViT-Pico/2", image_size=8, num_classes=10)
    told = save(model, tmp_path / "ours.npz", metadata={"mean": [0.1] * 3, "std": [0.2] * 3})
    assert pixels_of(replace(run, init=str(told)), data, place.store) == ((0.1,) * 3, (0.2,) * 3)
    timms = pixels_of(replace(run, init="vit_tiny_patch16_224.augreg_in21k"), data, place.store)
    assert timms == ((0.5,) * 3, (0.5,) * 3)


def test_trained_weights_beat_random_ones_under_every_evaluator(place, trained):
    for task in (FewShot(shots=(5,), draws=3), LinearProbe(), NearestNeighbours(k=5)):
        accuracy = {}
        for init in (trained, None):
            run = Run(trained.model, trained.data, task=task, init=init)
            rows = probe(run, images_of(run, place), place.store, SILENT, "cpu")
            accuracy[init is None] = sum(row["score"] for row in rows) / len(rows)
        assert 0.85 < accuracy[False] <= 1 and accuracy[False] > accuracy[True] + 0.03, task


def test_rows_say_where_the_weights_come_from(place, trained):
    run = Run(trained.model, DIGITS, task=FewShot(shots=(1, 2), draws=3, max_draws=3), init=trained, seed=3)
    rows = execute(run, place, SILENT).rows
    assert [(row["shots"], row["draw"]) for row in rows] == [(k, draw) for k in (1, 2) for draw in range(3)]
    for row in rows:
        assert (row["init"], row["data.name"], row["split"]) == (trained.id, "digits", "test")
        assert (row["task.kind"], row["l2"], row["seed"], row["run"], row["status"]) == (
            "few_shot",
            1024,
            3,
            run.id,
            "finished",
        )


def test_few_shot_looks_at_the_images_of_its_draws_alone_and_says_what_all_of_them_would_say(place, trained):
    task = FewShot(shots=(1, 2), draws=3, max_draws=4, width=1e-6)
    run = Run(trained.model, replace(DIGITS, train_size=600, subset_seed=1), task=task, init=trained, seed=2)
    data, model = images_of(run, place), build_model(run, images_of(run, place), place.store)
    seen = seen_images(run, data)
    assert 20 <= len(seen["train"]) <= 70 and len(seen["test"]) == len(data.test)
    rows = probe(run, data, place.store, SILENT, "cpu")
    pixels, chosen = pixels_of(run, data, place.store), run_indices(run, data)
    whole = frozen_features(run, model, data, "train", pixels, place.store, SILENT, batch=256)
    train = whole[chosen], data.train.labels[chosen]
    full = few_shot_rows(task, train, (features(run, place), data.test.labels), run.seed)
    assert [row["score"] for row in rows] == [row["score"] for row in full]
    assert len(rows) == 4 + 3


@pytest.mark.parametrize("draws", [1, 2])
def test_fewer_draws_than_an_interval_takes_are_the_first_of_many(place, trained, draws):
    scores = {}
    for most in (draws, 3):
        task = FewShot(shots=(1,), draws=draws, max_draws=most)
        run = Run(trained.model, DIGITS, task=task, init=trained, seed=2)
        scores[most] = [row["score"] for row in probe(run, images_of(run, place), place.store, SILENT, "cpu")]
    assert len(scores[draws]) == draws and scores[3][:draws] == scores[draws]


def test_one_shot_draws_go_on_until_the_interval_is_narrow_and_l2_is_chosen_on_shots():
    torch.manual_seed(0)
    labels = torch.arange(200) % 4
    x = torch.randn(200, 6) + 1.2 * F.one_hot(labels, 6)
    task = FewShot(shots=(1, 10), draws=3, width=0.1, l2=(1.0, 1024.0))
    rows = few_shot_rows(task, (x[:100], labels[:100]), (x[100:], labels[100:]), seed=0)
    ones, tens = ([row for row in rows if row["shots"] == k] for k in (1, 10))
    values = torch.tensor([row["score"] for row in ones])
    assert 3 < len(ones) <= 100 and 2 * 2.2 * float(values.std()) / len(ones) ** 0.5 < 0.12
    assert {row["l2_choice"] for row in ones} == {"default"} and {row["l2"] for row in ones} == {1024.0}
    assert len(tens) == 3 and {row["l2_choice"] for row in tens} == {"held-out shots"}


def test_a_class_with_fewer_images_than_shots_fails_the_run_with_a_reason(place):
    run = Run("ViT-Pico/4", replace(DIGITS, train_size=30), task=FewShot(shots=(25,)))
    outcome = execute(run, place, SILENT)
    assert outcome.status == "failed" and "fewer than the 25 shots" in outcome.reason


def zoomed(images, generator):
    """Each image at 0.6 to 1.6 times its size, shifted by up to a tenth."""
    zoom = torch.exp(torch.empty(len(images)).uniform_(math.log(0.6), math.log(1.6), generator=generator))
    place = torch.zeros(len(images), 2, 3)
    place[:, 0, 0] = place[:, 1, 1] = 1 / zoom
    place[:, :, 2] = (torch.rand(len(images), 2, generator=generator) - 0.5) / 5
    black = images.min()
    grid = F.affine_grid(place, list(images.shape), align_corners=False)
    return F.grid_sample(images - black, grid, align_corners=False) + black


def train_on_digits_of_several_sizes(data):
    """A ViT that knows strokes of several widths, as large upstream sets have objects of several sizes.

    It learns its positions as rows and columns, the structure that E_pos takes by itself in long training (Figure 7),
    and has them as the one table of eq. 1 in the end.
    """
    torch.manual_seed(0)
    steps, generator = 500, torch.Generator().manual_seed(0)
    model = create("ViT-Pico/4", image_size=32, num_classes=10, positions="2d")
    images = torch.cat(list(normalised(data, "train", (data.mean, data.std), 360, SILENT)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        chosen = torch.randint(len(images), (32,), generator=generator)
        loss = F.cross_entropy(model(zoomed(images[chosen], generator)), data.train.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        rates.step()
    table = model.positions[0]().detach()
    trained = create("ViT-Pico/4", image_size=32, num_classes=10).eval()
    rest = {name: value for name, value in model.state_dict().items() if not name.startswith("positions.")}
    trained.load_state_dict({**rest, "positions.0.table": table})
    return trained


def test_interpolated_positions_keep_a_trained_models_accuracy_on_images_that_are_merely_larger(place, tmp_path):
    """Section 3.2: within two points at 1.5 times the size without any training; fresh positions cost far more."""
    data = load_data("digits", image_size=32, cache=place.cache)
    model = train_on_digits_of_several_sizes(data)
    path = save_checkpoint(model, tmp_path / "model.safetensors")
    images = torch.cat(list(normalised(data, "test", (data.mean, data.std), 360, SILENT)))
    larger = F.interpolate(images, (48, 48), mode="bilinear")
    accuracy = {}
    with torch.no_grad():
        before = float((model(images).argmax(1) == data.test.labels).float().mean())
        for positions in ("interpolate", "fresh"):
            run = Run("ViT-Pico/4", Data("digits", image_size=48), task=Classify(positions=positions), init=str(path))
            moved = build_model(run, images_of(run, place), place.store).eval()
            moved.head = model.head
            accuracy[positions] = float((moved(larger).argmax(1) == data.test.labels).float().mean())
    assert before > 0.8
    assert abs(accuracy["interpolate"] - before) <= 0.02, (before, accuracy)
    assert accuracy["fresh"] < accuracy["interpolate"] - 0.02, (before, accuracy)
