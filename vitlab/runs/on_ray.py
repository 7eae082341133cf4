"""The engine of a Ray cluster (`pip install 'vitlab[ray]'`): an actor a worker, and what it tells is a stream of Ray.

The store must lie on storage that all nodes share. A node that dies takes its actors along; their runs go on elsewhere.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from vitlab.runs.engine import LAST, Message, Resources, Team
from vitlab.runs.inside import WORKER_ENVIRONMENT, Inside, answer, go_to, set_up
from vitlab.runs.place import WorkerDied
from vitlab.runs.signals import SIGNALS


class Actor:
    """A worker process of Ray. Calls come one at a time; `stop` comes beside a call."""

    def __init__(self) -> None:
        self.stopped, self.ready = threading.Event(), False

    def call(
        self, function: Callable, arguments: tuple, threads: int, folder: str, team: tuple[int, int], meet: Any
    ) -> Iterator[Message]:
        """Call `function` in the study's `folder`, and yield what it tells; `team` is its size and the rank here."""
        told = queue.SimpleQueue[Message]()
        address, port = meet
        here = Inside(lambda kind, value: told.put((kind, value)), self.stopped.is_set, Team(*team, address, port))

        def work() -> Any:
            if not self.ready:
                go_to(folder)
                set_up(here, threads)
                self.ready = True
            return function(*arguments)

        threading.Thread(target=answer, args=(here, work, ()), daemon=True).start()
        while True:
            message = told.get()
            yield message
            if message[0] in LAST:
                return

    def meet(self) -> tuple[str, int]:
        """Where the others of a team find this one: its node's address and a free port."""
        with socket.socket() as listening:
            listening.bind(("", 0))
            return ray.util.get_node_ip_address(), listening.getsockname()[1]

    def stop(self) -> None:
        """Ask the call to leave at the next step."""
        self.stopped.set()


