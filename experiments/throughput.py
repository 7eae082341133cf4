"""Training speed, end to end: vitlab against the plain script that tutorials show, measured in turn in one process.

    python -m experiments.throughput                # bf16 on whatever is here
    python -m experiments.throughput --precision fp32 --model ViT-Ti/4

Both train a model of the same shape on the same 32 px images in memory, with the same augmentation (crop, flip),
AdamW and batch size. The plain script is a Lightning module around timm's ViT, fed by a torchvision-style dataset of
PIL images with per-sample transforms through a DataLoader with one worker a core. What counts is images/s of optimiser
steps after a warm-up; evaluation is left out on both sides. Repetitions alternate, and the ratio is taken within each.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import tyro

from vitlab.study.command_line import fail, plain
from vitlab.tasks.settings import Precision, Recipe

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import pandas as pd

    from vitlab.data.loading import ImageData
    from vitlab.models.vit import ViT

QUESTION = "How fast is training here, against the plain script of tutorials?"
WARM_UP = 5
PLAIN = "Lightning + DataLoader"


@dataclass(frozen=True)
class Throughput:
    """Settings of the benchmark."""

    model: str = "ViT-Mini/4"
    """A plain ViT of the zoo; ViT-Mini/4 has width 192, depth 6, 3 heads."""
    precision: Precision = "bf16"
    """fp32 or bf16 (mixed)."""
    batch_size: int = 128
    """Images a step."""
    steps: int = 50
    """Timed optimiser steps of each side in each repetition."""
    repeats: int = 3
    """Repetitions, the two sides in turn."""
    compile: bool = False
    """Compile vitlab's model with torch.compile (the warm-up is then longer)."""
    device: str = "auto"
    """auto, cpu or cuda."""
    results: Path = Path("results")
    """Where rows, table and figure go."""
    redraw: bool = False
    """Remake table and figure from the stored rows."""


def measure(settings: Throughput) -> list[dict[str, Any]]:
    """One row a side and repetition, with images/s, and with the rate of a large matrix product."""
    from vitlab.runs.execute import pick_device

    device = pick_device(settings.device)
    sides = {"vitlab": vitlab_speed, PLAIN: plain_speed}
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"side": side, "repeat": repeat, **speed(settings, device, Path(folder) / f"{side}{repeat}")}
            for repeat in range(settings.repeats)
            for side, speed in sides.items()
        ]
    signed = {"study": "throughput", "matrix_flops": matrix_flops(device, settings.precision)}
    return [{**row, **signed} for row in rows]


def vitlab_speed(settings: Throughput, device: str, folder: Path) -> dict[str, Any]:
    """A real run in a worker, as in every study, with all cores; the first of its two equal rounds is the warm-up."""
    from vitlab.report.provenance import cores
    from vitlab.runs.launch import Launcher
    from vitlab.runs.place import Place
    from vitlab.runs.run import Data, Run

    recipe = Recipe(
        steps=2 * settings.steps,
        batch_size=settings.batch_size,
        augment=("crop", "flip"),
        evaluations=2,
        precision=settings.precision,
        compile=settings.compile,
    )
    events: list[dict[str, Any]] = []
    run = Run(settings.model, Data("digits", source="digits", image_size=32), recipe)
    place = Place(folder, folder / "cache", device)
    with Launcher(1, cores()) as launcher:
        (outcome,) = launcher.launch([run], place, events.append, math.inf)
    if outcome.status != "finished":
        raise ValueError(f"The benchmark's run failed: {outcome.reason}")
    seconds = [event["seconds"] for event in events if event["kind"] == "round"]
    row = outcome.rows[0]
    kept = "model parameters train_flops_per_image precision hardware threads torch commit date".split()
    return {name: row[name] for name in kept} | {
        "batch_size": settings.batch_size,
        "images_per_s": settings.steps * settings.batch_size / seconds[-1],
    }


