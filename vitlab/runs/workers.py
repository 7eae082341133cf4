"""One worker process at the other end of a pipe, and what goes through the pipe. No torch.

A pipe a worker, and nothing that several processes lock: a worker that is killed at any moment can hold nobody up.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from vitlab.runs.engine import Message, Team
from vitlab.runs.inside import WORKER_ENVIRONMENT, Inside, answer, set_up, use_card
from vitlab.runs.place import WorkerDied
from vitlab.runs.signals import deaf


class Worker:
    """A process that calls one function at a time: `call(function, arguments)`, then `messages()` until it is done.

    It is forked from a server that has imported torch once, so that fifty short runs pay for that import a single time.
    `card` is the accelerator that it uses, if there are several.

    Raises:
        WorkerDied: if that server is gone.
    """

    def __init__(self, threads: int, card: str = "") -> None:
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        served = "forkserver" in multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if served else "spawn")
        if served:
            context.set_forkserver_preload(["vitlab.runs.preload"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, threads, card))
        resource_tracker.ensure_running()  # It would take the signals' mask off again.
        try:
            with deaf():
                (forkserver.ensure_running if served else self.process.start)()
            if served:  # which waits for the server's imports, and hears signals meanwhile
                self.process.start()
        except (EOFError, ConnectionError) as error:
            raise WorkerDied("The server that forks the workers was killed before this one began.") from error
        theirs.close()
        self.ready, self.card = False, card

    def call(self, function: Callable, arguments: tuple[Any, ...], team: Team) -> None:
        """Let the worker call `function`; its value comes as the message "done", an exception as "raised"."""
        with suppress(OSError):  # A worker that is gone already says so by its death.
            self.pipe.send((function, arguments, team))

    def stop(self) -> None:
        """Ask the worker to leave what it is at."""
        with suppress(OSError):
            self.pipe.send(None)

    def messages(self) -> list[Message]:
        """What has come from the worker since, ("ready", None) first of all; ("died", how) is the last of all."""
        found: list[Message] = []
        try:
            while self.pipe.poll():
                found.append(self.pipe.recv())
        except (EOFError, OSError):
            pass
        self.ready = self.ready or bool(found)
        if not found and not self.process.is_alive():
            return [("died", _how(self.process.exitcode))]
        return found

    def kill(self) -> None:
        """End the process at once, together with those that it started to read images."""
        with suppress(OSError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()  # A worker that has just begun leads no group yet.

    def close(self) -> None:
        """Kill, and forget."""
        self.kill()
        self.process.join(1.0)
        self.pipe.close()


def heard(workers: list[Worker], seconds: float) -> list[Worker]:
    """Wait at most `seconds`, and return the workers that have something to say."""
    ends = {end: worker for worker in workers for end in (worker.pipe, worker.process.sentinel)}
    found = wait(list(ends), timeout=seconds)
    return [worker for worker in workers if any(ends[end] is worker for end in found)]  # type: ignore[index]


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


class _Pipe:
    """The worker's own view of its pipe: calls come in, and everything that is to be told goes out."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self.calls, self.stopped = pipe, queue.SimpleQueue[Any](), threading.Event()
        self._lock = threading.Lock()  # within this process only

    def tell(self, kind: str, value: Any = None) -> None:
        """Send a message."""
        content = ForkingPickler.dumps((kind, value))  # What cannot be sent fails here, in the call's own name.
        with self._lock:
            try:
                self.pipe.send_bytes(content)
            except OSError:
                self.leave()

    def listen(self) -> None:
        """Take in calls and requests to stop, until the study's process is gone; then this one goes at once."""
        with suppress(EOFError, OSError):
            while True:
                asked = self.pipe.recv()
                if asked is None:
                    self.stopped.set()
                else:
                    self.calls.put(asked)
        self.leave()

    def leave(self) -> None:
        """End this process and its children."""
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)


def serve(pipe: Connection, threads: int, card: str) -> None:
    """The life of a worker."""
    with suppress(PermissionError):
        os.setpgid(0, 0)  # Its children go with it.
    ours = _Pipe(pipe)
    here = Inside(ours.tell, ours.stopped.is_set)
    threading.Thread(target=ours.listen, daemon=True).start()
    use_card(card)
    set_up(here, threads)
    ours.tell("ready")
    while True:
        function, arguments, team = ours.calls.get()
        answer(replace(here, team=team), function, arguments)
