"""Whole training scripts, end to end, on the same images with the same augmentation, batch size and optimiser.

`PEERS` names them: each is a function of a `Script` that returns images/s after a warm-up. The plain script is what
tutorials show: a Lightning module around timm's ViT of the same shape, fed by a torchvision-style dataset of PIL images
with per-sample transforms through a DataLoader with one worker a core.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import lightning.pytorch as pl
import numpy as np
import torch

from vitlab.data.loading import ImageData, load_data
from vitlab.models import create
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Precision, Recipe

if TYPE_CHECKING:
    from vitlab.models.vit import ViT

WARM_UP = 5
SIDE = 32  # px
PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Script:
    """What every script trains, for `steps` timed optimiser steps; `compile` asks for torch.compile where there is."""

    model: str
    precision: Precision
    batch: int
    steps: int
    device: str
    threads: int
    compile: bool = False


def vitlab(script: Script) -> float:
    """A real run in a worker, as in every study; the first of its two equal rounds is the warm-up."""
    recipe = Recipe(
        steps=2 * script.steps,
        batch_size=script.batch,
        augment=("crop", "flip"),
        evaluations=2,
        precision=script.precision,
        compile=script.compile,
    )
    events: list[dict[str, Any]] = []
    run = Run(script.model, Data("digits", source="digits", image_size=SIDE), recipe)
    with tempfile.TemporaryDirectory() as folder, Launcher(LocalEngine(1, script.threads)) as launcher:
        place = Place(Path(folder), Path(folder) / "cache", script.device)
        (outcome,) = launcher.launch([run], place, events.append, math.inf)
    if outcome.status != "finished":
        raise ValueError(f"The benchmark's run failed: {outcome.reason}")
    seconds = [event["seconds"] for event in events if event["kind"] == "round"]
    return script.steps * script.batch / seconds[-1]


def plain(script: Script) -> float:
    """The plain script, as tutorials do it."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(script.threads)
    clock = Clock(script.steps)
    trainer = pl.Trainer(
        accelerator=script.device,
        devices=1,
        precision=PRECISIONS[script.precision],
        max_steps=script.steps + WARM_UP,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        data = load_data("digits", image_size=SIDE, cache=Path(folder))
        trainer.fit(Plain(script.model, len(data.classes)), _loader(data, script.batch, script.threads))
    return script.steps * script.batch / clock.seconds


PEERS: dict[str, Callable[[Script], float]] = {"vitlab": vitlab, "Lightning + DataLoader": plain}


class Clock(pl.Callback):
    """Seconds from the end of the warm-up to the end of the training."""

    def __init__(self, steps: int) -> None:
        self.steps, self.seconds = steps, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Look at the clock at both ends."""
        if trainer.global_step in (WARM_UP, WARM_UP + self.steps):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if trainer.global_step == WARM_UP:
                self.started = time.perf_counter()
            self.seconds = time.perf_counter() - self.started


class Pictures(torch.utils.data.Dataset):
    """50,000 images, so that no timed step waits for workers to start again at an epoch's end."""

    def __init__(self, data: ImageData) -> None:
        from torchvision import transforms

        self.pixels = data.train.images(torch.arange(len(data.train))).permute(0, 2, 3, 1).numpy()
        self.labels = data.train.labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(SIDE, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return 50_000

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        i = index % len(self.pixels)
        return self.transform(Image.fromarray(np.ascontiguousarray(self.pixels[i]))), int(self.labels[i])


def _loader(data: ImageData, batch: int, workers: int) -> Any:
    return torch.utils.data.DataLoader(
        Pictures(data), batch_size=batch, shuffle=True, num_workers=workers, pin_memory=torch.cuda.is_available()
    )


class Plain(pl.LightningModule):
    """timm's ViT of the shape of ours."""

    def __init__(self, model: str, num_classes: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        like = cast("ViT", create(model, image_size=SIDE, num_classes=num_classes))
        self.net = VisionTransformer(
            img_size=SIDE,
            patch_size=like.token_stride,
            embed_dim=like.width,
            depth=like.depth,
            num_heads=like.heads,
            num_classes=num_classes,
        )

    def training_step(self, batch: Any, _: int) -> Any:
        """Cross-entropy."""
        images, labels = batch
        return torch.nn.functional.cross_entropy(self.net(images), labels)

    def configure_optimizers(self) -> Any:
        """AdamW at a constant rate."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.05)


def matrix_flops(script: Script, size: int = 2048) -> float:
    """FLOP/s of a large matrix product in the script's precision: what nearly all of the hardware can do."""
    torch.set_num_threads(script.threads)
    dtype = torch.bfloat16 if script.precision == "bf16" else torch.float32
    a = torch.randn(size, size, device=script.device, dtype=dtype)
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        if script.device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
