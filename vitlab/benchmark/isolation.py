"""A function in a process of its own, so that what one measurement leaves behind is not part of the next."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitlab.runs.inside import WORKER_ENVIRONMENT

PRELOAD = ["vitlab.runs.execute", "vitlab.benchmark.models", "vitlab.benchmark.peers", "vitlab.study.study"]


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in a new process, which starts at once since it is forked from one that has torch.

    Raises:
        ValueError: with the function's own message, or if the process was killed.
    """
    for name, value in WORKER_ENVIRONMENT.items():  # as the workers of studies have it
        os.environ.setdefault(name, value)
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(PRELOAD)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        found, error = ours.recv()
    except EOFError:
        raise ValueError(
            f"The process that measured {' '.join(map(str, arguments)) or function.__name__} was killed, perhaps by "
            "the system for want of memory; measure smaller batches or images."
        ) from None
    finally:
        process.kill()
        process.join()
    if error:
        raise ValueError(error)
    return found


def _answer(pipe: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the study, which ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        pipe.send((function(*arguments), ""))
    except Exception as error:  # of any kind, or it would pass for a killed process
        told = isinstance(error, ValueError | RuntimeError)  # in words for people; torch's want of memory is one
        pipe.send((None, ("" if told else f"{type(error).__name__}: ") + str(error).strip() or type(error).__name__))


def busy_cores(seconds: float = 0.3) -> float | None:
    """How many of this machine's cores other processes keep busy now; None where the system does not say."""
    before = _core_time()
    time.sleep(seconds)
    after = _core_time()
    if before is None or after is None:
        return None
    return max(0.0, (after - before) / (seconds * os.sysconf("SC_CLK_TCK")))


def _core_time() -> float | None:
    """Ticks that all cores have been at work, from Linux's /proc/stat."""
    try:
        user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    except (OSError, ValueError):
        return None
    return user + nice + system + sum(rest[:2])
