"""Launching many runs on the cores of one machine: which run is begun when, and what becomes of those that end badly.

This module is free of torch; the processes themselves are in `vitlab.runs.workers`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from vitlab.runs.place import Listener, Outcome, Place, Prepared, WorkerDied
from vitlab.runs.run import Run
from vitlab.runs.signals import ending
from vitlab.runs.workers import Worker, heard, inside
from vitlab.tasks.settings import TRAINING

log = logging.getLogger("vitlab.launch")

Listen = Callable[[dict[str, Any]], None]
SHRINK = 4  # times smaller is each next micro-batch of a run that is too large for the memory
TRIES = 2  # A run whose worker was killed this often is marked, and the next ones go on.
GRACE = 1.5  # seconds that workers have to leave a step when a signal came; they lose no more when they are killed
LATE = 10.0  # the same when the time budget is over, so that a run which is nearly done may finish


class Launcher:
    """Up to `jobs` worker processes of `threads` threads each; use it in a `with` statement.

    A worker that is killed, by the system for want of memory for instance, costs the one run that it was at: another
    worker takes its place and the run is tried again from its last checkpoint, when nothing else needs memory.
    """

    def __init__(self, jobs: int, threads: int) -> None:
        self.jobs, self.threads = jobs, threads
        self.workers: list[Worker] = []
        self._stopped_at: float | None = None

    def __enter__(self) -> Launcher:
        ending.__enter__()
        ending.last.append(self._kill)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close()
        self.workers = []
        ending.last.remove(self._kill)
        ending.__exit__()

    def _kill(self) -> None:
        for worker in self.workers:
            worker.kill()

    def stop(self) -> None:
        """Ask the workers to leave their runs at the next step."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            for worker in self.workers:
                worker.stop()

    def prepare(self, runs: Sequence[Run], place: Place, *, read: bool = True) -> Prepared:
        """Check in a worker that every run can be built and its images read; see `vitlab.runs.execute.prepare`.

        Raises:
            WorkerDied: if the worker was killed.
        """
        return self.ask(_prepare, runs, place, read)

    def profile(self, run: Run, place: Place, deadline: float) -> tuple[dict[str, float], str]:
        """Seconds of each phase of a training, and a trace, from a worker; see `vitlab.runs.profiling.profile`.

        Raises:
            ValueError: for what the run cannot do.
            WorkerDied: if the worker was killed.
        """
        return self.ask(_profile, run, place, deadline)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function`, one of a module, returns in a worker.

        Raises:
            WorkerDied: if the worker was killed; and what the function raises.
        """
        (worker,) = self._idle(set(), 1)
        worker.call(function, *arguments)
        while True:
            for kind, value in worker.messages() if heard([worker], 60) else []:
                if kind == "said":
                    log.warning(value)
                elif kind == "raised":
                    raise value
                elif kind == "died":
                    raise WorkerDied(
                        f"A worker process was killed ({value}), perhaps by the system for want of memory."
                    )
                elif kind == "done":
                    return value

    def launch(self, runs: Sequence[Run], place: Place, listen: Listen, deadline: float) -> Iterator[Outcome]:
        """Execute `runs`, each after the one that it starts from, and yield outcomes as they come.

        Runs are begun in the order given; none is begun after `deadline` (as time.time() gives it) or a signal, and
        those at work are then asked to stop. A run whose `init` did not finish is left out.

        Raises:
            ValueError: if the store cannot be written, before anything is begun.
            OSError: if the disk is full or can no longer be written; all that was kept until then is whole.
            WorkerDied: if no worker can be started.
        """
        if runs:
            place.store.check_writable()
        with ending.gently():
            yield from _Schedule(self, runs, place, listen, deadline).outcomes()

    def _idle(self, busy: set[Worker], most: int) -> list[Worker]:
        """Up to `most` workers with nothing to do; new ones are started as far as `jobs` allows."""
        found = [worker for worker in self.workers if worker not in busy]
        while len(found) < most and len(self.workers) < self.jobs:
            self.workers.append(Worker(self.threads))
            found.append(self.workers[-1])
        return found[:most]


class _Schedule:
    """One launch: what waits, who is at what, and what was killed how often."""

    def __init__(self, launcher: Launcher, runs: Sequence[Run], place: Place, listen: Listen, deadline: float) -> None:
        self.launcher, self.place, self.listen, self.deadline = launcher, place, listen, deadline
        self.waiting = list(dict.fromkeys(link for run in runs for link in run.chain()))
        self.working: dict[Worker, Run] = {}
        self.finished: set[str] = set()
        self.kills: Counter[str] = Counter()
        self.micro: dict[str, int] = {}
        self.no_room = ""

    def outcomes(self) -> Iterator[Outcome]:
        """Do it all."""
        while True:
            self._begin()
            if not self.working:
                break
            for worker in heard(list(self.working), 0.2):
                for kind, value in worker.messages():
                    yield from self._take(worker, kind, value)
            yield from self._enforce()
        if self.no_room:
            raise OSError(self.no_room)

    def _begin(self) -> None:
        if ending.asked or time.time() >= self.deadline:
            self.launcher.stop()
        if self.launcher._stopped_at is not None or len(self.working) == self.launcher.jobs:
            return
        ready = [run for run in self.waiting if not isinstance(run.init, Run) or run.init.id in self.finished]
        first = [run for run in ready if not self.kills[run.id]]
        if not first and not self.working:
            first = ready[:1]  # Where memory was short, a run that was killed is tried again by itself.
        if any(self.kills[run.id] for run in self.working.values()):
            return
        most = min(len(first), self.launcher.jobs - len(self.working))
        for run, worker in zip(first, self.launcher._idle(set(self.working), most), strict=False):
            self.waiting.remove(run)
            self.working[worker] = run
            work, place = _mark if self.kills[run.id] >= TRIES else _work, self.place
            worker.call(work, run, replace(place, micro_batch=self.micro.get(run.id)), self.deadline)

    def _take(self, worker: Worker, kind: str, value: Any) -> Iterator[Outcome]:
        if kind == "event":
            self.listen(value)
        elif kind == "said":
            log.warning(value)
        elif kind == "done":
            run = self.working.pop(worker)
            if value.kind == "disk":
                self.no_room = value.reason
                self.launcher.stop()
                return
            if value.kind == "memory" and self._smaller(run, worker):
                return
            if value.status == "finished":
                self.finished.add(run.id)
            yield value
        elif kind == "raised":
            raise value
        elif kind == "died":
            yield from self._replace(worker, value)

    def _smaller(self, run: Run, worker: Worker) -> bool:
        """Let a run wait that is too large for the memory, for a new worker and smaller micro-batches, if there are."""
        size = self.micro.get(run.id, run.recipe.batch_size) // SHRINK
        if size < 1 or not isinstance(run.task, TRAINING):
            return False
        log.warning("%s is too large for the memory here; it goes on with %d images at a time.", run, size)
        self.micro[run.id] = size
        self.waiting.insert(0, run)
        worker.close()  # What it could not have has left its memory in pieces.
        self.launcher.workers.remove(worker)
        return True

    def _replace(self, worker: Worker, how: str) -> Iterator[Outcome]:
        """Forget a worker that was killed; its run waits again, or to be marked."""
        run = self.working.pop(worker)
        worker.close()
        self.launcher.workers.remove(worker)
        if not worker.ready:
            raise WorkerDied(f"A worker process ended ({how}) before it could begin.")
        self.kills[run.id] += 1
        if self.kills[run.id] > TRIES:
            yield Outcome(run.id, "failed", [], f"the worker was killed ({how})", "killed")
            return
        self.waiting.insert(0, run)
        then = "it is tried once more, by itself" if self.kills[run.id] < TRIES else "it is given up for now"
        log.warning("The worker at %s was killed (%s), perhaps for want of memory; %s.", run, how, then)

    def _enforce(self) -> Iterator[Outcome]:
        """Kill what was asked to stop and did not; it goes on from its last checkpoint, as if it had stopped."""
        since = self.launcher._stopped_at
        if since is None or time.monotonic() - since < (GRACE if ending.asked or self.no_room else LATE):
            return
        for worker, run in self.working.items():
            worker.close()
            self.launcher.workers.remove(worker)
            yield Outcome(run.id, "stopped", [])
        self.working = {}


def _prepare(runs: Sequence[Run], place: Place, read: bool) -> Prepared:
    from vitlab.runs.execute import prepare

    return prepare(runs, place, read=read)


def _profile(run: Run, place: Place, deadline: float) -> tuple[dict[str, float], str]:
    from vitlab.runs.profiling import profile

    return profile(run, place, deadline)


def _work(run: Run, place: Place, deadline: float) -> Outcome:
    from vitlab.runs.execute import execute

    return execute(run, place, Listener(lambda event: inside().tell("event", event), inside().stopped.is_set, deadline))


def _mark(run: Run, place: Place, deadline: float) -> Outcome:
    from vitlab.runs.execute import failed
    from vitlab.runs.failures import Killed

    return failed(run, place, Killed(f"the worker was killed {TRIES} times, perhaps for want of memory"))
