"""The engine of a SLURM cluster through submitit (`pip install 'vitlab[slurm]'`): a job a call.

SLURM has no channel back, so that what a job tells stands in a file of its own beside submitit's: a JSON value a line.
A job that is preempted, or comes to its time limit, is queued again by submitit and goes on from its checkpoint.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit

from vitlab.runs.engine import Message, Resources, Team
from vitlab.runs.inside import WORKER_ENVIRONMENT, Inside, answer, go_to, set_up, use_card

LOOK = 1.0  # seconds between looks at the jobs, and of a job at whether it is to stop
PORTS = (20_000, 60_000)


class SlurmEngine:
    """Up to `jobs` jobs in the queue at a time, which keep their files below `folder`.

    `options` are submitit's own, such as {"slurm_partition": "gpu", "timeout_min": "240"}, and "cluster": "slurm",
    or "local" for this machine without a queue, or "debug" for this process. Raises ValueError for others.
    """

    tries, alone = 10, False

    def __init__(self, resources: Resources, folder: Path, *, jobs: int, options: Mapping[str, str]) -> None:
        self.resources, self.jobs, self.folder = resources, jobs, folder.absolute()
        self._single = _executor(self.folder, options, replace(resources, devices=1, num_nodes=1))
        self._several = _executor(self.folder, options, resources)
        self._at: dict[str, _Job] = {}
        self._looked = 0.0
        for name, value in WORKER_ENVIRONMENT.items():  # Jobs inherit them.
            os.environ.setdefault(name, value)

    def room(self) -> int:
        """How many more jobs may be queued."""
        return self.jobs - len(self._at)

    def submit(self, key: str, function: Callable, *arguments: Any, processes: int = 1) -> None:
        """Queue a job; one of several processes has as many tasks."""
        told = self.folder / f"{key}-{time.time_ns()}.told"
        call = Call(function, arguments, self.resources.cpus, os.getcwd(), told)
        executor = self._single if processes == 1 else self._several
        self._at[key] = _Job(executor.submit(call), told)

    def events(self, seconds: float) -> list[tuple[str, str, Any]]:
        """What the jobs told."""
        time.sleep(min(seconds, max(0.0, self._looked + LOOK - time.monotonic())))
        if time.monotonic() < self._looked + LOOK:
            return []
        self._looked = time.monotonic()
        found = []
        for key, job in list(self._at.items()):
            over = job.job.done()  # asked first, so that nothing is told after it
            found += [(key, kind, value) for kind, value in job.told()]
            if over:
                found.append((key, *job.last()))
                self._forget(key)
        return found

    def stop(self) -> None:
        """Ask all jobs to leave their calls at the next step."""
        for job in self._at.values():
            _stop_file(job.path).touch()

    def drop(self, key: str) -> None:
        """Cancel a job."""
        if key in self._at:
            self._at[key].job.cancel(check=False)
            self._forget(key)

    def kill(self) -> None:
        """Cancel all jobs."""
        for job in self._at.values():
            job.job.cancel(check=False)

    def close(self) -> None:
        """Cancel all jobs, and forget them."""
        for key in list(self._at):
            self.drop(key)

    def _forget(self, key: str) -> None:
        path = self._at.pop(key).path
        path.unlink(missing_ok=True)
        _stop_file(path).unlink(missing_ok=True)


def _executor(folder: Path, options: Mapping[str, str], resources: Resources) -> submitit.AutoExecutor:
    given = {name: int(value) if value.isdecimal() else value for name, value in options.items()}
    about = {
        "name": "vitlab",
        "nodes": resources.num_nodes,
        "tasks_per_node": resources.devices,
        "cpus_per_task": resources.cpus,
        "gpus_per_node": int(resources.gpus * resources.devices),
        "timeout_min": 240,
    }
    try:
        executor = submitit.AutoExecutor(folder, cluster=str(given.pop("cluster", "slurm")))
        executor.update_parameters(**{**about, **given})
    except (AssertionError, NameError, RuntimeError, ValueError) as error:
        raise ValueError(f"submitit cannot be used so: {error}") from None
    return executor


class _Job:
    """A job as the study sees it."""

    def __init__(self, job: submitit.Job, path: Path) -> None:
        self.job, self.path, self._read = job, path, 0

    def told(self) -> list[Message]:
        """The whole lines that the job wrote since."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            new = new[: new.rfind(b"\n") + 1]
            self._read += len(new)
            return [tuple(json.loads(line)) for line in new.splitlines()]  # type: ignore[misc]
        return []

    def last(self) -> Message:
        """How the job ended: rank 0's answer, or that it, or another one, was killed."""
        try:
            messages = self.job.results()
        except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
            return "died", str(error).splitlines()[0]
        others = [value for kind, value in messages[1:] if kind == "raised"]
        return ("died", str(others[0])) if others else messages[0]


class Call(submitit.helpers.Checkpointable):
    """What a job does; submitit queues it again, as it is, when it is preempted."""

    def __init__(self, function: Callable, arguments: tuple, threads: int, folder: str, path: Path) -> None:
        self.function, self.arguments, self.threads, self.folder, self.path = function, arguments, threads, folder, path
        self._looked, self._stopped = 0.0, False

    def __call__(self) -> Message:
        """Call, and return the last message."""
        job = submitit.JobEnvironment()
        port = random.Random(job.job_id).randint(*PORTS)
        last: list[Message] = []

        def tell(kind: str, value: Any) -> None:
            if kind in ("done", "raised"):
                last.append((kind, value))
            elif not job.global_rank:
                with self.path.open("a") as file:
                    file.write(json.dumps((kind, value)) + "\n")

        here = Inside(tell, self.stopped, Team(job.num_tasks, job.global_rank, job.hostnames[0], port))
        answer(here, self._work, (here, job.local_rank))
        return last[0]

    def stopped(self) -> bool:
        """Whether the study asks to stop, looked at once a second."""
        if time.monotonic() > self._looked + LOOK:
            self._looked, self._stopped = time.monotonic(), _stop_file(self.path).exists()
        return self._stopped

    def _work(self, here: Inside, local_rank: int) -> Any:
        go_to(self.folder)
        cards = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        use_card(cards[local_rank % len(cards)])
        set_up(here, self.threads)
        return self.function(*self.arguments)


def _stop_file(path: Path) -> Path:
    return path.with_suffix(".stop")
