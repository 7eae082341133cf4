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


# What decides how fast a CPU multiplies and how it rounds, in the kernel's words and in ours; the best comes first.
INSTRUCTIONS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 bf16", "avx512f": "AVX-512", "avx2": "AVX2"}


def _cpu_name() -> str:
    """The processor with the best of its instruction sets, such as `AMD EPYC (AVX2)`: a name alone is several chips."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    about = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = about.get("flags", "").split()
    name = about.get("model name") or platform.processor() or platform.machine()
    return next((f"{name} ({words})" for flag, words in INSTRUCTIONS.items() if flag in flags), name)


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
    """This machine in words, such as `2 x AMD EPYC (AVX2), 23 GiB` (cores x model, memory), after a GPU if one is
    named.
    """
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
