"""Speed and memory of a model by itself: training steps and inference on random images that lie in memory (D.5).

Memory per image is the slope between the peaks of two batches, `batch` and `LARGER` times as many. On a CPU the peak is
the resident memory of a process that does nothing else (`ru_maxrss`: all that the system had to give, what the
allocator wastes included), so that the interpreter, the libraries and the weights, which both have, drop out. On a GPU
it is torch's own peak of allocated bytes. The largest batch in a given memory is what is left beside weights, gradients
and AdamW's two moments (four bytes each) over the memory per image.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitlab.benchmark.isolation import alone
from vitlab.models import count, create
from vitlab.tasks.bf16 import mixed
from vitlab.tasks.settings import Precision

CLASSES = 1000
FLOATS = {"training": 4, "inference": 1}  # for each parameter: weight, gradient and two moments; or the weight alone
MODES = tuple(FLOATS)
WARM_UP = 1
LARGER = 4


@dataclass(frozen=True)
class Case:
    """What is measured: `mode` is "training" or "inference", `precision` "fp32" or "bf16" (mixed)."""

    model: str
    image_size: int
    precision: Precision
    mode: str
    batch: int
    device: str
    threads: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.mode} of {self.model} at {self.image_size} px in {self.precision}"


def measured(case: Case, *, seconds: float, memory: float) -> dict[str, Any]:
    """Images/s, bytes per image and the largest batch in `memory` bytes, each in a process of its own.

    Raises:
        ValueError: for a model that there is not, and for a batch that does not fit.
    """
    size = count(case.model, image_size=case.image_size, num_classes=CLASSES)
    small, large = (alone(peak_memory, case, factor * case.batch) for factor in (1, LARGER))
    per_image = max(1.0, (large - small) / ((LARGER - 1) * case.batch))
    return {
        "images_per_s": alone(speed, case, seconds),
        "memory_per_image": per_image,
        "largest_batch": max(0, int((memory - 4 * FLOATS[case.mode] * size.parameters) / per_image)),
        "parameters": size.parameters,
        "train_flops_per_image": 3 * size.flops,
    }


def speed(case: Case, seconds: float) -> float:
    """Images/s of whole steps, for at least `seconds` after a warm-up."""
    step = _step(case, case.batch)
    for _ in range(WARM_UP):
        step()
    _wait(case.device)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or steps < 2:
        step()
        _wait(case.device)
        steps += 1
    return steps * case.batch / (time.perf_counter() - began)


def peak_memory(case: Case, batch: int) -> float:
    """The most bytes that a step of `batch` images took, with all that was there before."""
    if case.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    _step(case, batch)()
    if case.device == "cuda":
        return float(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def _step(case: Case, batch: int) -> Callable[[], Any]:
    """One step of the case on random images."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(case.seed)
    model = create(case.model, image_size=case.image_size, num_classes=CLASSES).to(case.device)
    images = torch.rand(batch, 3, case.image_size, case.image_size, device=case.device)
    if case.mode == "inference":
        return lambda: _infer(model.eval(), images, mixed(case.device, case.precision))
    labels = torch.randint(CLASSES, (batch,), device=case.device)
    optimizer = torch.optim.AdamW(model.parameters())
    return lambda: _train(model, images, labels, optimizer, mixed(case.device, case.precision))


def _train(model: nn.Module, images: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, autocast: Any) -> None:
    with autocast:
        loss = nn.functional.cross_entropy(model(images).float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _infer(model: nn.Module, images: Tensor, autocast: Any) -> None:
    with torch.inference_mode(), autocast:
        model(images)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
