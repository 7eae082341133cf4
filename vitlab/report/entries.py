"""What lies in a results folder: each piece of evidence, where it comes from, and the order of pages."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitlab.report.evidence import Evidence
from vitlab.report.provenance import portable, read_provenance, short_commit
from vitlab.typed import misfit

RECORDED = {"question": str, "command": tuple[str, ...], "date": str, "rows": Mapping[str, Any]}  # that pages show
LAST = "again"  # a check of the other evidence, and no finding


@dataclass(frozen=True)
class Entry:
    """The evidence in `folder` (`results/<study>/<name>`), its provenance, and what a person wrote beside it."""

    folder: Path
    evidence: Evidence
    record: Mapping[str, Any]
    notes: str = ""

    @property
    def study(self) -> str:
        """The study's name."""
        return self.folder.parent.name

    @property
    def name(self) -> str:
        """`study/name`, the folder as seen from results/."""
        return f"{self.study}/{self.folder.name}"

    @property
    def title(self) -> str:
        """The folder's name in words."""
        return self.folder.name.replace("_", " ")

    @property
    def seeds(self) -> int:
        """How many seeds its rows have; 0 where they have none, as measurements of speed."""
        return len(self.record["rows"].get("seed") or ())

    @property
    def command(self) -> str:
        """What to type, on any machine."""
        return shlex.join(portable(self.record["command"]))

    @property
    def files(self) -> list[str]:
        """The files that a reader may want: rows, evidence, provenance and notes."""
        wanted = ("rows.csv", "rows.csv.gz", "evidence.md", "evidence.json", "provenance.json", "NOTES.md")
        return [name for name in wanted if (self.folder / name).exists()]

    @property
    def rows_file(self) -> str:
        """The name of the file that holds the rows."""
        return next((name for name in self.files if name.startswith("rows.csv")), "rows.csv")

    def facts(self) -> dict[str, str]:
        """Rows, seeds, hardware, cost, versions, commits and date, by title; what the rows do not say is left out."""
        rows = self.record["rows"]
        wall = rows.get("wall_s") or 0
        found = {
            "rows": f"{rows['count']:,}",
            "seeds": str(self.seeds or ""),
            "hardware": "; ".join(rows.get("hardware") or ()),
            "cost": f"{_duration(wall)} of training in all, one process after the other" if wall else "",
            "precision": ", ".join(rows.get("recipe.precision") or ()),
            "torch": ", ".join(rows.get("torch") or ()),
            "commit": ", ".join(map(short_commit, rows.get("commit") or ())),
            "date": self.record["date"][:10],
        }
        return {title: text for title, text in found.items() if text}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours = seconds / 3600
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{hours:.2g} h" if hours < 10 else f"{hours:,.0f} h"


def entry(folder: Path, evidence: Evidence) -> Entry:
    """The entry of a folder whose evidence has been read. Raises ValueError without a whole provenance.json."""
    notes, record = folder / "NOTES.md", read_provenance(folder)
    for name, annotation in RECORDED.items():
        if wrong := misfit(record.get(name), annotation):
            raise ValueError(f"{folder / 'provenance.json'}: {name}: {wrong}; a study wrote it otherwise.")
    return Entry(folder, evidence, record, notes.read_text().strip() if notes.exists() else "")


def ordered(entries: Sequence[Entry]) -> tuple[list[list[Entry]], list[Entry]]:
    """Evidence by study, in the order of the paper's sections; and what comes last: single seeds, then the checks.

    With one seed nothing has an interval, so that it stands apart from what can be held against a claim.
    """
    by_section = sorted(entries, key=lambda one: (_section(one.record.get("section", "")), one.name))
    apart = [one for one in by_section if one.seeds == 1 or one.study == LAST]
    studies: dict[str, list[Entry]] = {}
    for one in by_section:
        if one not in apart:
            studies.setdefault(one.study, []).append(one)
    return list(studies.values()), sorted(apart, key=lambda one: one.study == LAST)


def _section(text: str) -> str:
    """Sections of the paper sort as text, its appendix after them, what is in no section last."""
    return text if text.strip("-") else "~"
