"""Conducting a study: what is left of its plan is executed, and what came out becomes evidence."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vitlab.data.layout import STAMP
from vitlab.data.sources import lasting
from vitlab.machine import cores
from vitlab.report.provenance import read_provenance
from vitlab.runs.display import Display, duration, estimate
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place, Prepared, Stopped, WorkerDied
from vitlab.runs.run import Data, Run, build
from vitlab.runs.signals import ending
from vitlab.runs.stored import planned, read_rows, rows_by_run, rows_file
from vitlab.runs.tracking import Tracker
from vitlab.study import cautions
from vitlab.study.command_line import Execution, seconds
from vitlab.study.elsewhere import stored_runs
from vitlab.study.engines import Machinery, check, device_here, machinery
from vitlab.study.own_data import options_given
from vitlab.study.profile import profile
from vitlab.study.publish import Written, conclude, export, recorded, show, together
from vitlab.study.speeds import Understood, looked_at, understood
from vitlab.study.unused import not_redrawn, unused

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.study.study import Study

Rows = list[dict[str, Any]]


@dataclass
class Work:
    """The runs of a study, what is known of them before it starts, and where they are done.

    `every` has the plan's runs and those that they start from, `kept` the rows of runs that were done elsewhere.
    """

    every: list[Run]
    place: Place
    prepared: Prepared
    kept: Mapping[str, Rows]
    by: Machinery

    def rows(self, run: Run) -> Rows:
        """The rows of a run so far."""
        return self.place.store.rows(run) or self.kept.get(run.id, [])

    def left(self) -> list[Run]:
        """The runs that are still to do; of those that were done elsewhere the ones whose weights others need."""
        missing = [run for run in self.every if not self.place.store.finished(run)]
        needed = {link.id for run in missing if run.id not in self.kept for link in run.chain()}
        return [run for run in missing if run.id in needed]

    def seconds(self, runs: Sequence[Run]) -> tuple[float, str]:
        """About how long `runs` will take, and what that rests on."""
        return estimate(runs, {run: self.rows(run) for run in self.every}, self.prepared, self.by.jobs or 1)


def redraw(study: Study, settings: Any, how: Execution, arguments: Sequence[str]) -> int:
    """Remake the evidence of stored rows, as the settings on record say; returns the exit code."""
    folder = study.evidence_folder(settings, how)
    for words in not_redrawn(lambda other: study.evidence_folder(other, how), settings, options_given(arguments)):
        print(words)
    rows, record = read_rows(folder, accept_edited=how.accept_edited), read_provenance(folder)
    known = build(type(settings), record["settings"])
    try:
        written = conclude(study, known, folder, rows, record)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if not how.accept_edited:
            raise
        raise ValueError(f"{rows_file(folder)} was edited, and no evidence can be made of it: {error!r}.") from error
    finished(written, how)
    return 0


def finished(written: Written, how: Execution) -> None:
    """Show what was written, and write what a paper takes where that was asked for."""
    show(written)
    if how.export:
        export(written)


def conduct(study: Study, settings: Any, how: Execution, arguments: Sequence[str]) -> int:
    """Do what is left, write the evidence and show it; returns the exit code."""
    deadline = time.time() + seconds(how.time_budget) - 15 if how.time_budget else math.inf
    console = Console(emoji=False)  # a name may have the letters of one
    tracker = Tracker(study.name, how.wandb, how.runs)
    check(how)  # A mistake shows before the images are read.
    check_writable(how.runs, "The runs", "--runs")
    known = said_first(console, study, settings, how, arguments)
    settings = known.settings
    folder = study.evidence_folder(settings, how)
    check_writable(folder)
    # Read before anything is trained, so that damaged evidence is said now and not in place of new one.
    old = stored(folder, how)
    plan = study.plan(settings)
    kept = dict(study.known(settings)) | (made_before(plan, folder, old, how) if how.extend else {})
    work = prepared(plan, how, kept)
    about = looked_at(settings, how).info if known.info and how.skip_bad_images else known.info
    announce(console, work, known.seconds, other_images(old, work, folder))
    if how.profile and not how.dry_run:
        return profile(work, how)
    measured, ended = measure(study, settings, how)
    if how.dry_run:
        return ended
    with closing(tracker):
        failed = launch(work, tracker, console, deadline) if work.every else set()
        rows = measured + [row for run in work.every for row in work.rows(run)]
        if any(row["status"] == "finished" for row in rows):
            shown = pictures(study, settings, work)  # which takes its time, and others may write rows meanwhile
            table = together(stored(folder, how), rows, study.name)
            record = recorded(study, settings, plan, arguments, table, measured)
            record |= {"cautions": said} if (said := cautions.after(about, planned(table, record["plan"]))) else {}
            written = conclude(study, settings, folder, table, record, shown)
            tracker.evidence(folder, sorted({str(row["data.name"]) for row in rows if "data.name" in row}))
            finished(written, how)
        else:
            console.print("No run has finished yet.")
        if tracker.sync:
            print(f"W&B has all of it offline; to send it: {tracker.sync}")
    left = say_left(console, work, failed)
    return 1 if failed or study.wrong(measured) else ended or left


def say_left(console: Console, work: Work, failed: Collection[str]) -> int:
    """Say how many runs are left that did not fail; returns the exit code of that."""
    left = [run for run in work.left() if run.id not in failed]
    if left:
        console.print(f"{len(left)} of {len(work.every)} runs are left; the same command goes on from here.")
    return 3 if left else 0


def measure(study: Study, settings: Any, how: Execution) -> tuple[Rows, int]:
    """The rows that a study measures beside its runs, and the exit code of that; an error after the first, the time's
    end and Ctrl-C cost none of those before.
    """
    rows: Rows = []
    try:
        for row in study.measure(settings, how) if study.measure else ():
            rows.append(row)
    except (Stopped, KeyboardInterrupt) as why:
        print(str(why) or "Stopped.", flush=True)
        return rows, 3
    except (ValueError, OSError, WorkerDied) as error:
        if ending.asked:  # what ended was ended by the signal
            return rows, 3
        if not rows:
            raise
        print(f"error: {error}", file=sys.stderr)
        return rows, 1
    return rows, 0


def check_writable(folder: Path, what: str = "The evidence", option: str = "--results") -> None:
    """Raise ValueError where `what` could not be written to `folder`, before hours are spent on it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ValueError(f"{what} cannot be written to {folder}: {there} cannot. Name another {option}.")


