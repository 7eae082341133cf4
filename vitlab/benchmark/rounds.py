"""Repetitions of all measurements in turn, as rows, with what is measured said as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from vitlab.benchmark.evidence import OURS, WAYS
from vitlab.benchmark.isolation import alone, busy_cores
from vitlab.benchmark.models import Case, measured
from vitlab.benchmark.peers import images_per_s, matrix_flops
from vitlab.benchmark.scripts import SIDE, Script
from vitlab.benchmark.sweep import Sweep, growth_row, overhead_row, sweep_row
from vitlab.machine import signature
from vitlab.models import ViT, count, create
from vitlab.runs.place import Stopped

CROWDED = 0.3  # cores that other processes keep busy; more is worth a warning
Row = dict[str, Any]
Task = tuple[str, Callable[[int], Row]]  # what it is, and its row in a repetition


def rounds(tasks: Sequence[Task], repeats: int, *, device: str, threads: int, deadline: float) -> Iterator[Row]:
    """A row for each task, repetition by repetition; before each it is seen whether other processes use the cores.

    Nothing is begun after `deadline`, a time as time.time() gives it. Raises Stopped then, and ValueError as the tasks
    do.
    """
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    signed = {"threads": threads, **signature(gpu)}
    done, began, warned = 0, time.time(), -1
    for repeat in range(repeats):
        for what, task in tasks:
            if time.time() >= deadline:
                raise Stopped(f"The time is up: {done} of {repeats * len(tasks)} measurements were made.")
            busy = busy_cores()
            if busy is not None and busy > CROWDED and warned < repeat:
                warned = repeat
                print(f"Other processes keep {busy:.1f} cores busy: speeds are lower than this machine's own.")
            row = task(repeat)
            done += 1
            left = (time.time() - began) / done * (repeats * len(tasks) - done)
            print(f"{repeat + 1}/{repeats} {what}: {_found(row)}; {left:.0f} s left", flush=True)
            yield {"status": "finished", **row, "repeat": repeat, "busy_cores": busy, **signed}


def _found(row: Row) -> str:
    if "images_per_s" in row:
        return f"{row['images_per_s']:,.0f} images/s"
    return f"{row['seconds']:.3g} s"


def model_tasks(cases: Sequence[Case], *, seconds: float, memory: float) -> list[Task]:
    """Speed and memory of models by themselves: over at least `seconds`, the largest batch one in `memory` bytes."""
    return [(str(case), partial(model_row, case, seconds, memory)) for case in cases]


def model_row(case: Case, seconds: float, memory: float, repeat: int) -> Row:
    """Speed and memory of one model in one mode; the repetition is the seed of its weights."""
    about = {name: getattr(case, name) for name in ("model", "image_size", "precision", "mode", "batch")}
    return {"part": "model", **about, **measured(replace(case, seed=repeat), seconds=seconds, memory=memory)}


def peer_tasks(names: Sequence[str], script: Script) -> list[Task]:
    """Whole training scripts."""
    return [(f"training script {name}", partial(peer_row, name, script)) for name in names]


def peer_row(name: str, script: Script, repeat: int) -> Row:
    """Speed of one training script, with the rate of a large matrix product just after it."""
    cost = count(script.model, image_size=SIDE, num_classes=10)
    return {
        "part": "script",
        "side": name,
        **{column: getattr(script, column) for column in ("model", "precision", "batch")},
        "image_size": SIDE,
        "images_per_s": images_per_s(name, script) if name == OURS else alone(images_per_s, name, script),
        "matrix_flops": alone(matrix_flops, script),
        "parameters": cost.parameters,
        "train_flops_per_image": 3 * cost.flops,
    }


def sweep_tasks(sweep: Sweep) -> list[Task]:
    """A sweep each way, and what a run of one step costs."""
    ways = [(f"{sweep.runs} runs, {name}", _same(sweep_row, sweep, name)) for name in WAYS]
    return [*ways, ("a run of one step", _same(overhead_row, sweep))]


def growth_tasks(sweep: Sweep, amounts: Mapping[str, Sequence[int]], cases: Mapping[str, Sequence[Case]]) -> list[Task]:
    """Studies of ever more runs or train images (`amounts`), and training steps of ever larger models (`cases`)."""
    studies = [
        (f"{amount} {axis}", _same(growth_row, sweep, axis, amount))
        for axis, each in amounts.items()
        for amount in each
    ]
    steps = [(f"{axis}: {case}", partial(step_row, axis, case)) for axis, each in cases.items() for case in each]
    return [*studies, *steps]


def _same(function: Callable[..., Row], *arguments: Any) -> Callable[[int], Row]:
    """A measurement that is the same in every repetition."""
    return lambda repeat: function(*arguments)


def step_row(axis: str, case: Case, repeat: int) -> Row:
    """Seconds and memory of an image in a training step, where the model has so many "tokens" or "parameters"."""
    found = measured(replace(case, seed=repeat), seconds=0.3, memory=0.0)
    amount = tokens(case) if axis == "tokens" else found["parameters"]
    about = {"part": "growth", "axis": axis, "amount": amount, "model": case.model}
    return {**about, "seconds": 1 / found["images_per_s"], "memory": found["memory_per_image"]}


def tokens(case: Case) -> int:
    """How many tokens the blocks of the case's ViT see."""
    model = create(case.model, image_size=case.image_size, num_classes=1)
    assert isinstance(model, ViT)
    return model.prefix_tokens + model.grid[0] * model.grid[1]
