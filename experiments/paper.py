"""The whole paper: every study, one after the other, and one page of all results.

    python -m experiments.paper                                      # every study's `quick`, two cores
    python -m experiments.paper --preset cpu --dry_run               # the CIFAR-scale presets: what they would take
    python -m experiments.paper --preset gpu --time_budget 40m       # what decides most claims first
    python -m experiments.paper --redraw --results results           # every figure, table and page from stored rows

All studies share one run store, so that a run that two of them need is trained once; what is finished is skipped, and
the same command goes on where it was stopped. `cpu` and `gpu` go in the order of claims per hour, by the FLOPs of what
is left. Local copies of data sets are taken from --images, by the names of their cards.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from vitlab.data.cards import cards
from vitlab.data.words import parted
from vitlab.runs.display import duration
from vitlab.runs.place import WorkerDied
from vitlab.study.command_line import Execution, at_home, parse, program, seconds
from vitlab.study.study import Study, end_with
from . import NAMES, studies

if TYPE_CHECKING:
    from vitlab.report.evidence import Evidence
    from vitlab.runs.run import Run
    from vitlab.study.conduct import Work

FAILED, WRONG, LEFT = 1, 2, 3


@dataclass(frozen=True)
class Paper:
    """Every study of the paper, and one page of all results."""

    preset: Literal["quick", "cpu", "gpu"] = "quick"
    """quick: every study in minutes; cpu: their presets for two cores and CIFAR; gpu: those for one GPU."""
    studies: tuple[str, ...] = NAMES
    """Studies to run or to redraw; all by default."""
    images: Path = Path("images")
    """Where local copies of data sets are, in folders with the names of their cards (cifar10, eurosat_64, ...)."""
    results: Path = Path("runs/results")
    """Where the evidence goes: a folder for each study, and the page of all."""
    runs: Path = Path("runs")
    """The run store that all studies share."""
    time_budget: str = ""
    """Stop cleanly within this time, as 90s, 9m or 1h30m, and say what is left."""
    jobs: str = "auto"
    """Worker processes; auto is one a core (on a GPU: one)."""
    device: str = "auto"
    """auto, cpu or cuda."""
    wandb: str = "off"
    """offline, online or off."""
    dry_run: bool = False
    """Print the whole plan with its hours and do nothing."""
    redraw: bool = False
    """Remake everything in --results from the stored rows."""
    export: bool = False
    """Write tables as LaTeX (booktabs, tabularx) and CSV and figures as PDF too."""


@dataclass
class Part:
    """A preset of a study, as it will be conducted: what is left of it, and how long that takes."""

    study: Study
    arguments: list[str]
    settings: Any
    how: Execution
    work: Work | None = None
    left: int = 0
    seconds: float = 0.0
    reason: str = ""  # why it cannot be run here


def is_of(preset: str, name: str) -> bool:
    """Whether a study's preset belongs to the preset of the paper: `cifar10_cpu` to cpu, `cifar10` to gpu."""
    kind = "quick" if name == "quick" else "cpu" if name.endswith("_cpu") else "gpu"
    return kind == preset


def local_data(settings: Any, images: Path) -> list[str]:
    """Options that point settings which name a card at the local copy in `images`, where there is one."""
    options = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        words = (value,) if isinstance(value, str) else value if isinstance(value, tuple) else ()
        found = [_local(word, images) if isinstance(word, str) else str(word) for word in words]
        if found != [str(word) for word in words]:
            options += [f"--{field.name}", *found]
    return options


def _local(word: str, images: Path) -> str:
    name, classes = parted(word)
    if name not in cards() or not images.is_dir():
        return word
    copies = sorted(path for path in images.iterdir() if re.fullmatch(rf"{re.escape(name)}(_\d+)?", path.name))
    return f"{copies[0]}@{classes}" if copies and classes else str(copies[0]) if copies else word


def parts(paper: Paper) -> list[Part]:
    """The presets to conduct, in the order of the paper. A study of stored evidence is left out where that is not here,
    unless it was asked for by name. Raises ValueError for a study that there is not.
    """
    found = []
    for name, study in studies(paper.studies).items():
        for preset in (preset for preset in study.presets if is_of(paper.preset, preset)):
            words = ["--preset", preset, *local_data(study.presets[preset], paper.images)]
            settings, how = parse(name, study.question, study.presets, words)
            evidence = Path(getattr(settings, "evidence", "."))
            if paper.studies == NAMES and not evidence.is_dir():
                print(f"{name} is left out: there is no folder {evidence} here to draw stored runs from.")
                continue
            how = replace(
                how,
                **{name: getattr(paper, name) for name in ("results", "runs", "jobs", "device", "wandb", "export")},
                dry_run=paper.dry_run,
            )
            found.append(Part(study, words, settings, how))
    return found


