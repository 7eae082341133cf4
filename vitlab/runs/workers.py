"""One worker process at the other end of a pipe, and what goes through the pipe. No torch.

A pipe a worker, and nothing that several processes lock: a worker that is killed at any moment can hold nobody up.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import queue
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from vitlab.runs.place import WorkerDied
from vitlab.runs.signals import SIGNALS

# glibc otherwise gives the activations' memory back to the system and takes it again at every step, page fault by page
# fault, which small convolutional networks feel most.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}
Message = tuple[str, Any]  # ("ready" | "said" | "event" | "done" | "raised" | "died", value)


class Worker:
    """A process that calls one function at a time: `call(function, *arguments)`, then `messages()` until it is done.

    It is forked from a server that has imported torch once, so that fifty short runs pay for that import a single time.

    Raises:
        WorkerDied: if that server is gone.
    """

    def __init__(self, threads: int) -> None:
        for name, value in KEEP_MEMORY.items():
            os.environ.setdefault(name, value)
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload(["vitlab.runs.preload"])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, threads))
        resource_tracker.ensure_running()  # It would take the signals' mask off again.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # What is started inherits it: a terminal and a
        try:  # batch system signal the whole group, but it is the study that stops the others.
            self.process.start()
        except (EOFError, ConnectionError) as error:
            raise WorkerDied("The server that forks the workers was killed before this one began.") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.ready = False

    def call(self, function: Callable, *arguments: Any) -> None:
        """Let the worker call `function`; its value comes as the message "done", an exception as "raised"."""
        with suppress(OSError):  # A worker that is gone already says so by its death.
            self.pipe.send((function, arguments))

    def stop(self) -> None:
        """Ask the worker to leave what it is at."""
        with suppress(OSError):
            self.pipe.send(None)

    def messages(self) -> list[Message]:
        """What has come from the worker since; ("died", how) is the last of all."""
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


class Inside:
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


class _Telling(logging.Handler):
    """Passes what vitlab logs on to the study's process, which shows it."""

    def emit(self, record: logging.LogRecord) -> None:
        inside().tell("said", record.getMessage())


_inside: list[Inside] = []


def inside() -> Inside:
    """The pipe of the worker that this process is."""
    return _inside[0]


def serve(pipe: Connection, threads: int) -> None:
    """The life of a worker."""
    with suppress(PermissionError):
        os.setpgid(0, 0)  # Its children go with it.
    _inside.append(Inside(pipe))
    threading.Thread(target=inside().listen, daemon=True).start()
    _set_up(threads)
    inside().tell("ready")
    while True:
        function, arguments = inside().calls.get()
        try:
            inside().tell("done", function(*arguments))
        except Exception as error:  # It is raised again in the study's process.
            inside().tell("raised", _portable(error))
        gc.collect()  # A Lightning trainer is full of cycles, 0.5 MB a run; without what is frozen this takes 10 ms.


def _set_up(threads: int) -> None:
    import torch

    for name in ("lightning.pytorch", "lightning.fabric"):  # A study shows one progress display for all runs.
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("vitlab").addHandler(_Telling(logging.WARNING))
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(threads)
    gc.freeze()  # Half a million objects of the imports stay for good and need not be gone through after every run.


def _portable(error: Exception) -> Exception:
    """The error as the study's process can take it: for people as it is, else with its traceback."""
    for kind in (ValueError, OSError):
        if isinstance(error, kind):
            return kind(*error.args)
    return RuntimeError("".join(traceback.format_exception(error)))
