"""Stored runs made anew: back from their rows, with the data found again, and the old rows held against the new."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitlab.data.info import describe
from vitlab.data.words import parted
from vitlab.report.provenance import read_provenance
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.rows import run_of
from vitlab.runs.run import Run
from vitlab.runs.stored import read_rows, rows_by_run

Rows = Sequence[Mapping[str, Any]]
# What says where, when and how fast a row was made, and for which study.
CIRCUMSTANCES = set(
    "wall_s images_per_s hardware threads processes torch lightning timm vitlab commit date study".split()
)


@dataclass(frozen=True)
class Stored:
    """A run with its stored rows, and the score of every seed of the same setting, its own first."""

    folder: str
    run: Run
    rows: Rows
    scores: tuple[float, ...]


def stored_runs(folder: Path, name: str = "", *, accept_edited: bool = False) -> list[Stored]:
    """The runs of `folder` that have a score and start from nothing else than runs whose rows are there too.

    Raises:
        ValueError: if the data is not here, or if a row is not of the run that it names.
    """
    table = read_rows(folder, accept_edited=accept_edited)
    rows = rows_by_run(table)
    if not rows or not {"score", "data.name"} <= set(table.columns):
        return []
    first = [found[0] for found in rows.values()]
    known = sources({row["data.name"] for row in first}, read_provenance(folder)["settings"])
    runs = [run_of(row, first, known) for row in first if row.get("init", row["run"]) in rows]
    scores = {run: score(rows[run.id]) for run in runs if not math.isnan(score(rows[run.id]))}
    alike: dict[Run, list[float]] = {}
    for run, own in scores.items():
        alike.setdefault(_seedless(run), []).append(own)
    return [Stored(name, run, rows[run.id], _own_first(own, alike[_seedless(run)])) for run, own in scores.items()]


def _own_first(own: float, scores: Sequence[float]) -> tuple[float, ...]:
    others = list(scores)
    others.remove(own)
    return (own, *others)


def _seedless(run: Run) -> Run:
    """The setting that a run shares with those of other seeds."""
    init = _seedless(run.init) if isinstance(run.init, Run) else run.init
    return replace(run, seed=0, data=replace(run.data, subset_seed=0), init=init)


def sources(names: set[str], settings: Mapping[str, Any]) -> dict[str, str]:
    """Where the data sets of these names are: what the recorded settings say, else the card of that name.

    Settings are read as words to look for and nothing else. Raises ValueError for data that neither has.
    """
    found: dict[str, str] = {}
    for word in dict.fromkeys(parted(word)[0] for word in _words(settings)):
        try:
            found.setdefault(describe(word).name, word)
        except ValueError:  # it is about something else, or its data is not here
            continue
    wanted = sorted({name.partition("@")[0] for name in names})
    for name in wanted:
        if name not in found:
            describe(name)
    return {name: found.get(name, name) for name in wanted}


def _words(value: Any) -> Iterator[str]:
    """All strings in JSON values."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _words(part)


def score(rows: Rows) -> float:
    """The mean score of the rows of one run on the test split; NaN without any."""
    found = [float(row["score"]) for row in rows if row.get("split") == "test" and "score" in row]
    return sum(found) / len(found) if found else math.nan


def made_again(one: Stored, device: str, *, skip_bad_images: bool = False) -> Rows:
    """The rows of the run, made anew in an empty store; a training that fails gives one row with its reason."""
    engine = LocalEngine(1, int(one.rows[0].get("threads", 1)))
    with tempfile.TemporaryDirectory() as folder, Launcher(engine) as launcher:
        place = Place(Path(folder) / "runs", Path(folder) / "cache", device, skip_bad_images)
        *_, outcome = launcher.launch([one.run], place, lambda event: None, math.inf)
    return outcome.rows


def same_numbers(before: Rows, again: Rows) -> bool:
    """Whether two lists of rows agree bit for bit in all that both say, circumstances and empty cells aside.

    Rows that were stored before a column existed lack it.
    """
    columns = sorted((set().union(*before) & set().union(*again)) - CIRCUMSTANCES)

    def numbers(rows: Rows) -> list[str]:
        kept = ({name: row[name] for name in columns if row.get(name) not in (None, "")} for row in rows)
        return sorted(str({k: v if isinstance(v, str) else float(v) for k, v in row.items()}) for row in kept)

    return "score" in columns and numbers(before) == numbers(again)


def same_place(before: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Whether two rows were made with the same processor and version of torch; the number of cores may differ."""
    processors = (re.sub(r"\d+ x ", "", str(row["hardware"])) for row in (before, again))
    return len(set(processors)) == 1 and before["torch"] == again["torch"]
