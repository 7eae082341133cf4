"""The words that the study's process and its workers exchange: where runs execute, what they tell, how they end. No
torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitlab.runs.engine import ALONE, STRATEGIES, Team
from vitlab.runs.store import Stopped, Store

__all__ = ["Listener", "NonFiniteLoss", "Outcome", "Place", "Prepared", "Stopped", "Store", "WorkerDied"]


class WorkerDied(Exception):
    """A worker process ended before a run could be begun in it."""


class NonFiniteLoss(Exception):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class Place:
    """Where runs execute: no part of their identity. `micro_batch` is how many images of a batch the memory holds, and
    `team` the processes that share each training, by the `strategy` of `vitlab.runs.engine.STRATEGIES`.
    """

    runs: Path
    cache: Path
    device: str = "cpu"
    skip_bad_images: bool = False
    micro_batch: int | None = None
    team: Team = ALONE
    strategy: str = STRATEGIES[0]

    @property
    def store(self) -> Store:
        """The run store of this place."""
        return Store(self.runs)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: "finished", "stopped" (goes on when asked again) or "failed" (with the reason and its kind, see
    `vitlab.runs.failures`).
    """

    run: str
    status: str
    rows: list[dict[str, Any]]
    reason: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Listener:
    """What a run tells (`report`) and asks (`stop`) while it works; `deadline` is a time as time.time() gives it."""

    report: Callable[[dict[str, Any]], None]
    stop: Callable[[], bool]
    deadline: float = math.inf


@dataclass(frozen=True)
class Prepared:
    """What is known before a study starts: the device, the training FLOPs of each run by its id, and the accelerators
    of this machine, named as in CUDA_VISIBLE_DEVICES; of trainings on several devices the `memory` of each, in words.
    """

    device: str
    flops: Mapping[str, float]
    cards: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
