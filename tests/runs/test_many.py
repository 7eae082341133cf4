"""Hundreds of tiny runs: a worker neither grows nor leaves anything open, and adds little to what a run takes."""

import math
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.processes import until
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Recipe

RUN = Run("ViT-Pico/4", Data("digits", train_size=50), Recipe(steps=2, batch_size=16, evaluations=1))
PAGE = os.sysconf("SC_PAGE_SIZE")


def use(process: int) -> dict[str, int]:
    """What a process holds: resident bytes, open files, threads."""
    folder = Path(f"/proc/{process}")
    resident = int((folder / "statm").read_text().split()[1]) * PAGE
    return {"bytes": resident, "files": len(list(folder.glob("fd/*"))), "threads": len(list(folder.glob("task/*")))}


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.fault)])
def test_many_tiny_runs_leave_nothing_behind(tmp_path, count):
    seen, ours = [], use(os.getpid())
    runs = [replace(RUN, seed=seed) for seed in range(count)]
    with Launcher(LocalEngine(1)) as launcher:
        for outcome in launcher.launch(runs, Place(tmp_path, tmp_path / "cache"), lambda event: None, math.inf):
            assert outcome.status == "finished", outcome.reason
            worker = launcher.engine.workers[0].process.pid
            seen.append((time.monotonic(), use(worker)))
        fewest = min(held["threads"] for _, held in seen)
        # A thread that Python has joined leaves the kernel's list a moment later, on a busy machine.
        until(lambda: use(worker)["threads"] <= fewest, 10)
    (_, early), (_, late) = seen[count // 10], seen[-1]
    assert late["bytes"] < 1.05 * early["bytes"], (early, late)
    assert late["files"] <= early["files"], (early, late)
    assert use(os.getpid())["files"] <= ours["files"] + 8 and use(os.getpid())["threads"] == ours["threads"]
    each = statistics.median(b - a for (a, _), (b, _) in zip(seen, seen[1:], strict=False))
    print(f"{count} runs: {early['bytes'] / 2**20:.0f} to {late['bytes'] / 2**20:.0f} MiB, median {each:.3f} s a run")
