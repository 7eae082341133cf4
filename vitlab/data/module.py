"""Batches for the Lightning trainer: gathered, augmented and normalised on the training device."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from vitlab.data.augment import Samples, apply_augmentations, check_augmentations, denormalise, normalise
from vitlab.data.batches import WHOLE, Batch, EvaluationDataset, RoundSampler, Share, StepDataset, derived_seed
from vitlab.data.loading import ArraySplit, ImageData, Split
from vitlab.data.shuffle import arranged

# Workers of a study are forked from a server; a server for theirs would import torch anew for every run.
FORK = "fork" if sys.platform == "linux" else None
DEVICE_SHARE = 0.5  # of the accelerator's free memory; data that would take more stays in the machine's memory


class DataModule(LightningDataModule):
    """The batches of one training: `data.train` at `indices` (all of it by default), validation and test.

    Training is counted in optimiser steps and cut into rounds of `steps_per_round`; a round is what Lightning calls an
    epoch. The batch of a step depends on `seed` and the step alone (see `StepDataset`), and so does its augmentation on
    one kind of device: resuming at a round gives the same batches, bit for bit. Data in memory is copied to the
    accelerator once; data that streams is decoded by `workers` processes, by default one a thread of this one, and each
    process of a distributed training decodes its share of each batch. Raises ValueError for impossible settings.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        indices: Tensor | None = None,
        batch_size: int,
        steps_per_round: int,
        seed: int,
        augment: Sequence[str] = (),
        evaluation_batch_size: int = 500,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        check_augmentations(augment, data.image_size)
        for what, value in {"Batch size": batch_size, "Steps per round": steps_per_round}.items():
            if value < 1:
                raise ValueError(f"{what} {value} is too small; give a whole number from 1 on.")
        self.data, self.seed, self.augment = data, seed, tuple(augment)
        self.batch_size, self.steps_per_round = batch_size, steps_per_round
        self.evaluation_batch_size = evaluation_batch_size
        self.indices = torch.arange(len(data.train)) if indices is None else indices
        self.workers = workers
        self._splits: dict[str, Split] = {"train": data.train, "validation": data.validation, "test": data.test}
        self._chosen = self.indices  # those of the split that `_splits` holds
        self._generator = Generator()
        self._share = WHOLE

    def setup(self, stage: str) -> None:
        """Copy the data to the trainer's device, or share out what is decoded on demand."""
        if self.trainer is not None:
            if self.data.train.streaming:
                self._share = Share(self.trainer.world_size, self.trainer.global_rank)
            self.prepare(self.trainer.strategy.root_device)

    def prepare(self, device: torch.device | str) -> None:
        """Copy the images of the subset, of validation and of test to `device`, if it is an accelerator with room."""
        device = torch.device(device)
        self._generator = Generator(device)
        if device.type != "cuda" or not self._fits(device):
            return
        for name, split in self._splits.items():
            if isinstance(split, ArraySplit) and split.store.device != device:
                self._splits[name] = split.to(device, self.indices if name == "train" else None)
                if name == "train":
                    self._chosen = torch.arange(len(self.indices))

    def train_dataloader(self) -> DataLoader[Batch]:
        """One round of training batches; the sampler knows which round it is."""
        dataset = StepDataset(self._splits["train"], self._chosen, self.batch_size, self.seed, self._share)
        # Workers begin before Lightning says which round it is, which only matters in a training that goes on.
        done = 0 if self.trainer is None else self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return self._loader(dataset, RoundSampler(self.steps_per_round, done))

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split in order, in large batches."""
        return self._loader(EvaluationDataset(self._splits["validation"], self.evaluation_batch_size, self._share))

    def test_dataloader(self) -> DataLoader[Batch]:
        """The test split in order, in large batches."""
        return self._loader(EvaluationDataset(self._splits["test"], self.evaluation_batch_size, self._share))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment (in training) and normalise a batch of uint8 images that is on the device already."""
        return self.finish(self._gathered(batch))

    def finish(self, batch: Batch) -> Batch:
        """The batch as the model sees it: float32, normalised, its patches shuffled where the data asks for it.

        It is augmented before, where `batch.step` is a step of training.
        """
        samples = Samples(batch.images, batch.targets)
        if self.augment and batch.step >= 0:
            generator = self._generator_on(batch.images.device)
            generator.manual_seed(derived_seed(self.seed, "augment", batch.step))
            samples = apply_augmentations(samples, self.augment, self.data.num_classes, generator)
        images = normalise(arranged(samples.images, self.data), self.data.mean, self.data.std)
        return Batch(images, samples.targets, batch.step)

    def pixels(self, batch: Batch) -> Tensor:
        """The images of a finished batch before normalisation: float32 in [0, 1], (B, 3, H, W)."""
        return denormalise(batch.images, self.data.mean, self.data.std).clamp_(0, 1)

    def _loader(
        self, dataset: StepDataset | EvaluationDataset, sampler: RoundSampler | None = None
    ) -> DataLoader[Batch]:
        streaming = dataset.split.streaming
        workers = (torch.get_num_threads() if self.workers is None else self.workers) if streaming else 0
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=FORK if workers else None,
            pin_memory=streaming and torch.cuda.is_available(),
            collate_fn=_as_it_is,
        )

    def _gathered(self, batch: Batch) -> Batch:
        """The whole batch, as augmentation may mix any two images of it, from the shares that processes decoded."""
        if self._share == WHOLE or self.trainer is None:
            return batch
        counts = [len(Share(self._share.processes, rank).of(batch.targets)) for rank in range(self._share.processes)]
        padded = batch.images.new_zeros(counts[0], *batch.images.shape[1:])  # The first has as many as any.
        padded[: len(batch.images)] = batch.images
        parts = self.trainer.strategy.all_gather(padded)
        images = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
        return batch._replace(images=images)

    def _generator_on(self, device: torch.device) -> Generator:
        if self._generator.device != device:
            self._generator = Generator(device)
        return self._generator

    def _fits(self, device: torch.device) -> bool:
        sizes = {**{name: len(split) for name, split in self._splits.items()}, "train": len(self.indices)}
        need = sum(sizes.values()) * 3 * self.data.image_size**2
        return need <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def _as_it_is(batch: Any) -> Any:
    return batch
