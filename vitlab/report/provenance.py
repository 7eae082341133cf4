"""Where evidence comes from: command, settings, versions, commit, hardware, time; written and read."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.machine import commit, hardware, versions

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("settings", "command", "rows")  # of a record, to remake its evidence


def short_commit(commit: str) -> str:
    """The first twelve characters of a commit; the mark of a tree with changes that were not committed stays."""
    head, mark, changes = commit.partition("+")
    return head[:12] + mark + changes


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
    text = re.sub(r"\0--time[-_]budget[\0=][^\0]*", "", "\0".join(map(str, command)))
    return re.sub(r"\0--(?:runs|results)[\0=]/[^\0]*", "", text).split("\0")


def read_provenance(folder: Path) -> dict[str, Any]:
    """`folder/provenance.json` (or a file). Raises ValueError if it is missing or not such a file."""
    path = folder / "provenance.json" if folder.is_dir() else folder
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"Cannot read {path} as a provenance.json: {error}.") from None
    missing = [name for name in NEEDED if name not in found] if isinstance(found, dict) else NEEDED
    if missing:
        raise ValueError(f"{path} has no {' and '.join(missing)}; give a provenance.json that a study wrote.")
    return found
