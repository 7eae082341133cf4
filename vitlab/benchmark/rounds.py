"""Repetitions of all measurements in turn, as rows, with what is measured said as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from vitlab.benchmark.isolation import alone, busy_cores
from vitlab.benchmark.models import Case, measured
from vitlab.benchmark.peers import PEERS, SIDE, Script, matrix_flops
from vitlab.models import count
from vitlab.report.provenance import signature

CROWDED = 0.3  # cores that other processes keep busy; more is worth a warning
Row = dict[str, Any]


def rounds(
    cases: Sequence[Case],
    scripts: Sequence[tuple[str, Script]],
    repeats: int,
    *,
    seconds: float,
    memory: float,
    deadline: float,
) -> Iterator[Row]:
    """A row for each case and each script (under its name in `PEERS`), repetition by repetition.

    Every speed is over at least `seconds`, the largest batch one in `memory` bytes. Nothing is begun after `deadline`,
    a time as time.time() gives it. Raises ValueError as `measured` does.
    """
    tasks: list[tuple[object, Callable[[int], Row]]] = []
    tasks += [(case, partial(model_row, case, seconds, memory)) for case in cases]
    tasks += [(f"training script {name}", partial(peer_row, name, script)) for name, script in scripts]
    every: list[Case | Script] = [*cases, *(script for _, script in scripts)]
    gpu = torch.cuda.get_device_name() if every[0].device == "cuda" else None
    signed = {"threads": every[0].threads, **signature(gpu)}
    done, began = 0, time.time()
    for repeat in range(repeats):
        busy = busy_cores()
        if busy is not None and busy > CROWDED:
            print(f"Other processes keep {busy:.1f} cores busy: speeds are lower than this machine's own.", flush=True)
        for what, task in tasks:
            if time.time() >= deadline:
                return
            row = task(repeat)
            done += 1
            left = (time.time() - began) / done * (repeats * len(tasks) - done)
            print(f"{repeat + 1}/{repeats} {what}: {row['images_per_s']:,.0f} images/s; {left:.0f} s left", flush=True)
            yield {"status": "finished", **row, "repeat": repeat, "busy_cores": busy, **signed}


def model_row(case: Case, seconds: float, memory: float, repeat: int) -> Row:
    """Speed and memory of one model in one mode; the repetition is the seed of its weights."""
    about = {name: getattr(case, name) for name in ("model", "image_size", "precision", "mode", "batch")}
    return {"part": "model", **about, **measured(replace(case, seed=repeat), seconds=seconds, memory=memory)}


def peer_row(name: str, script: Script, repeat: int) -> Row:
    """Speed of one training script, with the rate of a large matrix product just after it."""
    cost = count(script.model, image_size=SIDE, num_classes=10)
    return {
        "part": "script",
        "side": name,
        **{column: getattr(script, column) for column in ("model", "precision", "batch")},
        "image_size": SIDE,
        "images_per_s": PEERS[name](script) if name == "vitlab" else alone(PEERS[name], script),
        "matrix_flops": alone(matrix_flops, script),
        "parameters": cost.parameters,
        "train_flops_per_image": 3 * cost.flops,
    }
