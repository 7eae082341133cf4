"""Which numbers and verdicts changed, beyond their intervals, between two folders of results or two git revisions?

    python -m experiments.compare results runs/results        # two folders
    python -m experiments.compare HEAD~3 HEAD                 # the results/ of two revisions
    python -m experiments.compare HEAD results                # what is committed, and what lies here

A number changed if one of the two means lies outside of the other's interval; where there is no interval, if it is not
the same. Exit code 0: nothing changed; 1: something did; 2: wrong input.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from vitlab.report.changes import changes
from vitlab.report.evidence import Evidence
from vitlab.study.command_line import program
from vitlab.study.study import end_with

CHANGED = 1


@dataclass(frozen=True)
class Compare:
    """Two results: folders, or git revisions, of which results/ is taken."""

    before: Annotated[str, tyro.conf.Positional]
    """A results folder or a git revision."""
    after: Annotated[str, tyro.conf.Positional]
    """Another one."""


def evidence_of(source: str) -> dict[str, Evidence]:
    """All evidence of a folder or a revision, by `study/name`.

    Raises:
        ValueError: for what is neither, and where there is no evidence in it.
    """
    texts = _of_folder(Path(source)) if Path(source).is_dir() else _of_revision(source)
    if not texts:
        raise ValueError(f"There is no study/name/evidence.json in {source}; give a results folder, or a revision.")
    found = {}
    for folder, text in texts.items():
        try:
            found[folder] = Evidence.loads(text)
        except ValueError as error:
            print(f"{source}: {folder} is left out: {error}", file=sys.stderr)
    return found


def _of_folder(folder: Path) -> dict[str, str]:
    paths = sorted(folder.glob("*/*/evidence.json"))
    return {path.parent.relative_to(folder).as_posix(): path.read_text() for path in paths}


def _of_revision(revision: str) -> Mapping[str, str]:
    """The evidence in the revision's results/ of the folder that this runs in, which need not be the repository's."""
    try:
        listed = _git("ls-tree", "-r", "-z", "--name-only", "--end-of-options", revision, "results/")  # -z: as they are
        names = [name for name in listed.split("\0") if name.endswith("/evidence.json") and name.count("/") == 3]
        return {name.split("/", 1)[1].rpartition("/")[0]: _git("show", f"{revision}:./{name}") for name in names}
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"{revision!r} is no folder, and no git revision of the checkout here; give one.") from None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8", check=True).stdout


def compare(settings: Compare) -> int:
    """Print every change; returns the exit code."""
    table = Table("evidence", "what", settings.before, settings.after, box=None, header_style="bold")
    found = list(changes(evidence_of(settings.before), evidence_of(settings.after)))
    for change in found:
        table.add_row(change.folder, change.what, change.before, change.after)
    console = Console(markup=False, emoji=False, highlight=False)
    if found:
        console.print(table)
    count = "Nothing" if not found else "One thing" if len(found) == 1 else f"{len(found)} things"
    console.print(f"{count} changed beyond the intervals.")
    return CHANGED if found else 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    about: dict[str, Any] = {"prog": " ".join(program("compare")), "description": __doc__}
    end_with(lambda: compare(tyro.cli(Compare, args=words, use_underscores=True, **about)))


if __name__ == "__main__":
    main()
