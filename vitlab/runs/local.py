"""The engine of one machine: worker processes that share its cores, or take an accelerator each."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from vitlab.runs.engine import LAST, Resources, Team
from vitlab.runs.place import WorkerDied
from vitlab.runs.workers import Worker, heard


class LocalEngine:
    """Up to `jobs` calls at a time, each in a worker of `resources.cpus` threads, or in a team of such workers.

    `cards` are the accelerators, named as in CUDA_VISIBLE_DEVICES: each worker takes the one that fewest others have.
    """

    tries, alone = 2, True

    def __init__(self, jobs: int, resources: Resources | int = 1, cards: Sequence[str] = ()) -> None:
        self.jobs, self.cards = jobs, tuple(cards)
        self.resources = resources if isinstance(resources, Resources) else Resources(resources)
        self.workers: list[Worker] = []
        self._at: dict[str, list[Worker]] = {}  # the workers at each call, rank 0 first
        self._last: dict[Worker, str] = {}

    def room(self) -> int:
        """How many workers, or teams of them, have nothing to do."""
        return self.jobs - len(self._at)

    def submit(self, key: str, function: Callable, *arguments: Any, processes: int = 1) -> None:
        """Begin a call, in a worker that is idle or new; a team is always new, and ends with its call."""
        if processes == 1:
            group = [self._idle() or self._new()]
        else:
            group = [self._new() for _ in range(processes)]
        port = _free_port() if processes > 1 else 0
        for rank, worker in enumerate(group):
            worker.call(function, arguments, Team(processes, rank, port=port))
        self._at[key] = group

    def events(self, seconds: float) -> list[tuple[str, str, Any]]:
        """What the workers told, in the order of their calls."""
        found = []
        ranks = {worker: (key, rank) for key, group in self._at.items() for rank, worker in enumerate(group)}
        for worker in heard(list(ranks), seconds):
            key, rank = ranks[worker]
            for kind, value in worker.messages():
                if key not in self._at:  # it ended with what another of its workers told
                    break
                if kind == "died" and not worker.ready:
                    raise WorkerDied(f"A worker process ended ({value}) before it could begin.")
                if kind == "ready" or (rank and kind == "done"):
                    continue
                if rank and kind == "raised":  # The others wait for this one, and would for ever.
                    kind = "died"
                found.append((key, kind, value))
                if kind in LAST:
                    self._over(key, kind)
        return found

    def stop(self) -> None:
        """Ask all workers to leave their calls at the next step."""
        for worker in self.workers:
            worker.stop()

    def drop(self, key: str) -> None:
        """End the workers of a call, or of one that is over."""
        for worker in self._at.pop(key, None) or [one for one, last in self._last.items() if last == key]:
            self._end(worker)

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self.workers:
            worker.kill()

    def close(self) -> None:
        """End all workers, and forget them."""
        for worker in list(self.workers):
            self._end(worker)
        self._at = {}

    def _idle(self) -> Worker | None:
        busy = {worker for group in self._at.values() for worker in group}
        return next((worker for worker in self.workers if worker not in busy), None)

    def _new(self) -> Worker:
        taken = [worker.card for worker in self.workers]
        self.workers.append(Worker(self.resources.cpus, min(self.cards, key=taken.count, default="")))
        return self.workers[-1]

    def _over(self, key: str, kind: str) -> None:
        group = self._at.pop(key)
        if kind == "died" or len(group) > 1:
            for worker in group:
                self._end(worker)
        else:
            self._last[group[0]] = key

    def _end(self, worker: Worker) -> None:
        worker.close()
        self.workers.remove(worker)
        self._last.pop(worker, None)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
