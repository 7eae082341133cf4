"""This machine and this checkout: cores, hardware, versions of packages, the commit; what a row says of its making."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "vitlab",
    "torch",
    "lightning",
    "timm",
    "torchmetrics",
    "datasets",
    "scikit-learn",
    "numpy",
    "pandas",
    "wandb",
)


def _git(*arguments: str) -> str | None:
    """Output of git in the folder of this package, or None outside of a repository or without git."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def commit() -> tuple[str | None, bool | None]:
    """The git commit of this checkout, and whether tracked files of the code differ from it; (None, None) if unknown.

    `results/` does not count: writing a study's evidence must not make the next study's code look changed.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None, None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
    return head, None if changed is None else bool(changed)


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages, without importing them; those not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return ""
    return f"{size / 2**30:.0f} GiB"


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware(gpu: str | None = None) -> str:
    """This machine in words, such as `2 x AMD EPYC, 23 GiB` (cores x model, memory), after the GPU if one is named."""
    return ", ".join(part for part in (gpu, f"{cores()} x {_cpu_name()}", _memory()) if part)


def signature(gpu: str | None = None) -> dict[str, str]:
    """Who makes a row that is not of a run: hardware, versions, commit and the day."""
    head, dirty = commit()
    return {
        "hardware": hardware(gpu),
        **versions(("torch", "lightning", "timm", "vitlab")),
        "commit": f"{head or 'unknown'}{'+changes' if dirty else ''}",
        "date": datetime.now(UTC).date().isoformat(),
    }
