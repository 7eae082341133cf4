"""Launching many runs on the cores of one machine. This is the one module that knows the engine: a process pool.

The workers are forked from one server process that has imported torch once, so that a study of fifty short runs pays
for that import a single time. This module itself stays free of torch.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from vitlab.runs.place import Listener, Outcome, Place, Prepared, WorkerDied
from vitlab.runs.run import Run

# glibc otherwise gives the activations' memory back to the system and takes it again at every step, page fault by page
# fault, which small convolutional networks feel most.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}
Listen = Callable[[dict[str, Any]], None]


@dataclass
class Launcher:
    """A pool of `jobs` worker processes of `threads` threads each; use it in a `with` statement."""

    jobs: int
    threads: int

    def __enter__(self) -> Launcher:
        for name, value in KEEP_MEMORY.items():
            os.environ.setdefault(name, value)
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload(["vitlab.runs.execute"])
        self._events, self._stop = context.SimpleQueue(), context.Event()
        self._pool = ProcessPoolExecutor(self.jobs, context, _begin, (self._events, self._stop, self.threads))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def stop(self) -> None:
        """Ask the workers to leave their runs at the next step."""
        self._stop.set()

    def prepare(self, runs: Sequence[Run], place: Place) -> Prepared:
        """Check in a worker that every run can be built and its images read; see `vitlab.runs.execute.prepare`."""
        return _result(self._pool.submit(_prepare, runs, place))

    def launch(self, runs: Sequence[Run], place: Place, listen: Listen, deadline: float) -> Iterator[Outcome]:
        """Execute `runs`, each after the one that it starts from, and yield outcomes as they come.

        Runs are begun in the order given; none is begun after `deadline` (as time.time() gives it), and those at
        work are then asked to stop. A run whose `init` did not finish is left out.
        """
        waiting = list(dict.fromkeys(link for run in runs for link in run.chain()))
        finished: set[str] = set()
        working: dict[Future, Run] = {}
        while True:
            for run in _ready(waiting, finished)[: self.jobs - len(working)]:
                if self._stop.is_set() or time.time() >= deadline:
                    break
                waiting.remove(run)
                working[self._pool.submit(_work, run, place, deadline)] = run
            if not working:
                return
            if time.time() >= deadline:
                self.stop()
            done, _ = wait(working, timeout=0.2, return_when=FIRST_COMPLETED)
            while not self._events.empty():
                listen(self._events.get())
            for future in done:
                run, outcome = working.pop(future), _result(future)
                if outcome.status == "finished":
                    finished.add(run.id)
                yield outcome


def _result(future: Future) -> Any:
    try:
        return future.result()
    except BrokenExecutor:
        raise WorkerDied(
            "A worker process was killed, perhaps by the system for want of memory. The same command goes on from the "
            "last checkpoints; --jobs 1 needs less memory."
        ) from None


def _ready(waiting: Sequence[Run], finished: set[str]) -> list[Run]:
    return [run for run in waiting if not isinstance(run.init, Run) or run.init.id in finished]


_worker: dict[str, Any] = {}


def _begin(events: Any, stop: Any, threads: int) -> None:
    """Set a worker up: its threads, and an end as soon as the study's process is gone, however it went."""
    import logging
    import signal
    import warnings

    import torch

    for name in ("lightning.pytorch", "lightning.fabric"):  # A study shows one progress display for all runs.
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    for ending in (signal.SIGINT, signal.SIGTERM):  # They are for the study, which then asks the workers to stop.
        signal.signal(ending, signal.SIG_IGN)
    torch.set_num_threads(threads)
    _worker.update(events=events, stop=stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _prepare(runs: Sequence[Run], place: Place) -> Prepared:
    from vitlab.runs.execute import prepare

    return prepare(runs, place)


def _work(run: Run, place: Place, deadline: float) -> Outcome:
    from vitlab.runs.execute import execute

    return execute(run, place, Listener(_worker["events"].put, _worker["stop"].is_set, deadline))
