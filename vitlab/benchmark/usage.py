"""What a whole command costs: seconds, core-seconds and peak memory of the process and all that it starts (Linux)."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOK = 0.2  # seconds between looks at the processes
TAIL = 800  # characters of a failed command's last words


@dataclass(frozen=True)
class Usage:
    """`core_s` is NaN and `memory` (bytes at the peak) 0 where the system has no /proc to tell them."""

    seconds: float
    core_s: float
    memory: float


def usage(command: Sequence[str], *, memory: bool = False) -> Usage:
    """Run `command` to its end, silently, and add up what its session used; `memory` costs a little time itself.

    A process that ends between two looks loses what it did since the last one.

    Raises:
        ValueError: if the command fails, with its last words.
    """
    used: dict[int, float] = {}
    peak = 0.0
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while process.poll() is None:
                found = core_seconds(process.pid)
                used |= found
                peak = max(peak, sum(map(held, found))) if memory else peak
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK)
        except BaseException:
            process.terminate()  # a study ends its workers then
            process.wait()
            raise
        seconds = time.perf_counter() - began
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()[-TAIL:]
            raise ValueError(f"{' '.join(command)} ended with code {process.returncode}: {words}")
    return Usage(seconds, sum(used.values()) if used else float("nan"), peak)


def core_seconds(session: int) -> dict[int, float]:
    """User and system seconds so far of each living process of a session, by its number."""
    found, ticks = {}, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()  # from the third on: state, parent, group, session
            if int(fields[3]) == session:
                found[int(path.parent.name)] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def held(process: int) -> float:
    """Bytes of memory of a process, what it shares with others in equal parts; 0 if it cannot be known."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return 1024.0 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0.0
