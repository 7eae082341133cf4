"""Whole training scripts, end to end, on the same images with the same augmentation, batch size and optimiser.

`FUNCTIONS` names them: each takes a `Script` and returns images/s after a warm-up. "bare loop" is vitlab's own
images, model and optimiser without Lightning's Trainer, which shows what the Trainer and the store cost. The others are
what people write: a Lightning module as in tutorials, a loop in the style of timm's training script, and the Trainer of
transformers (not installed with vitlab itself; it is in the extra `dev`).
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch.nn import functional as F

from vitlab.benchmark.evidence import EXPLICIT, PLAIN
from vitlab.benchmark.scripts import (
    CLIP,
    DECAY,
    RATE,
    SIDE,
    Pictures,
    Script,
    Watch,
    augmentation,
    normalised,
    ready,
    stacked,
    timm_vit,
    transformers_vit,
)
from vitlab.data.module import DataModule
from vitlab.models import create
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.bf16 import mixed
from vitlab.tasks.optim import optimizer, schedule
from vitlab.tasks.settings import Precision

PRECISIONS: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def vitlab(script: Script) -> float:
    """A real run in a worker, as in every study."""
    events: list[dict[str, Any]] = []
    run = Run(script.model, Data(script.data, source=script.data, image_size=SIDE), script.recipe)
    with tempfile.TemporaryDirectory() as folder, Launcher(LocalEngine(1, script.threads)) as launcher:
        place = Place(Path(folder), Path(folder) / "cache", script.device)
        (outcome,) = launcher.launch([run], place, events.append, math.inf)
    if outcome.status != "finished":
        raise ValueError(f"The benchmark's run failed: {outcome.reason}")
    seconds = [event["seconds"] for event in events if event["kind"] == "round"]
    return script.steps * script.batch / seconds[-1]


def bare(script: Script) -> float:
    """The same images, model, optimiser and schedule as vitlab's, and no Trainer."""
    with tempfile.TemporaryDirectory() as folder:
        data, watch = ready(script, folder), Watch(script)
    model = create(script.model, image_size=SIDE, num_classes=len(data.classes)).to(script.device)
    if script.compile:
        model.compile()
    batches = DataModule(
        data, batch_size=script.batch, steps_per_round=watch.total, seed=0, augment=script.recipe.augment
    )
    batches.prepare(script.device)
    chosen = optimizer(model, script.recipe)
    rates = torch.optim.lr_scheduler.LambdaLR(chosen, schedule(script.recipe, watch.total))
    for batch in batches.train_dataloader():
        images, targets, _ = batches.finish(batch)
        with mixed(script.device, script.precision):
            loss = F.cross_entropy(model(images), targets)
        chosen.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        chosen.step()
        rates.step()
        watch()
    return watch.images_per_s


