"""How fast, and in how much memory? Models by themselves (D.5, Figure 12), training scripts, sweeps, and growing work.

    python -m experiments.throughput              # two sizes of each family, 3 minutes on two cores
    python -m experiments.throughput --peers      # training scripts side by side, 5 repetitions, 5 minutes
    python -m experiments.throughput --sweep      # 24 runs four ways, from the command to the table, 6 minutes
    python -m experiments.throughput --growth     # runs, train images, tokens, parameters, 10 minutes

D.5: training steps and inference on random images in memory, with the peak memory per image and the largest batch that
fits into --memory_gib; `vitlab/benchmark/models.py` says how they are measured. Scripts (`vitlab/benchmark/peers.py`):
images/s of optimiser steps after a warm-up; evaluation is left out on all sides; each peer also with its attention as
explicit products, which is the faster one on some processors. A sweep (`vitlab/benchmark/sweep.py`): one study's
command, the same in one process, a loop of timm's parts in one process, and the script of tutorials once a run. A
repetition goes through all measurements in turn, and ratios are taken within it. Nothing else should run: it is said
when other processes do.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from vitlab.benchmark import evidence
from vitlab.errors import suggest
from vitlab.study.command_line import Execution, seconds
from vitlab.study.study import Study, main
from vitlab.tasks.settings import Precision

if TYPE_CHECKING:
    from vitlab.benchmark.models import Case
    from vitlab.benchmark.rounds import Task
    from vitlab.benchmark.scripts import Script

SMALL = "ViT-Pico/4 ViT-Nano/4 HybridViT-Pico/4 HybridViT-Nano/4 ResNet-Pico ResNet-Nano".split()


@dataclass(frozen=True)
class Throughput:
    """Settings of the benchmark."""

    peers: bool = False
    """Measure training scripts in place of models: vitlab's and those that people write."""
    sweep: bool = False
    """Measure a sweep of short runs, four ways."""
    growth: bool = False
    """Measure how time and memory grow with runs, train images, tokens and parameters."""
    models: tuple[str, ...] = tuple(SMALL)
    """Models to measure by themselves."""
    image_sizes: tuple[int, ...] = (32, 48)
    """Pixels."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    """fp32, and bf16 (mixed)."""
    batch: int = 32
    """Images a step; memory per image is read off steps of these and of four times as many."""
    memory_gib: float = 4.0
    """The memory that the largest batch is given for."""
    least_seconds: float = 0.3
    """The time that each speed is measured for, at least."""
    repeats: int = 3
    """Repetitions of models, and of --growth."""
    scripts: tuple[str, ...] = evidence.SCRIPTS
    """Training scripts to measure end to end."""
    script_model: str = "ViT-Nano/4"
    """A plain ViT of the zoo; ViT-Mini/4 has width 192, depth 6, 3 heads."""
    script_batch: int = 64
    """Images a step of the scripts, which train in the last of --precisions."""
    script_steps: int = 30
    """Timed optimiser steps of each script in each repetition."""
    script_repeats: int = 5
    """Repetitions of scripts."""
    compile: bool = False
    """Compile vitlab's model with torch.compile in its script (the warm-up is then longer)."""
    sweep_seeds: int = 4
    """Seeds of the sweep; with three families and two train sizes, four give 24 runs."""
    sweep_steps: int = 100
    """Optimiser steps of each run of the sweep."""
    sweep_repeats: int = 1
    """Repetitions of the sweep."""

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}; give a whole number from 1 on.")
        for words, allowed in ((self.precisions, get_args(Precision)), (self.scripts, evidence.SCRIPTS)):
            for word in words:
                if word not in allowed:
                    raise ValueError(f"There is no {word!r}; allowed: {', '.join(allowed)}.{suggest(word, allowed)}")
        if not self.precisions or not (self.scripts or self.models):
            raise ValueError("There is nothing to measure; give --precisions, and --models or --scripts.")
        if (asked := [name for name in MODES if getattr(self, name)])[1:]:
            raise ValueError(f"--{' and --'.join(asked)} are measured and kept by themselves; give one of them.")


MODES = ("peers", "sweep", "growth")
COUNTS = "batch repeats script_batch script_steps script_repeats sweep_seeds sweep_steps sweep_repeats".split()
PAPER = "ViT-B/32 ViT-B/16 ViT-L/32 ViT-L/16 R50x1 R50x2 R101x1 R152x2 R50+ViT-B/32".split()
PRESETS = {
    "quick": Throughput(batch=16),
    "paper": Throughput(  # Figure 12, where a core has 16 GiB
        models=tuple(PAPER),
        image_sizes=(64, 128, 224, 384, 512),
        batch=8,
        memory_gib=16,
        least_seconds=2,
        repeats=5,
    ),
}
STUDIED = (sys.executable, "-m", f"{__package__}.data_scaling")
SWEPT = ("ViT-Pico/2", "HybridViT-Pico/2", "ResNet-Pico")
TRAIN_SIZES = (100, 400)  # of the sweep
AMOUNTS = {"runs": (6, 12, 24, 48), "train images": (500, 1000, 2000, 4000)}
TOKENS = (16, 32, 48, 64)  # px at patches of 4
SIZES = ("Pico", "Nano", "Micro", "Mini")