class RayEngine:
    """Up to `jobs` calls at a time on the cluster at `address`; 0 is as many as the cluster's nodes have room for.

    Without an address this machine becomes a cluster of its own. Nodes may come and go. Raises ValueError where there
    is no cluster.
    """

    tries, alone = 10, False

    def __init__(self, resources: Resources, *, address: str = "", jobs: int = 0) -> None:
        self.resources, self.jobs, self.folder = resources, jobs, os.getcwd()
        _connect(address)
        self._remote: Any = ray.remote(Actor)
        self._at: dict[str, list[Any]] = {}  # the actors at each call, rank 0 first
        self._streams: dict[Any, tuple[str, int]] = {}
        self._idle: dict[Any, str] = {}  # actors with nothing to do, and the call that each was at
        self._groups: dict[str, PlacementGroup] = {}

    def room(self) -> int:
        """How many more calls the cluster has room for, by the nodes that it has now, or --jobs allows."""
        return max(0, (self.jobs or self._capacity()) - len(self._at))

    def submit(self, key: str, function: Callable, *arguments: Any, processes: int = 1) -> None:
        """Begin a call, in an actor that is idle or new; a team is always new, and ends with its call."""
        if processes == 1:
            idle = next(iter(self._idle), None)
            self._idle.pop(idle, None)
            actors, meet = [idle or self._new()], ("127.0.0.1", 0)
        else:
            actors = self._team(key)
            meet = actors[0].meet.remote()
        for rank, actor in enumerate(actors):
            team = (processes, rank)
            stream = actor.call.remote(function, arguments, self.resources.cpus, self.folder, team, meet)
            self._streams[stream] = (key, rank)
        self._at[key] = actors

    def events(self, seconds: float) -> list[tuple[str, str, Any]]:
        """What the actors told, one message a call."""
        try:
            ray.wait(list(self._streams), timeout=seconds)
            ready, _ = ray.wait(list(self._streams), num_returns=len(self._streams), timeout=0)
            self._make_room()
            return [found for stream in ready for found in self._next(stream)]
        except RayError as error:
            raise WorkerDied(f"The Ray cluster does not answer: {_line(error)}") from None

    def stop(self) -> None:
        """Ask all actors to leave their calls at the next step."""
        for actors in self._at.values():
            for actor in actors:
                actor.stop.remote()

    def drop(self, key: str) -> None:
        """End the actors of a call, or of one that is over."""
        for actor in self._at.pop(key, None) or [one for one, last in self._idle.items() if last == key]:
            self._end(actor)
        self._streams = {stream: at for stream, at in self._streams.items() if at[0] != key}
        if key in self._groups:
            remove_placement_group(self._groups.pop(key))

    def kill(self) -> None:
        """Nothing: Ray ends the actors of a study whose process is gone."""

    def close(self) -> None:
        """End all actors, and leave the cluster."""
        for key in list(self._at):
            self.drop(key)
        for actor in list(self._idle):
            self._end(actor)
        ray.shutdown()

    def _capacity(self) -> int:
        """How many calls fit the nodes that the cluster has now; one can always wait for a node."""
        total, each = ray.cluster_resources(), self.resources
        fit = total.get("CPU", 0.0) / each.cpus
        fit = min(fit, total.get("GPU", 0.0) / each.gpus) if each.gpus else fit
        return max(1, int(fit / each.processes))

    def _make_room(self) -> None:
        """End idle actors that new ones may be waiting for, as when a node died: an actor keeps its CPUs."""
        for actor in list(self._idle)[max(0, self._capacity() - len(self._at)) :]:
            self._end(actor)

    def _new(self, **where: Any) -> Any:
        has = {"num_cpus": self.resources.cpus, "num_gpus": self.resources.gpus}
        return self._remote.options(max_restarts=0, max_concurrency=2, **has, **where).remote()

    def _team(self, key: str) -> list[Any]:
        """The actors of one training: `devices` together on each of `num_nodes` nodes."""
        for actor in list(self._idle):  # They hold CPUs that the team may need.
            self._end(actor)
        each = self.resources
        bundle = {"CPU": float(each.cpus * each.devices), "GPU": each.gpus * each.devices}
        bundle = {name: amount for name, amount in bundle.items() if amount}
        self._groups[key] = group = placement_group([bundle] * each.num_nodes, "STRICT_SPREAD")
        return [
            self._new(scheduling_strategy=PlacementGroupSchedulingStrategy(group, rank // each.devices))
            for rank in range(each.processes)
        ]

    def _next(self, stream: Any) -> list[tuple[str, str, Any]]:
        """The next message of a stream that has one."""
        if stream not in self._streams:  # of a team that another message of this round has ended
            return []
        key, rank = self._streams[stream]
        try:
            kind, value = ray.get(next(stream))
        except RayActorError as error:
            kind, value = "died", _line(error)
        except RayTaskError as error:
            kind, value = "raised", RuntimeError(str(error))
        if rank and kind == "done":
            del self._streams[stream]
            return []
        if rank and kind == "raised":  # The others wait for this one, and would for ever.
            kind = "died"
        if kind in LAST:
            self._over(key, kind)
        return [(key, kind, value)]

    def _over(self, key: str, kind: str) -> None:
        if kind == "died" or len(self._at[key]) > 1:
            self.drop(key)
        else:
            self._streams = {stream: at for stream, at in self._streams.items() if at[0] != key}
            self._idle[self._at.pop(key)[0]] = key

    def _end(self, actor: Any) -> None:
        self._idle.pop(actor, None)
        ray.kill(actor)


def _connect(address: str) -> None:
    """Join the cluster, or make one. Signals stay the study's."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster made here: the local engine's are not nice either
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    environment = {"env_vars": {name: os.environ.get(name, value) for name, value in WORKER_ENVIRONMENT.items()}}
    alone: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address or "local", runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR, **alone)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise ValueError(f"There is no Ray cluster at {address or 'this machine'}: {_line(error)}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
