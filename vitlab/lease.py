"""A lease: one process at a time does a thing, also where several machines share the folder. No torch.

A network file system may not honour file locks, and one that is held by a machine that died may never be free again. A
lease is a file instead, with its owner inside and a heartbeat, its time of change. Creating a file that must not be
there is atomic on every file system, so each owner creates the next number, `<name>.1`, `<name>.2`, ...: the highest
counts, and of two processes that take over a stale one only one creates the number after it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from vitlab.files import lives, patiently

BEAT = 10.0  # seconds between heartbeats
STALE = 60.0  # seconds without a heartbeat after which an owner on another machine counts as dead
LOOK = 0.1  # seconds between looks at a lease that another process holds
FREE = "free"


class _State(NamedTuple):
    """The file that counts: its number (0: none), its owner, and its heartbeat."""

    number: int
    owner: str
    beat: int


class Lease:
    """The lease called `path`, in a folder that is there. `machine` is what owners on this machine have in common.

    An owner on the same machine is known for dead at once when its process is gone. One elsewhere is when its heartbeat
    was not seen to change for `stale` seconds of this machine's clock, so that clocks need not agree.
    """

    def __init__(self, path: Path, *, beat: float = BEAT, stale: float = STALE, machine: str = "") -> None:
        self.path, self.beat, self.stale = path, beat, stale
        self.machine = machine or this_machine()
        self.lost = False  # whether another process took it over, as no heartbeat of ours came through
        self._mine, self._over = 0, threading.Event()
        self._heart: threading.Thread | None = None

    def take(self, stop: Callable[[], bool]) -> bool:
        """Wait until the lease is ours, and say so; False when `stop` says so before.

        Raises:
            OSError: if the folder cannot be written.
        """
        seen, since = None, 0.0
        while True:
            state = patiently(self.path.parent, self._state)
            if state != seen:
                seen, since = state, time.monotonic()
            if state.owner == FREE or self._gone(state) or time.monotonic() - since >= self.stale:
                if self._create(state.number + 1):
                    return True
            elif stop():
                return False
            else:
                time.sleep(LOOK)

    def free(self) -> None:
        """Let the next one have it."""
        self._over.set()
        if self._heart:
            self._heart.join(1.0)  # so that a worker between two runs holds nothing
        with suppress(OSError):  # Without a heartbeat it becomes stale by itself.
            if self._counts():
                self._file(self._mine).write_text(FREE)

    @contextmanager
    def held(self, stop: Callable[[], bool]) -> Iterator[bool]:
        """Hold the lease, if `take` gets it."""
        taken = self.take(stop)
        try:
            yield taken
        finally:
            if taken:
                self.free()

    def _create(self, number: int) -> bool:
        """Create the file of a number, and keep its heart beating; False if another process is first."""
        owner = f"{self.machine} {os.getpid()} {_started(os.getpid())}"
        try:
            with self._file(number).open("x") as file:
                file.write(owner)
        except FileExistsError:
            return False
        self._mine = number
        if not self._counts():  # The look that led here was an old one, and its numbers were used up since.
            return False
        for old in self._numbers() - {number}:
            self._file(old).unlink(missing_ok=True)
        self.lost = False
        self._over.clear()
        self._heart = threading.Thread(target=self._keep_alive, daemon=True)
        self._heart.start()
        return True

    def _keep_alive(self) -> None:
        while not (self.lost or self._over.wait(self.beat)):
            with suppress(OSError):  # A shared folder that is away for a moment says nothing.
                self.lost = not self._counts()
                os.utime(self._file(self._mine))

    def _counts(self) -> bool:
        return self._state().number == self._mine

    def _state(self) -> _State:
        while True:
            number = max(self._numbers(), default=0)
            if not number:
                return _State(0, FREE, 0)
            with suppress(FileNotFoundError), self._file(number).open() as file:  # Opening asks the server anew.
                return _State(number, file.read(), os.fstat(file.fileno()).st_mtime_ns)

    def _numbers(self) -> set[int]:
        ends = (name.removeprefix(f"{self.path.name}.") for name in os.listdir(self.path.parent))
        return {int(end) for end in ends if end.isdecimal()}

    def _file(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _gone(self, state: _State) -> bool:
        """Whether the owner was a process of this machine, and is no more."""
        machine, _, process = state.owner.rpartition(" ")[0].rpartition(" ")
        return machine == self.machine and _started(int(process)) != state.owner.rpartition(" ")[2]


def this_machine() -> str:
    """A name that processes have in common which see one another: the host's, and its numbering of processes."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    return socket.gethostname()


def _started(process: int) -> str:
    """When a process started, in the system's ticks, as numbers of processes are used again; empty if it is gone."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    return "running" if lives(process) else ""  # a system without /proc