def check_names(plan: Sequence[Run]) -> None:
    """Raise ValueError where a plan has two sets of images of one name: rows tell sets apart by it, and averages would
    join them.
    """
    known: dict[str, Data] = {}
    for data in (link.data for run in plan for link in run.chain() if link.data.name):
        name = data.name.partition("@")[0]
        first = known.setdefault(name, data)
        if data.fingerprint != first.fingerprint and lasting(data.source) != lasting(first.source):
            raise ValueError(
                f"{first.source} and {data.source} are both called {name}, and rows tell sets of images apart by their "
                "names: rename one folder, or give one of them alone."
            )


def stored(folder: Path, how: Execution) -> pd.DataFrame | None:
    """The rows that the evidence's folder holds now; None without any."""
    return read_rows(folder, accept_edited=how.accept_edited) if rows_file(folder) else None


def other_images(old: pd.DataFrame | None, work: Work, folder: Path) -> list[str]:
    """A warning for each set whose name the rows of `folder` have too, and none of its images."""
    if old is None or "data.fingerprint" not in old.columns:
        return []
    planned = {run.data.name: run.data.fingerprint for run in work.every if not run.data.fingerprint.startswith(STAMP)}
    known = old.dropna(subset=["data.fingerprint"]).groupby("data.name")["data.fingerprint"].agg(set).to_dict()
    return [
        f"Warning: {folder} has evidence of other images called {name}, or of these before they changed. Its tables "
        "and figures are replaced; --name keeps both."
        for name, fingerprint in planned.items()
        if fingerprint and name in known and fingerprint not in known[name]
    ]