def cases(settings: Throughput, device: str, threads: int) -> list[Case]:
    """All models at all sizes, in both modes and every precision; raises ValueError for one that cannot be built."""
    from vitlab.benchmark.models import MODES, Case
    from vitlab.models import count

    for model, size in itertools.product(settings.models, settings.image_sizes):
        count(model, image_size=size, num_classes=10)
    axes = (settings.models, settings.image_sizes, settings.precisions, MODES)
    return [Case(*words, settings.batch, device, threads) for words in itertools.product(*axes)]


def script(settings: Throughput, device: str, threads: int) -> Script:
    """What the scripts train; raises ValueError for a model that is no plain ViT."""
    from vitlab.benchmark.scripts import SIDE, Script
    from vitlab.models import count

    count(settings.script_model, image_size=SIDE, num_classes=10)
    if not settings.script_model.startswith("ViT-"):
        raise ValueError(f"--script_model is {settings.script_model}; the scripts train a ViT, such as ViT-Mini/4.")
    shape = (settings.script_model, settings.precisions[-1], settings.script_batch, settings.script_steps)
    return Script(*shape, device, threads, settings.compile)


def installed(scripts: tuple[str, ...]) -> tuple[str, ...]:
    """The scripts whose packages are here; of all scripts, which is the default, the others are left out, and said.

    Raises:
        ValueError: if one of the others was asked for by name.
    """
    from vitlab.benchmark.peers import missing

    lacking = {name: needed for name in scripts if (needed := missing(name))}
    if not lacking:
        return scripts
    packages = " ".join(sorted(set().union(*lacking.values())))
    names = " and ".join(map(repr, lacking))
    if scripts != evidence.SCRIPTS:
        raise ValueError(f"--scripts {names} cannot be measured here; leave it out, or pip install {packages}.")
    print(f"{names} are left out: to measure them too, pip install {packages}.")
    return tuple(name for name in scripts if name not in lacking)


def tasks(settings: Throughput, device: str, threads: int) -> tuple[list[Task], int]:
    """What is measured in each repetition, and how many of these there are."""
    from vitlab.benchmark.models import Case
    from vitlab.benchmark.rounds import growth_tasks, model_tasks, peer_tasks, sweep_tasks
    from vitlab.benchmark.sweep import Sweep

    studied = Sweep(STUDIED, SWEPT, TRAIN_SIZES, settings.sweep_seeds, settings.sweep_steps, 64, 10)
    if settings.peers:
        return peer_tasks(installed(settings.scripts), script(settings, device, threads)), settings.script_repeats
    if settings.sweep:
        return sweep_tasks(studied), settings.sweep_repeats
    if settings.growth:
        same = (settings.precisions[-1], "training", settings.batch, device, threads)
        steps = {"tokens": [Case("ViT-Nano/4", size, *same) for size in TOKENS]}
        steps |= {"parameters": [Case(f"ViT-{size}/4", 32, *same) for size in SIZES]}
        return growth_tasks(replace(studied, train_sizes=TRAIN_SIZES[:1]), AMOUNTS, steps), settings.repeats
    memory = settings.memory_gib * 2**30
    return model_tasks(
        cases(settings, device, threads), seconds=settings.least_seconds, memory=memory
    ), settings.repeats


def measure(settings: Throughput, how: Execution) -> Iterator[dict[str, Any]]:
    """A row for each measurement in each repetition; on a dry run only what they would be."""
    from vitlab.benchmark.rounds import rounds
    from vitlab.machine import cores
    from vitlab.runs.execute import pick_device

    device, threads = pick_device(how.device), cores()
    chosen, repeats = tasks(settings, device, threads)
    times = "1 repetition" if repeats == 1 else f"{repeats} repetitions"
    print(f"{times} of {len(chosen)} measurements, on {device} with {threads} threads.", flush=True)
    if how.dry_run:
        print("\n".join(what for what, _ in chosen))
        return
    deadline = time.time() + seconds(how.time_budget) if how.time_budget else math.inf
    yield from rounds(chosen, repeats, device=device, threads=threads, deadline=deadline)


def folder(settings: Throughput) -> str:
    """Where the evidence goes: named by what is measured."""
    if settings.sweep or settings.growth:
        return "sweep" if settings.sweep else "growth"
    if settings.peers:
        return f"{settings.script_model}_{settings.precisions[-1]}".replace("/", "_")
    if not (settings.models and settings.image_sizes):
        raise ValueError("There is nothing to measure; give --models and --image_sizes.")
    return f"{settings.models[0]}_{settings.image_sizes[0]}_px".replace("/", "_")


STUDY = Study(
    name="throughput",
    section="D.5, Figure 12",
    question="How fast are training and inference here, and how much memory do they take?",
    protocol=__doc__,
    presets=PRESETS,
    measure=measure,
    draw=lambda rows, settings: evidence.draw(rows),
    claims=(evidence.MEMORY,),
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
