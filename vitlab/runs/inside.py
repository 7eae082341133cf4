"""What every worker process does, whichever engine it belongs to: whom it tells, how it is set up, how it answers."""

from __future__ import annotations

import gc
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vitlab.runs.engine import ALONE, Team

# What C libraries read when they are loaded, where a person has not said otherwise.
# glibc otherwise gives the activations' memory back to the system and takes it again at every step, page fault by page
# fault, which small convolutional networks feel most. GNU's OpenMP otherwise lets threads that wait for each other
# spin for a millisecond before they sleep; beside another program they so keep the one they wait for from its core.
WORKER_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "GOMP_SPINCOUNT": "5000",
}


@dataclass(frozen=True)
class Inside:
    """The engine as its worker sees it: what is told goes to the study, which may ask it to stop."""

    tell: Callable[[str, Any], None]
    stopped: Callable[[], bool]
    team: Team = ALONE


_inside: list[Inside] = []


def inside() -> Inside:
    """Whom the call in this process works for."""
    return _inside[-1]


class _Telling(logging.Handler):
    """Passes what vitlab logs on to the study's process, which shows it."""

    def emit(self, record: logging.LogRecord) -> None:
        if _inside:
            inside().tell("said", record.getMessage())


def set_up(here: Inside, threads: int) -> None:
    """Make this process a worker of `threads` threads."""
    _inside[:] = [here]
    import torch

    for name in ("lightning.pytorch", "lightning.fabric"):  # A study shows one progress display for all runs.
        logging.getLogger(name).setLevel(logging.ERROR)
    if not any(isinstance(handler, _Telling) for handler in logging.getLogger("vitlab").handlers):
        logging.getLogger("vitlab").addHandler(_Telling(logging.WARNING))
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(threads)
    gc.freeze()  # Half a million objects of the imports stay for good and need not be gone through after every run.


def answer(here: Inside, function: Callable, arguments: Sequence[Any]) -> None:
    """Call, and tell the value or the exception."""
    _inside[:] = [here]
    try:
        here.tell("done", function(*arguments))
    except Exception as error:  # It is raised again in the study's process.
        here.tell("raised", _portable(error))
    _inside.clear()
    gc.collect()  # A Lightning trainer is full of cycles, 0.5 MB a run; without what is frozen this takes 10 ms.


def use_card(card: str) -> None:
    """Let this process see one accelerator alone, named as in CUDA_VISIBLE_DEVICES; to be called before any is used."""
    if card:
        os.environ["CUDA_VISIBLE_DEVICES"] = card


def go_to(folder: str) -> None:
    """Work in the study's folder, so that relative paths of runs, cache and images mean the same on every machine.

    Raises:
        ValueError: if there is no such folder here.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise ValueError(
            f"A worker on {os.uname().nodename} cannot enter {folder} ({error.strerror}); start the study in a folder "
            "that all machines share."
        ) from None


def _portable(error: Exception) -> Exception:
    """The error as the study's process can take it: for people as it is, else with its traceback."""
    for kind in (ValueError, OSError):
        if isinstance(error, kind):
            return kind(*error.args)
    return RuntimeError("".join(traceback.format_exception(error)))
