"""Launching many runs: which run is begun when, and what becomes of those that end badly.

This module is free of torch and knows the order of a plan; what executes a run is an `Engine`, see
`vitlab.runs.engine`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from vitlab.runs.engine import Engine
from vitlab.runs.inside import inside
from vitlab.runs.place import Listener, Outcome, Place, Prepared, WorkerDied
from vitlab.runs.run import Run
from vitlab.runs.signals import ending
from vitlab.tasks.settings import TRAINING

log = logging.getLogger("vitlab.launch")

Listen = Callable[[dict[str, Any]], None]
SHRINK = 4  # times smaller is each next micro-batch of a run that is too large for the memory
GRACE = 1.5  # seconds that workers have to leave a step when a signal came; they lose no more when they are killed
LATE = 10.0  # the same when the time budget is over, so that a run which is nearly done may finish
ASK = "ask"  # the key of a call that is no run


class Launcher:
    """Executes the runs of a plan in the workers of `engine`; use it in a `with` statement.

    A worker that is killed, by the system for want of memory for instance, or with the machine that it was on, costs
    the one run that it was at: another worker takes its place and the run is tried again from its last checkpoint;
    where workers share a memory, when nothing else needs it.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._stopped_at: float | None = None

    def __enter__(self) -> Launcher:
        ending.__enter__()
        ending.last.append(self.engine.kill)
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()
        ending.last.remove(self.engine.kill)
        ending.__exit__()

    def stop(self) -> None:
        """Ask the workers to leave their runs at the next step."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self.engine.stop()

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
        self.engine.submit(ASK, function, *arguments)
        while True:
            for _, kind, value in self.engine.events(60):
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


class _Schedule:
    """One launch: what waits, what is at work, and what was killed how often."""

    def __init__(self, launcher: Launcher, runs: Sequence[Run], place: Place, listen: Listen, deadline: float) -> None:
        self.launcher, self.engine = launcher, launcher.engine
        self.place, self.listen, self.deadline = place, listen, deadline
        self.waiting = list(dict.fromkeys(link for run in runs for link in run.chain()))
        self.working: dict[str, Run] = {}
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
            for key, kind, value in self.engine.events(0.2):
                yield from self._take(key, kind, value)
            yield from self._enforce()
        if self.no_room:
            raise OSError(self.no_room)

    def _begin(self) -> None:
        if ending.asked or time.time() >= self.deadline:
            self.launcher.stop()
        room = 0 if self.launcher._stopped_at is not None else self.engine.room()
        for run in self._ready()[:room] if room else []:
            self.waiting.remove(run)
            self.working[run.id] = run
            if self.kills[run.id] >= self.engine.tries:
                self.engine.submit(run.id, _mark, run, self.place, self.kills[run.id])
                continue
            place = replace(self.place, micro_batch=self.micro.get(run.id))
            processes = self.engine.resources.processes if isinstance(run.task, TRAINING) else 1
            self.engine.submit(run.id, _work, run, place, self.deadline, processes=processes)

    def _ready(self) -> list[Run]:
        """The runs that can be begun now, in order."""
        ready = [run for run in self.waiting if not isinstance(run.init, Run) or run.init.id in self.finished]
        if not self.engine.alone:
            return ready
        if any(self.kills[run.id] for run in self.working.values()):
            return []
        first = [run for run in ready if not self.kills[run.id]]
        # Where memory was short, a run that was killed is tried again by itself.
        return first if first or self.working else ready[:1]

    def _take(self, key: str, kind: str, value: Any) -> Iterator[Outcome]:
        if kind == "event":
            self.listen(value)
        elif kind == "said":
            log.warning(value)
        elif kind == "raised":
            raise value
        elif kind == "died":
            yield from self._replace(self.working.pop(key), value)
        elif kind == "done":
            run = self.working.pop(key)
            if value.kind == "disk":
                self.no_room = value.reason
                self.launcher.stop()
            elif value.kind == "lost":
                yield from self._replace(run, value.reason)
            elif value.kind != "memory" or not self._smaller(run):
                if value.status == "finished":
                    self.finished.add(run.id)
                yield value

    def _smaller(self, run: Run) -> bool:
        """Let a run wait that is too large for the memory, for a new worker and smaller micro-batches, if there are."""
        size = self.micro.get(run.id, run.recipe.batch_size) // SHRINK
        if size < 1 or not isinstance(run.task, TRAINING):
            return False
        log.warning("%s is too large for the memory here; it goes on with %d images at a time.", run, size)
        self.micro[run.id] = size
        self.waiting.insert(0, run)
        self.engine.drop(run.id)  # What it could not have has left its worker's memory in pieces.
        return True

    def _replace(self, run: Run, how: str) -> Iterator[Outcome]:
        """A run whose worker was killed waits again, or to be marked."""
        self.kills[run.id] += 1
        if self.kills[run.id] > self.engine.tries:
            yield Outcome(run.id, "failed", [], f"the worker was killed ({how})", "killed")
            return
        self.waiting.insert(0, run)
        then = f"it is tried once more{', by itself' if self.engine.alone else ''}"
        then = then if self.kills[run.id] < self.engine.tries else "it is given up for now"
        cause = ", perhaps for want of memory" if self.engine.alone else ""
        log.warning("The worker at %s was killed (%s)%s; %s.", run, how, cause, then)

    def _enforce(self) -> Iterator[Outcome]:
        """Kill what was asked to stop and did not; it goes on from its last checkpoint, as if it had stopped."""
        since = self.launcher._stopped_at
        if since is None or time.monotonic() - since < (GRACE if ending.asked or self.no_room else LATE):
            return
        for key in self.working:
            self.engine.drop(key)
            yield Outcome(key, "stopped", [])
        self.working = {}


def _prepare(runs: Sequence[Run], place: Place, read: bool) -> Prepared:
    from vitlab.runs.execute import prepare

    return prepare(runs, place, read=read)


def _profile(run: Run, place: Place, deadline: float) -> tuple[dict[str, float], str]:
    from vitlab.runs.profiling import profile

    return profile(run, place, deadline)


def _work(run: Run, place: Place, deadline: float) -> Outcome | None:
    from vitlab.runs.execute import execute
    from vitlab.runs.teams import follow

    here = inside()
    place.store.wait()
    place = replace(place, team=replace(here.team, strategy=place.strategy))
    if here.team.rank:
        follow(run, place)
        return None
    return execute(run, place, Listener(lambda event: here.tell("event", event), here.stopped, deadline))


def _mark(run: Run, place: Place, times: int) -> Outcome:
    from vitlab.runs.execute import failed
    from vitlab.runs.failures import Killed

    return failed(run, place, Killed(f"the worker was killed {times} times, perhaps for want of memory"))
