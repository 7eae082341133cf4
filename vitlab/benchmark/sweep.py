"""A sweep of short trainings from the start of its command to its table, four ways; and how its cost grows.

A study's command line is given by the caller, as words to which `--seeds` and the like are added.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from vitlab.benchmark.evidence import JOBS, ONE_PROCESS, TIMM_LOOP
from vitlab.benchmark.usage import Usage, usage

Row = dict[str, Any]
FEW, MANY = 1, 4  # seeds of the sweeps of one step, whose difference is what a run costs beside its training


@dataclass(frozen=True)
class Sweep:
    """Trainings of every model at every train size with every seed; `study` are the words that start a study of it."""

    study: tuple[str, ...]
    models: tuple[str, ...]
    train_sizes: tuple[int, ...]
    seeds: int
    steps: int
    batch: int
    evaluations: int
    data: str = "digits"

    @property
    def runs(self) -> int:
        """How many trainings there are."""
        return len(self.models) * len(self.train_sizes) * self.seeds

    def command(self, folder: str, *more: str, seeds: int | None = None, steps: int | None = None) -> list[str]:
        """The study's command, with everything that it writes in `folder`."""
        words = {"models": self.models, "train_sizes": self.train_sizes, "seeds": (seeds or self.seeds,)}
        words |= {"steps": (steps or self.steps,), "batch_size": (self.batch,), "evaluations": (self.evaluations,)}
        options = [str(word) for name, values in words.items() for word in (f"--{name}", *values)]
        paths = ["--data", self.data, "--runs", f"{folder}/runs", "--results", f"{folder}/results", "--wandb", "off"]
        return [*self.study, *options, *paths, *more]


def way(sweep: Sweep, name: str) -> Usage:
    """What the sweep costs when it is done the way called `name`, one of `WAYS`."""
    with tempfile.TemporaryDirectory() as folder:
        if name == JOBS:
            return usage(sweep.command(folder))
        if name == ONE_PROCESS:
            return usage(sweep.command(folder, "--jobs", "1"))
    if name == TIMM_LOOP:
        return usage(one_loop(sweep))
    each = [usage(command) for command in track(tutorials(sweep), description=name, transient=True)]
    return Usage(sum(one.seconds for one in each), sum(one.core_s for one in each), 0.0)


def tutorials(sweep: Sweep) -> list[list[str]]:
    """The command of the tutorial's script for each training."""
    axes = itertools.product(range(sweep.seeds), sweep.train_sizes, sweep.models)
    return [peer("tutorial", sweep, [model], train_size=[size], seed=[seed]) for seed, size, model in axes]


def one_loop(sweep: Sweep) -> list[str]:
    """The command of a loop over all trainings."""
    return peer("timm_loop", sweep, sweep.models, train_sizes=sweep.train_sizes, seeds=[sweep.seeds])


def peer(script: str, sweep: Sweep, models: Sequence[str], **options: Sequence[int]) -> list[str]:
    """The command of a script of this folder, with the settings that all trainings of the sweep share."""
    words = {**options, "steps": [sweep.steps], "batch": [sweep.batch], "evaluations": [sweep.evaluations]}
    said = [str(word) for name, values in words.items() for word in (f"--{name}", *values)]
    return [sys.executable, "-m", f"vitlab.benchmark.{script}", *models, *said, "--data", sweep.data]


def sweep_row(sweep: Sweep, name: str) -> Row:
    """What one way of doing the sweep costs."""
    used = way(sweep, name)
    about = {"runs": sweep.runs, "steps": sweep.steps, "batch": sweep.batch, "models": " ".join(sweep.models)}
    return {"part": "sweep", "side": name, **about, "seconds": used.seconds, "core_s": used.core_s}


def overhead_row(sweep: Sweep) -> Row:
    """What a run of one step costs within a sweep: the difference of a large and a small one, by the runs between."""
    each = []
    for seeds in (FEW, MANY):
        with tempfile.TemporaryDirectory() as folder:
            each.append(usage(sweep.command(folder, seeds=seeds, steps=1)))
    runs = (MANY - FEW) * len(sweep.models) * len(sweep.train_sizes)
    few, many = each
    return {
        "part": "overhead",
        "side": JOBS,
        "runs": runs,
        "seconds": (many.seconds - few.seconds) / runs,
        "core_s": (many.core_s - few.core_s) / runs,
    }


def growth_row(sweep: Sweep, axis: str, amount: int) -> Row:
    """Seconds and peak memory of a study of `amount` "runs" of one step, or of one run on `amount` "train images"."""
    with tempfile.TemporaryDirectory() as folder:
        if axis == "runs":
            command = sweep.command(folder, seeds=amount // (len(sweep.models) * len(sweep.train_sizes)), steps=1)
        else:
            write_images(Path(folder) / "images", amount)
            command = Sweep(
                sweep.study, sweep.models[:1], (amount,), 1, sweep.steps, sweep.batch, 1, f"{folder}/images"
            ).command(folder)
        used = usage(command, memory=True)
    about = {"part": "growth", "axis": axis, "amount": amount}
    return {**about, "seconds": used.seconds, "core_s": used.core_s, "memory": used.memory}


def write_images(folder: Path, count: int, *, side: int = 32, classes: int = 10, evaluated: int = 100) -> None:
    """A folder of PNG files of random pixels: `count` for training, and some for validation and test."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(0)
    for split, number in {"train": count, "val": evaluated, "test": evaluated}.items():
        for i in range(number):
            path = folder / split / f"class_{i % classes}" / f"{i:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(chance.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
