"""How fast, and in how much memory? Models by themselves (D.5, Figure 12), and whole scripts end to end.

    python -m experiments.throughput                    # two sizes of each family, 3 minutes on two cores
    python -m experiments.throughput --preset peers     # vitlab against the plain script of tutorials, 7 minutes

D.5: training steps and inference on random images in memory, with the peak memory per image and the largest batch that
fits into --memory_gib; `vitlab.benchmark.models` says how they are measured. Peers: images/s of optimiser steps after a
warm-up, each script in a process of its own; evaluation is left out on all sides. All repetitions go through all
measurements in turn, and a ratio is taken within each. Nothing else should run: it is said when other processes do.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import throughput_evidence as evidence
from vitlab.runs.display import duration
from vitlab.study.command_line import Execution, seconds
from vitlab.study.study import Study, main
from vitlab.tasks.settings import CHOICES

if TYPE_CHECKING:
    from vitlab.benchmark.models import Case
    from vitlab.benchmark.peers import Script


@dataclass(frozen=True)
class Throughput:
    """Settings of the benchmark."""

    models: tuple[str, ...] = ("ViT-Pico/4", "ViT-Nano/4", "HybridViT-Pico/4", "HybridViT-Nano/4")
    """Models to measure by themselves."""
    image_sizes: tuple[int, ...] = (32, 64)
    """Pixels."""
    precisions: tuple[str, ...] = ("fp32", "bf16")
    """fp32 and bf16 (mixed)."""
    batch: int = 32
    """Images a step; memory per image is read off a batch of these and one of twice as many."""
    memory_gib: float = 4.0
    """The memory that the largest batch is given for."""
    measured_seconds: float = 0.4
    """Least time for each speed."""
    peers: tuple[str, ...] = ("vitlab", "Lightning + DataLoader")
    """Scripts to measure end to end."""
    peer_model: str = "ViT-Mini/4"
    """A plain ViT of the zoo; ViT-Mini/4 has width 192, depth 6, 3 heads."""
    peer_batch: int = 128
    """Images a step of the scripts, which train in the last of --precisions."""
    peer_steps: int = 50
    """Timed optimiser steps of each script in each repetition."""
    repeats: int = 3
    """Repetitions, all measurements in turn."""
    compile: bool = False
    """Compile vitlab's model with torch.compile (the warm-up is then longer)."""

    def __post_init__(self) -> None:
        for name in ("batch", "peer_batch", "peer_steps", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give a whole number from 1 on.")
        for precision in self.precisions:
            if precision not in CHOICES["precision"]:
                raise ValueError(f"Unknown precision {precision!r}; allowed: {', '.join(CHOICES['precision'])}.")


SMALL = tuple(f"{name}-{size}{of}" for name, of in (("ViT", "/4"), ("HybridViT", "/4"), ("ResNet", "")) for size in ("Pico", "Nano"))
PRESETS = {
    "quick": Throughput(models=SMALL, peer_batch=64, peer_steps=6),
    "peers": Throughput(models=(), precisions=("bf16",)),
}
