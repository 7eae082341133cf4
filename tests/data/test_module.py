"""Batches: the same for the same seed and step, whatever the round, a resume, or the way that data is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from vitlab.data import DataModule, ImageData, load_data, nested_subset
from vitlab.data.batches import Batch, StepDataset, derived_seed


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ImageData:
    return load_data("digits", cache=tmp_path_factory.mktemp("cache"))


def module(data: ImageData, **settings: Any) -> DataModule:
    chosen = dict(batch_size=16, steps_per_round=5, seed=1, augment=("crop", "mixup")) | settings
    return DataModule(data, **chosen)


class Recorder(LightningModule):
    """Keeps the batches that Lightning hands to it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, Tensor]] = []
        self.evaluated = 0

    def training_step(self, batch: Batch, index: int) -> Tensor:
        self.seen.append((batch.step, batch.images.clone()))
        return self.weight * batch.images.mean()

    def validation_step(self, batch: Batch, index: int) -> None:
        assert batch.step == -1
        self.evaluated += len(batch.images)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: ImageData, rounds: int, folder: Path, resume: Path | None = None) -> tuple[Recorder, Path]:
    recorder, checkpoint = Recorder(), folder / f"after-{rounds}.ckpt"
    trainer = Trainer(
        max_epochs=rounds,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(recorder, datamodule=module(data), ckpt_path=resume)
    trainer.save_checkpoint(checkpoint)
    return recorder, checkpoint


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_training_gets_the_batches_it_would_have_got(digits: ImageData, tmp_path: Path) -> None:
    whole, _ = fit(digits, 3, tmp_path)
    first, checkpoint = fit(digits, 2, tmp_path)
    rest, _ = fit(digits, 3, tmp_path, resume=checkpoint)
    assert [step for step, _ in whole.seen] == list(range(15))
    assert [step for step, _ in rest.seen] == list(range(10, 15))
    for (_, expected), (_, got) in zip(whole.seen, first.seen + rest.seen, strict=True):
        assert torch.equal(expected, got)
    assert rest.evaluated >= len(digits.validation)


def test_batches_depend_on_seed_and_step_alone(digits: ImageData) -> None:
    def batches(seed: int, round: int) -> list[Batch]:
        data = module(digits, seed=seed)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(round)  # type: ignore[attr-defined]
        return [data.finish(batch) for batch in loader]

    for one, other in zip(batches(0, 3), batches(0, 3), strict=True):
        assert one.step == other.step and torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)
    assert not torch.equal(batches(0, 3)[0].images, batches(1, 3)[0].images)
    assert not torch.equal(batches(0, 3)[0].images, batches(0, 4)[0].images)


@pytest.mark.parametrize(("count", "batch_size"), [(50, 64), (50, 16), (7, 50), (10, 10), (1, 4)])
def test_every_image_is_seen_once_an_epoch(digits: ImageData, count: int, batch_size: int) -> None:
    dataset = StepDataset(digits.train, torch.arange(count), batch_size, seed=0)
    stream = torch.cat([dataset.positions(step) for step in range(3 * count)])
    assert len(stream) == 3 * count * batch_size
    for epoch in stream.view(-1, count):
        assert sorted(epoch.tolist()) == list(range(count))


def test_a_seed_means_the_same_order_for_good(digits: ImageData) -> None:
    """Runs are named by their seeds: batches in another order would pass for repetitions of stored runs."""
    dataset = StepDataset(digits.train, torch.arange(10), 4, seed=3)
    assert [dataset.positions(step).tolist() for step in range(3)] == [[4, 8, 9, 6], [7, 1, 0, 2], [3, 5, 3, 7]]
    assert (derived_seed(0, "step", 5), derived_seed(7)) == (3255735661457446602, 4703935488074688627)


def test_a_batch_holds_the_images_of_its_indices(digits: ImageData) -> None:
    indices = nested_subset(digits.train.labels, 40, seed=0)
    dataset = StepDataset(digits.train, indices, 8, seed=5)
    batch = dataset[7]
    chosen = indices[dataset.positions(7)]
    assert torch.equal(batch.targets, digits.train.labels[chosen])
    assert torch.equal(batch.images, digits.train.images(chosen))


def test_evaluation_batches_cover_the_split_in_order_and_normalised(digits: ImageData) -> None:
    data = module(digits, evaluation_batch_size=100)
    batches = [data.finish(batch) for batch in data.test_dataloader()]
    assert [len(batch.images) for batch in batches] == [100, 100, 100, 60]
    assert torch.equal(torch.cat([batch.targets for batch in batches]), digits.test.labels)
    images = torch.cat([batch.images for batch in batches])
    raw = digits.test.images(torch.arange(360)).double() / 255
    expected = (raw - digits.mean[0]) / digits.std[0]
    assert torch.allclose(images.double(), expected, atol=1e-5)
    assert abs(images.mean()) < 0.05 and abs(images.std() - 1) < 0.05


def test_pixels_before_normalisation_come_back(digits: ImageData) -> None:
    data = module(digits, augment=("flip",))
    batch = data.finish(next(iter(data.val_dataloader())))
    raw = digits.validation.images(torch.arange(len(digits.validation))).float() / 255
    assert torch.allclose(data.pixels(batch), raw, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "Batch size 0"),
        ({"steps_per_round": 0}, "Steps per round 0"),
        ({"augment": ("flop",)}, "Unknown augmentation 'flop'.*'flip'"),
    ],
)
def test_impossible_settings_are_refused(digits: ImageData, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module(digits, **settings)


def test_augmentations_of_tiny_images_are_refused(digits: ImageData) -> None:
    with pytest.raises(ValueError, match="'trivial' needs images of 3 px or more, and these have 2 px"):
        module(replace(digits, image_size=2), augment=("flip", "trivial"))