def lightning(script: Script) -> float:
    """The plain script, as tutorials do it."""
    watch = Watch(script)
    with tempfile.TemporaryDirectory() as folder:
        data = ready(script, folder)
        trainer = pl.Trainer(
            accelerator=script.device,
            devices=1,
            precision=PRECISIONS[script.precision],
            max_steps=watch.total,
            gradient_clip_val=CLIP,
            callbacks=[pl.callbacks.LambdaCallback(on_train_batch_end=watch)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        images = torch.utils.data.DataLoader(
            Pictures(data, *normalised(data)),
            batch_size=script.batch,
            shuffle=True,
            num_workers=script.threads,
            pin_memory=script.device == "cuda",
        )
        trainer.fit(Plain(timm_vit(script, len(data.classes)), watch.total), images)
    return watch.images_per_s


class Plain(pl.LightningModule):
    """A classifier as in tutorials."""

    def __init__(self, net: torch.nn.Module, steps: int) -> None:
        super().__init__()
        self.net, self.steps = net, steps

    def training_step(self, batch: Any, _: int) -> Any:
        """Cross-entropy."""
        images, labels = batch
        return F.cross_entropy(self.net(images), labels)

    def configure_optimizers(self) -> Any:
        """AdamW with a rate that falls as a cosine."""
        chosen = torch.optim.AdamW(self.parameters(), lr=RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(chosen, self.steps)
        return {"optimizer": chosen, "lr_scheduler": {"scheduler": rates, "interval": "step"}}


def timm(script: Script) -> float:
    """A loop of timm's parts, as its training script puts them together: loader, optimiser, schedule, clipping."""
    from timm.data import create_loader
    from timm.data.transforms import ToNumpy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler
    from timm.utils import AverageMeter, dispatch_clip_grad

    watch, losses = Watch(script), AverageMeter()
    with tempfile.TemporaryDirectory() as folder:
        data = ready(script, folder)
    pictures: Any = Pictures(data)
    loader: Any = create_loader(
        pictures,
        input_size=(3, SIDE, SIDE),
        batch_size=script.batch,
        is_training=True,
        mean=data.mean,
        std=data.std,
        num_workers=script.threads,
        device=torch.device(script.device),
    )
    loader.dataset.transform = augmentation(ToNumpy())  # the loader normalises, on the device
    net = timm_vit(script, len(data.classes)).train()
    chosen = create_optimizer_v2(net, opt="adamw", lr=RATE, weight_decay=DECAY)
    rates, count = CosineLRScheduler(chosen, t_initial=watch.total, t_in_epochs=False), torch.nn.CrossEntropyLoss()
    for step, (images, targets) in zip(range(1, watch.total + 1), loader, strict=False):
        with script.autocast:
            loss = count(net(images), targets)
        loss.backward()
        dispatch_clip_grad(net.parameters(), CLIP, mode="norm")
        chosen.step()
        chosen.zero_grad()
        losses.update(loss.item(), len(images))
        rates.step_update(step)
        watch()
    return watch.images_per_s


def transformers(script: Script) -> float:
    """The Trainer of transformers on its own ViT."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    watch = Watch(script)

    class Look(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            watch()

    with tempfile.TemporaryDirectory() as folder:
        data = ready(script, folder)
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=script.batch,
            max_steps=watch.total,
            learning_rate=RATE,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            lr_scheduler_type="cosine",
            bf16=script.precision == "bf16",
            use_cpu=script.device == "cpu",
            dataloader_num_workers=script.threads,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        model = transformers_vit(script, len(data.classes))
        pictures = Pictures(data, *normalised(data))
        trainer = Trainer(model, arguments, stacked, pictures, callbacks=[Look()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return watch.images_per_s


FUNCTIONS: dict[str, Callable[[Script], float]] = {
    "vitlab": vitlab,
    "bare loop": bare,
    PLAIN: lightning,
    "timm": timm,
    "transformers Trainer": transformers,
}


NEEDED = {"transformers Trainer": ("transformers", "accelerate")}  # beside what vitlab itself depends on


def missing(name: str) -> list[str]:
    """The packages that the script called `name` needs and that are not installed."""
    return [package for package in NEEDED.get(name.removesuffix(EXPLICIT), ()) if find_spec(package) is None]


def images_per_s(name: str, script: Script) -> float:
    """Speed of the script called `name`; every script but vitlab's, which has workers, belongs in a process alone."""
    function = FUNCTIONS[name.removesuffix(EXPLICIT)]
    return function(replace(script, explicit=name.endswith(EXPLICIT)))


def matrix_flops(script: Script, size: int = 2048) -> float:
    """FLOP/s of a large matrix product in the script's precision: what nearly all of the hardware can do."""
    torch.set_num_threads(script.threads)
    dtype = torch.bfloat16 if script.precision == "bf16" else torch.float32
    a = torch.randn(size, size, device=script.device, dtype=dtype)
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        with mixed(script.device, script.precision):
            a @ a
        if script.device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
