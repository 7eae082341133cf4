"""All trainings of a sweep in one process, in a loop of timm's parts, each with its best weights tested.

    python -m vitlab.benchmark.timm_loop ViT-Pico/2 ResNet-Pico --train_sizes 100 400 --seeds 4 --steps 100

What a careful person writes without vitlab: imports and images are paid for once, the best weights stay in memory. The
models are vitlab's own, whose attention is the kind that is the faster one on the device.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch.utils.data import DataLoader, Subset

from vitlab.benchmark.scripts import CLIP, DECAY, RATE, Images, evaluated
from vitlab.data.loading import ImageData, load_data
from vitlab.data.splits import nested_subset
from vitlab.models import create


@dataclass(frozen=True)
class Trainings:
    """Every model at every train size with every seed."""

    models: tyro.conf.Positional[tuple[str, ...]] = ("ViT-Pico/2",)
    train_sizes: tuple[int, ...] = (100,)
    seeds: int = 1
    steps: int = 100
    batch: int = 64
    evaluations: int = 10
    data: str = "digits"


def main(asked: Trainings) -> None:
    """Train all and print what each reaches on the test split."""
    with tempfile.TemporaryDirectory() as folder:
        data = load_data(asked.data, cache=Path(folder))
        tests = evaluated(data.test, data)
        for seed, size, model in itertools.product(range(asked.seeds), asked.train_sizes, asked.models):
            net = trained(asked, data, model, size, seed)
            print(f"{model}, {size} images, seed {seed}: {top1(net, tests):.1f}%", flush=True)


def trained(asked: Trainings, data: ImageData, model: str, size: int, seed: int) -> torch.nn.Module:
    """A model with the weights of its best look at the validation split."""
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler
    from timm.utils import dispatch_clip_grad

    torch.manual_seed(seed)
    net = create(model, image_size=data.image_size, num_classes=len(data.classes))
    chosen = create_optimizer_v2(net, opt="adamw", lr=RATE, weight_decay=DECAY)
    rates = CosineLRScheduler(chosen, t_initial=asked.steps, t_in_epochs=False)
    count, validation = torch.nn.CrossEntropyLoss(), evaluated(data.validation, data)
    epochs = itertools.repeat(images(asked, data, size, seed))
    best, weights = -1.0, net.state_dict()
    for step, (pixels, labels) in zip(range(1, asked.steps + 1), itertools.chain.from_iterable(epochs), strict=False):
        net.train()
        loss = count(net(pixels), labels)
        chosen.zero_grad()
        loss.backward()
        dispatch_clip_grad(net.parameters(), CLIP, mode="norm")
        chosen.step()
        rates.step_update(step)
        if step % max(1, asked.steps // asked.evaluations) == 0 and (seen := top1(net, validation)) > best:
            best, weights = seen, deepcopy(net.state_dict())
    net.load_state_dict(weights)
    return net


def images(asked: Trainings, data: ImageData, size: int, seed: int) -> Any:
    """timm's loader of a nested subset of the training images."""
    from timm.data import create_loader
    from timm.data.transforms import ToNumpy

    dataset: Any = Subset(Images(data.train, ToNumpy()), nested_subset(data.train.labels, size, seed).tolist())
    loader: Any = create_loader(
        dataset,
        input_size=(3, data.image_size, data.image_size),
        batch_size=min(asked.batch, size),
        is_training=True,
        no_aug=True,
        mean=data.mean,
        std=data.std,
        num_workers=0,  # of images this small, workers cost more than they save
        persistent_workers=False,
        device=torch.device("cpu"),
    )
    return loader


@torch.inference_mode()
def top1(net: torch.nn.Module, loader: DataLoader) -> float:
    """Top-1 accuracy in %."""
    from timm.utils import AverageMeter, accuracy

    meter = AverageMeter()
    net.eval()
    for pixels, labels in loader:
        meter.update(accuracy(net(pixels), labels)[0].item(), len(labels))
    return meter.avg


if __name__ == "__main__":
    try:
        main(tyro.cli(Trainings, use_underscores=True))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