def forecast(found: Sequence[Part]) -> None:
    """Fill in what is left of each part and how long it takes; a run that several need counts where it comes first."""
    from vitlab.study.conduct import prepared

    counted: set[str] = set()
    for part in found:
        try:
            part.work = prepared(part.study.plan(part.settings), part.how, dict(part.study.known(part.settings)))
        except (ValueError, OSError, WorkerDied) as error:
            part.reason = str(error)
            continue
        left: list[Run] = [run for run in part.work.left() if run.id not in counted]
        counted |= {run.id for run in left}
        part.left, part.seconds = len(left), part.work.seconds(left)[0] if left else 0.0


def in_order(found: list[Part], preset: str) -> list[Part]:
    """`quick` as it stands; the others by how many claims an hour decides."""
    if preset == "quick":
        return found
    return sorted(found, key=lambda part: -len(part.study.claims) / max(part.seconds, 60.0))


def lines(found: Sequence[Part]) -> Iterator[str]:
    """The plan for reading, a line for each part and one for all."""
    for part in found:
        what = part.reason or f"{part.left} runs to do, about {duration(part.seconds)}"
        if not part.reason and part.study.measure:
            what += ", and what it measures itself"
        yield f"{part.study.name} {' '.join(part.arguments)}: {len(part.study.claims)} claims; {what}"
    whole = sum(part.seconds for part in found)
    yield f"In all about {duration(whole)} ({whole / 3600:.1f} h); runs that studies share are counted once."


def conduct_all(paper: Paper) -> int:
    """Conduct every part within the time; returns the worst exit code."""
    from vitlab.runs.signals import ending
    from vitlab.study.conduct import conduct

    deadline = time.time() + seconds(paper.time_budget) if paper.time_budget else None
    found = parts(paper)
    if paper.dry_run or paper.preset != "quick":
        forecast(found)
        found = in_order(found, paper.preset)
        print("\n".join(lines(found)), flush=True)
    if paper.dry_run:
        return 0
    codes = []
    for part in found:
        rest = deadline - time.time() if deadline else None
        if ending.signalled or (rest is not None and rest < 20):
            codes.append(LEFT)
            continue
        print(f"\n== {part.study.name} {' '.join(part.arguments)}", flush=True)
        how = replace(part.how, time_budget=f"{rest:.0f}s") if rest is not None else part.how
        try:
            codes.append(conduct(part.study, part.settings, how, part.arguments))
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            codes.append(WRONG)
        except (OSError, WorkerDied) as error:
            print(f"error: {error}", file=sys.stderr)
            codes.append(FAILED)
    print(f"\n{codes.count(0)} of {len(codes)} studies are done; the page is {paper.results / 'index.html'}.")
    return next((code for code in (FAILED, WRONG, LEFT) if code in codes), 0)


def redraw_all(paper: Paper) -> int:
    """Remake all evidence of the studies from rows, several folders at a time, and then the ledger and the pages."""
    from vitlab.machine import cores
    from vitlab.runs.stored import rows_folders
    from vitlab.study.publish import Written, export, keep, publish

    known = studies(paper.studies)
    folders = [(name, folder) for name in known for folder in rows_folders(paper.results, name)]
    if not folders:
        raise ValueError(f"There are no rows of these studies in {paper.results}; name the folder with --results.")
    fresh, wrong = {}, 0
    with ProcessPoolExecutor(cores(), multiprocessing.get_context("fork")) as pool:
        for (_, folder), made in zip(folders, pool.map(_drawn, *zip(*folders, strict=True)), strict=True):
            if isinstance(made, str):
                print(f"{folder} is left as it is: {made}", file=sys.stderr)
                wrong += 1
                continue
            fresh[folder], files = made
            keep(folder, files, every=False)
    claims = [claim for study in studies().values() for claim in study.claims]
    decided = publish(paper.results, fresh, claims)
    if paper.export:
        for folder in fresh:
            export(Written(folder, decided[folder], []))
    print(f"Drew {len(fresh)} of {len(folders)} folders anew; the page is {paper.results / 'index.html'}.")
    return WRONG if wrong else 0


def _drawn(name: str, folder: Path) -> tuple[Evidence, dict[str, bytes]] | str:
    """The evidence of one folder and its files, or why there is none."""
    from vitlab.report.provenance import read_provenance
    from vitlab.runs.run import build
    from vitlab.runs.stored import read_rows
    from vitlab.study.publish import made

    study = studies([name])[name]
    try:
        record = read_provenance(folder)
        settings = build(type(next(iter(study.presets.values()))), record["settings"])
        return made(study, settings, folder, read_rows(folder), record, {})
    except ValueError as error:
        return str(error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line; exit codes as for a single study."""
    from vitlab.runs.signals import ending

    def work() -> int:
        words = sys.argv[1:] if arguments is None else list(arguments)
        called = " ".join(program("paper"))
        paper = at_home(tyro.cli(Paper, prog=called, description=__doc__, args=words, use_underscores=True))
        with ending:
            return redraw_all(paper) if paper.redraw else conduct_all(paper)

    end_with(work)


if __name__ == "__main__":
    main()
