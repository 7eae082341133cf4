"""One training of a sweep as a script of tutorials: a process, a Trainer, its best weights tested, a line printed.

    python -m vitlab.benchmark.tutorial ViT-Pico/2 --train_size 100 --seed 0 --steps 100 --batch 64 --evaluations 10

The model is vitlab's own, so that a sweep of such scripts differs from a study in the way it is run alone.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import tyro
from torch.utils.data import DataLoader, Subset
from torchmetrics.classification import MulticlassAccuracy
from torchvision.transforms import Compose

from vitlab.benchmark.peers import Plain
from vitlab.benchmark.scripts import Images, evaluated, normalised
from vitlab.data.loading import load_data
from vitlab.data.splits import nested_subset
from vitlab.models import create


@dataclass(frozen=True)
class Training:
    """One training."""

    model: tyro.conf.Positional[str]
    train_size: int = 100
    seed: int = 0
    steps: int = 100
    batch: int = 64
    evaluations: int = 10
    data: str = "digits"


class Classifier(Plain):
    """With validation and test."""

    def __init__(self, net: torch.nn.Module, steps: int, classes: int) -> None:
        super().__init__(net, steps)
        self.accuracy = MulticlassAccuracy(classes, average="micro")

    def validation_step(self, batch: Any, _: int) -> None:
        """Accuracy."""
        images, labels = batch
        self.accuracy(self.net(images), labels)
        self.log("accuracy", self.accuracy)

    test_step = validation_step


def main(asked: Training) -> None:
    """Train, keep the best weights, test them."""
    pl.seed_everything(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        data = load_data(asked.data, cache=Path(folder))
        chosen = nested_subset(data.train.labels, asked.train_size, asked.seed).tolist()
        every = min(asked.batch, asked.train_size)
        images = DataLoader(
            Subset(Images(data.train, Compose(normalised(data))), chosen),
            batch_size=every,
            shuffle=True,
            drop_last=True,
            num_workers=torch.get_num_threads(),
            persistent_workers=True,
        )
        best = pl.callbacks.ModelCheckpoint(folder, monitor="accuracy", mode="max")
        trainer = pl.Trainer(
            max_steps=asked.steps,
            val_check_interval=max(1, asked.steps // asked.evaluations),
            check_val_every_n_epoch=None,
            gradient_clip_val=1.0,
            accelerator="auto",
            devices=1,
            logger=False,
            callbacks=[best],
            enable_progress_bar=False,
        )
        net = create(asked.model, image_size=data.image_size, num_classes=len(data.classes))
        trainer.fit(Classifier(net, asked.steps, len(data.classes)), images, evaluated(data.validation, data))
        trainer.test(dataloaders=evaluated(data.test, data), ckpt_path=best.best_model_path, weights_only=False)


if __name__ == "__main__":
    main(tyro.cli(Training, use_underscores=True))
