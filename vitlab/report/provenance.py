"""Where evidence comes from: command, settings, versions, commit, hardware, time."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

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


def short_commit(commit: str) -> str:
    """The first twelve characters of a commit; the mark of a tree with changes that were not committed stays."""
    head, mark, changes = commit.partition("+")
    return head[:12] + mark + changes


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


def provenance(settings: Mapping[str, Any], command: Sequence[str], rows: pd.DataFrame) -> dict[str, Any]:
    """Where a study's evidence comes from: command, settings, versions, commit, hardware, seeds, time. JSON-ready.

    `settings` is what the study was asked to do, in plain values, enough to start it again. Rows say on which hardware,
    versions and commits they were made; the same fields here describe the process that wrote the evidence.
    """
    head, dirty = commit()

    def distinct(column: str) -> list[Any]:
        return sorted(rows[column].dropna().unique().tolist()) if column in rows.columns else []

    each = rows.drop_duplicates("run") if "run" in rows.columns else rows  # a run's cost stands in each of its rows
    wall = float(each["wall_s"].sum()) if "wall_s" in rows.columns else None
    return {
        "command": portable(command),
        "settings": dict(settings),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": head,
        "dirty": dirty,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": versions(),
        "hardware": hardware(),
        "rows": {
            "count": len(rows),
            "wall_s": wall,
            **{
                name: distinct(name)
                for name in ("seed", "hardware", "threads", "recipe.precision", "torch", "commit", "status")
            },
        },
    }


def portable(command: Sequence[str]) -> list[str]:
    """A command without what is one machine's alone: when to pause, and stores at absolute paths."""
    text = re.sub(r"\0--time_budget[\0=][^\0]*", "", "\0".join(map(str, command)))
    return re.sub(r"\0--(?:runs|results)[\0=]/[^\0]*", "", text).split("\0")


def read_provenance(folder: Path) -> dict[str, Any]:
    """`folder/provenance.json` (or a file). Raises ValueError if it is missing or not such a file."""
    path = folder / "provenance.json" if folder.is_dir() else folder
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"Cannot read {path} as a provenance.json: {error}.") from None
    if not isinstance(found, dict) or "settings" not in found:
        raise ValueError(f"{path} has no settings; give a provenance.json that a study wrote.")
    return found