def plain_speed(settings: Throughput, device: str, folder: Path) -> dict[str, Any]:
    """The plain script, as tutorials do it; `folder` is not needed, since nothing is cached."""
    import lightning.pytorch as pl
    import torch

    from vitlab.data.loading import load_data

    clock = _clock(settings)
    precisions: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}
    trainer = pl.Trainer(
        accelerator=device,
        devices=1,
        precision=precisions[settings.precision],
        max_steps=settings.steps + WARM_UP,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = load_data("digits", image_size=32, cache=folder)
    loader = _plain_loader(data, settings.batch_size, workers=max(1, torch.get_num_threads()))
    trainer.fit(_plain_module(settings.model, len(data.classes)), loader)
    return {"images_per_s": settings.steps * settings.batch_size / clock.seconds, "batch_size": settings.batch_size}


def _clock(settings: Throughput) -> Any:
    import lightning.pytorch as pl
    import torch

    class Clock(pl.Callback):
        """Seconds from the end of the warm-up to the end of the training."""

        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step in (WARM_UP, WARM_UP + settings.steps):
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if trainer.global_step == WARM_UP:
                    self.started = time.perf_counter()
                self.seconds = time.perf_counter() - self.started

    return Clock()


def _plain_loader(data: ImageData, batch_size: int, workers: int) -> Any:
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    pixels = data.train.images(torch.arange(len(data.train))).permute(0, 2, 3, 1).numpy()
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(data.mean, data.std),
        ]
    )

    class Pictures(Dataset):
        """50,000 images, so that no timed step waits for workers to start again at an epoch's end."""

        def __len__(self) -> int:
            return 50_000

        def __getitem__(self, index: int) -> tuple[Any, int]:
            i = index % len(pixels)
            return transform(Image.fromarray(np.ascontiguousarray(pixels[i]))), int(data.train.labels[i])

    return DataLoader(Pictures(), batch_size=batch_size, shuffle=True, num_workers=workers, pin_memory=True)


def _plain_module(model: str, num_classes: int) -> pl.LightningModule:
    import lightning.pytorch as pl
    import torch
    from timm.models.vision_transformer import VisionTransformer

    from vitlab.models import create

    like = cast("ViT", create(model, image_size=32, num_classes=num_classes))

    class Plain(pl.LightningModule):
        """timm's ViT of the same shape."""

        def __init__(self) -> None:
            super().__init__()
            self.net = VisionTransformer(
                img_size=32,
                patch_size=like.token_stride,
                embed_dim=like.width,
                depth=like.depth,
                num_heads=like.heads,
                num_classes=num_classes,
            )

        def training_step(self, batch: Any, _: int) -> Any:
            images, labels = batch
            return torch.nn.functional.cross_entropy(self.net(images), labels)

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.05)

    return Plain()


def matrix_flops(device: str, precision: str) -> float:
    """FLOP/s of a large matrix product (2,048^3 on a CPU, 8,192^3 on a GPU): the rate that utilisation is held
    against.
    """
    import torch

    size = 8192 if device == "cuda" else 2048
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def draw(rows: pd.DataFrame) -> tuple[str, str, dict[str, Any]]:
    """Answer, Markdown table and figure of the rows."""
    from vitlab.report.charts import bars
    from vitlab.report.intervals import bootstrap_mean
    from vitlab.report.tables import Table, describe, to_markdown

    speeds = rows.pivot(index="repeat", columns="side", values="images_per_s")
    ratios = speeds["vitlab"] / speeds[PLAIN]
    ratio = bootstrap_mean(ratios.to_numpy())
    ours = rows[rows["side"] == "vitlab"].iloc[0]
    achieved = ours["train_flops_per_image"] * speeds["vitlab"].mean()
    cells = tuple(
        (side, bootstrap_mean(speeds[side].to_numpy()).format(digits=0, scale=1)) for side in ("vitlab", PLAIN)
    )
    caption = f"Training images/s, mean of {len(speeds)} repetitions [95% interval]. {describe(rows)}."
    table = to_markdown(Table(("side", "images/s"), cells, caption))
    answer = (
        f"{ours['model']} trains {ratio.format(digits=2, scale=1)} times as fast as the plain script; it does "
        f"{achieved / 1e12:.3g} TFLOP/s, {100 * achieved / ours['matrix_flops']:.0f}% of what a large matrix product "
        "does here."
    )
    figure = bars(
        rows,
        category="side",
        value="images_per_s",
        xlabel="training images/s",
        title=f"Training speed of {ours['model']}, end to end",
        subtitle=f"{ours['precision']}, batch {ours['batch_size']}, {ours['hardware']}",
    )
    return answer, f"{table}\n{answer}\n", {"figure": figure}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the evidence and print it; wrong input ends with exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        settings = tyro.cli(
            Throughput,
            prog="python -m experiments.throughput",
            description=__doc__,
            args=arguments,
            use_underscores=True,
        )
        _conduct(settings, arguments)
    except ValueError as error:
        fail(str(error))


def _conduct(settings: Throughput, arguments: Sequence[str]) -> None:
    from vitlab.report.provenance import frame, provenance, read_provenance, read_rows, write_evidence

    folder = settings.results / "throughput" / f"{settings.model.replace('/', '_')}_{settings.precision}"
    if settings.redraw:
        rows, record = read_rows(folder), read_provenance(folder)
    else:
        rows = frame(measure(settings))
        record = provenance(plain(settings), ["python", "-m", "experiments.throughput", *arguments], rows)
    answer, markdown, figures = draw(rows)
    record |= {"question": QUESTION, "answer": answer}
    write_evidence(folder, rows=rows, table_md=markdown, figures=figures, provenance=record)
    print(f"{markdown}\nWritten to {folder}")


if __name__ == "__main__":
    main()
