"""`--profile`: where the time of a study's trainings goes, as a table and a trace for each kind of training."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vitlab.files import write_all
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.run import Run
from vitlab.study.command_line import Execution, seconds
from vitlab.tasks.settings import TRAINING, task_name

if TYPE_CHECKING:
    from vitlab.report.evidence import Table
    from vitlab.study.conduct import Work


def profile(work: Work, how: Execution) -> int:
    """Train one run of each model and task of the plan for the sake of its times, and say where these went.

    The traces go to `profile/` of --runs. With --time_budget each training is left after the round that fits into it.

    Raises:
        ValueError: for a plan without a training that starts from random weights or from a checkpoint.
    """
    chosen = kinds(work.every)
    if not chosen:
        raise ValueError("This plan has no training of its own that could be profiled; --profile takes another study.")
    console, found = Console(emoji=False), {}
    faint: dict[str, Any] = {"style": "dim", "highlight": False, "markup": False, "soft_wrap": True}
    threads = work.by.resources.cpus
    with Launcher(LocalEngine(1, threads)) as launcher:
        for run in chosen:
            console.print(f"profiling {run}", **faint)
            deadline = time.time() + seconds(how.time_budget) if how.time_budget else math.inf
            phases, trace = launcher.profile(run, work.place, deadline)
            path = how.runs / "profile" / f"{run.id}.json"
            write_all({path: trace.encode()})
            console.print(f"its trace, for ui.perfetto.dev: {path}", **faint)
            found[f"{task_name(run.task)} {run.model}"] = phases
    from vitlab.report.tables import to_rich

    console.print(to_rich(table(found, threads)))
    return 0


def kinds(runs: Sequence[Run]) -> list[Run]:
    """The first training of each model and task that starts from no other run."""
    found: dict[tuple[str, str], Run] = {}
    for run in runs:
        if isinstance(run.task, TRAINING) and not isinstance(run.init, Run):
            found.setdefault((run.model, task_name(run.task)), run)
    return list(found.values())


def table(found: Mapping[str, Mapping[str, float]], threads: int) -> Table:
    """The share of each phase in the time of each training, and all seconds."""
    import pandas as pd

    from vitlab.report.evidence import Format, Table

    frame = pd.DataFrame(found).rename_axis("phase")
    total = frame.sum()
    frame = frame.div(total).astype(object)
    frame.loc["seconds"] = total
    formats = {str(phase): Format(1) for phase in frame.index} | {"seconds": Format(1, 1.0)}
    caption = f"Share of the time of one training in %, with {threads} threads; everything waits, nothing overlaps."
    return Table("profile", frame, caption, formats=formats)