def made_before(plan: Sequence[Run], folder: Path, old: pd.DataFrame | None, how: Execution) -> dict[str, Rows]:
    """The rows of the plan's runs that any study made before, `old` those of this one, by their ids."""
    found = stored_runs(how.results, {link.id for run in plan for link in run.chain()}, but=folder)
    return dict(found) | (rows_by_run(old) if old is not None else {})


def said_first(console: Console, study: Study, settings: Any, how: Execution, arguments: Sequence[str]) -> Understood:
    """The question, what was understood of the data, what was chosen for it, and what it cannot answer."""
    console.print(study.question, style="bold", highlight=False, markup=False, soft_wrap=True)
    known = understood(study, settings, how, arguments)
    ignored = unused(study.plan, known.settings, options_given(arguments) - study.shown)
    for line in (*known.said, *cautions.before(known.info, known.settings), *ignored):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return known


def prepared(plan: Sequence[Run], how: Execution, kept: Mapping[str, Rows]) -> Work:
    """The work of a plan; raises ValueError for runs that cannot be built, images that cannot be read, and two sets of
    images of one name.

    A dry run looks at no image.
    """
    check_names(plan)
    every = list(dict.fromkeys(link for run in plan for link in run.chain()))
    place = Place(how.runs, how.runs / "cache", device_here(how), how.skip_bad_images, strategy=how.strategy)
    known = Prepared("cpu", {})
    if every:
        with Launcher(LocalEngine(1, cores())) as launcher:
            known = launcher.prepare(every, place, read=not how.dry_run)
            if how.dry_run and (processes := how.devices * how.num_nodes) > 1:
                known = replace(known, memory=tuple(launcher.ask(_memory, every, how.strategy, processes)))
    by = machinery(how, known, len(every), cores())
    return Work(every, replace(place, device=by.device), replace(known, device=by.device), kept, by)


def _memory(runs: Sequence[Run], strategy: str, processes: int) -> list[str]:
    from vitlab.runs.execute import memory_lines  # in the worker, which has torch

    return memory_lines(runs, strategy, processes)


def pictures(study: Study, settings: Any, work: Work) -> Mapping[str, Figure]:
    """What the study draws of weights; where that cannot be had it is said, and costs nothing else."""
    try:
        return study.pictures(settings, work.place.store)
    except ValueError as error:
        print(f"There are no pictures of the weights: {error}", file=sys.stderr)
        return {}


def announce(console: Console, work: Work, expected: float | None, warnings: Sequence[str]) -> None:
    """Say `warnings`, what will be done and about how long it takes; `expected` seconds if nothing is done yet."""
    for line in warnings:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not work.every:
        return
    left = work.left()
    flops = sum(work.prepared.flops[run.id] for run in left)
    time_left, basis = work.seconds(left)
    if expected and len(left) == len(work.every):
        time_left, basis = expected, "as measured here"
    runs = f"{len(work.every)} run{'s' * (len(work.every) > 1)}: {len(work.every) - len(left)} done, {len(left)} to do"
    said = f"{runs}; {flops:.2e} FLOPs, about {duration(time_left)} {work.by} ({basis})."
    for line in (said, *work.prepared.memory):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def launch(work: Work, tracker: Tracker, console: Console, deadline: float) -> set[str]:
    """Execute what is left, with everything that a person sees and W&B records; return the ids of the failed runs."""
    left = work.left()
    # A run that is done already may still be passed through, because one that is left starts from it.
    by_id, failed = {link.id: link for run in left for link in run.chain()}, set[str]()
    with Launcher(work.by.engine()) as launcher, Display(console, left, work.prepared.flops) as display:

        def listen(event: dict[str, Any]) -> None:
            display.event(event)
            {"start": tracker.start, "round": tracker.round}[event["kind"]](by_id[event["run"]], event)

        for outcome in launcher.launch(left, work.place, listen, deadline):
            run = by_id[outcome.run]
            if run in left:
                tracker.finish(run, outcome.rows, outcome.status)
                display.ended(run, outcome)
                failed |= {run.id} if outcome.status == "failed" else set()
    work.place.store.wait()
    return failed
