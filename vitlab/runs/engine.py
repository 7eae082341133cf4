"""The seam between a plan's order and what executes its runs: processes here, a Ray cluster, SLURM. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

# ("event" | "said" | "done" | "raised" | "died", value): the last three end a call, by its value, by an exception that
# it raised, or by how its process ended.
Message = tuple[str, Any]
LAST = ("done", "raised", "died")
STRATEGIES = ("ddp", "fsdp")


@dataclass(frozen=True)
class Team:
    """The processes that do one training together, as the one of number `rank` sees them; rank 0 listens at `port`.

    By the `strategy` each has a whole model, or a shard of it.
    """

    size: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    strategy: str = STRATEGIES[0]


ALONE = Team()


@dataclass(frozen=True)
class Resources:
    """What one process gets, and how many do one training together: `devices` of them on each of `num_nodes`."""

    cpus: int = 1
    gpus: float = 0.0
    devices: int = 1
    num_nodes: int = 1

    @property
    def processes(self) -> int:
        """How many processes do one training."""
        return self.devices * self.num_nodes


class Engine(Protocol):
    """Executes calls, each known by a key, in workers that are processes of their own.

    A call may ask for several processes; each then calls the same function, with a `Team` of its own, and rank 0
    speaks and answers for all. In a worker `vitlab.runs.inside` says whom it works for.
    """

    resources: Resources
    tries: int  # Death of its worker this often marks a run; a memory that is too small is one cause, a node another.
    alone: bool  # Whether workers share one memory, so that a run that was killed is tried again by itself.

    def room(self) -> int:
        """How many more calls can be submitted now."""

    def submit(self, key: str, function: Callable, *arguments: Any, processes: int = 1) -> None:
        """Begin a call."""

    def events(self, seconds: float) -> list[tuple[str, str, Any]]:
        """What calls told since, as (key, kind, value), after waiting at most `seconds` for it.

        Raises:
            WorkerDied: if workers cannot be had at all.
        """

    def stop(self) -> None:
        """Ask all workers to leave what they are at."""

    def drop(self, key: str) -> None:
        """End the worker that is at a call, or was at one that is over: it takes no other."""

    def kill(self) -> None:
        """End all workers at once; may come from any thread, and waits for nothing."""

    def close(self) -> None:
        """End all workers, and forget them."""
