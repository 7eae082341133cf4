"""How much memory this process may use: the machine's, or less where a batch system, a container or a shell says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def memory_allowed() -> int:
    """Bytes that this process may use: the smallest of the machine's memory, its control groups' and its own limits.

    A SLURM job and a container are limited by control groups (v1 and v2), a shell by `ulimit -d` or `ulimit -v`.
    """
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_own_limits(), *_group_limits()])


def _own_limits() -> Iterator[int]:
    with suppress(ImportError):  # a system without such limits
        import resource

        for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
            soft, _ = resource.getrlimit(limit)
            if soft != resource.RLIM_INFINITY:
                yield soft


def _group_limits() -> Iterator[int]:
    """The limits of the control groups that this process is in, and of those above them."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root, name = (CGROUPS / "memory", "memory.limit_in_bytes") if controllers else (CGROUPS, "memory.max")
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    yield from _number(folder / name)


def _number(file: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):  # no such file; "max" is no limit
        yield int(file.read_text())
