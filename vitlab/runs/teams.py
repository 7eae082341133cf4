"""One training on several processes: how Lightning finds the others. The processes are started by an engine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from lightning import LightningModule
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from vitlab.runs.engine import Team
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.tasks.settings import MaskedPatch, Task

SILENT = Listener(lambda event: None, lambda: False)
PATIENCE = 10.0  # seconds that rank 0 has to say what went wrong


class TeamEnvironment(LightningEnvironment):
    """A `Team` in Lightning's words. Each process sees one device, so that it is a node of its own."""

    def __init__(self, team: Team) -> None:
        super().__init__()
        self.team = team

    @property
    def creates_processes_externally(self) -> bool:
        """Yes: the engine did."""
        return True

    @property
    def main_address(self) -> str:
        """Where rank 0 is."""
        return self.team.address

    @property
    def main_port(self) -> int:
        """Where rank 0 listens."""
        return self.team.port

    def local_rank(self) -> int:
        """Which of its devices a process takes: the one that it sees."""
        return 0

    def node_rank(self) -> int:
        """The process's number."""
        return self.team.rank


def strategy_of(team: Team, task: Task) -> Strategy | str:
    """Lightning's strategy for a team: data-parallel training, of whole models or of shards.

    Lightning's own FSDPStrategy has torch's older FSDP, and refuses to work without GPUs.
    """
    if team.size == 1:
        return "auto"
    unused = isinstance(task, MaskedPatch)  # It leaves the model's head alone.
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Lightning takes all cores
    if team.strategy == "fsdp":
        sharded = ModelParallelStrategy(team.size, 1, save_distributed_checkpoint=False)
        sharded.cluster_environment = TeamEnvironment(team)
        return sharded
    return DDPStrategy(cluster_environment=TeamEnvironment(team), find_unused_parameters=unused)


def check_strategy(strategy: str, task: Task) -> None:
    """Raise ValueError for a task that a strategy cannot do."""
    if strategy == "fsdp" and isinstance(task, MaskedPatch):
        raise ValueError(
            "--strategy fsdp shards what classifies; masked patch prediction has weights beside its model, so take "
            "--strategy ddp for it."
        )


def check_team(team: Team, **images: int) -> None:
    """Raise ValueError where a batch or a split has fewer images than the team has processes."""
    for what, count in images.items():
        if count < team.size:
            raise ValueError(
                f"{team.size} processes cannot share the {count} images of a {what}; take fewer --devices."
            )


def checkpoint_for(store: Store, run: Run, team: Team, strategy: Strategy, module: LightningModule) -> Path | None:
    """The checkpoint that all of a team go on from; rank 0 looks which one is whole."""
    if team.size == 1:
        return store.checkpoint(run)
    strategy.connect(module)
    strategy.setup_environment()
    return strategy.broadcast(None if team.rank else store.checkpoint(run))


def follow(run: Run, place: Place) -> None:
    """Do the part of a training that is not rank 0's: it reads the store and writes nothing there.

    What goes wrong goes wrong for all: rank 0, which answers for them, is left the time to say so.
    """
    from vitlab.runs.execute import images_of
    from vitlab.runs.training import train

    try:
        train(run, images_of(run, place), place.store, SILENT, place.device, place.micro_batch, place.team)
    except Exception:
        time.sleep(PATIENCE)
        raise
