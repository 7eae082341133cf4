"""A study is a question, a plan and its evidence; this module takes one from the command line to the files.

The plan lists the Runs; those that the store lacks are executed; table, figures and verdicts are pure functions of
the rows. Nothing here imports torch, so that help, a dry run's arithmetic and a redraw are quick.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.command_line import Execution, fail, parse, plain, seconds
from vitlab.runs.place import Place, Prepared, WorkerDied
from vitlab.runs.run import Data, Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

    from vitlab.data.info import DataInfo
    from vitlab.runs.launch import Launcher
    from vitlab.runs.store import Store
    from vitlab.runs.tracking import Tracker


Plan = list[Run] | Mapping[Run, Mapping[str, Any]]


@dataclass(frozen=True)
class Evidence:
    """What the rows say: the sentence that answers the question, the table, the figures, and further text files.

    `table` is Markdown; `table.md` gets the answer below it.
    """

    answer: str
    table: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One study of the paper.

    `plan(settings)` gives the Runs, or a mapping from each to columns that the study adds to its rows (its place in the
    study); `draw(rows, settings)` the evidence, and `folder(settings)` the name under which
    the evidence is kept in `results/<study>/`. `pictures(settings, store)` gives figures of what runs kept beside their
    rows; a redraw, which has rows alone, leaves them as they are. All are free of torch.
    """

    name: str
    question: str
    presets: Mapping[str, Any]
    plan: Callable[[Any], Plan]
    draw: Callable[[pd.DataFrame, Any], Evidence]
    folder: Callable[[Any], str]
    pictures: Callable[[Any, Store], Mapping[str, Figure]] = lambda settings, store: {}


def data_of(source: str, **about: Any) -> tuple[Data, DataInfo]:
    """Describe the images at `source` (a card's name, a folder, a local copy) without decoding any.

    Raises:
        ValueError: if there is no such data, or it cannot be studied.
    """
    from vitlab.data.info import describe

    info = describe(source)
    return Data(info.name, fingerprint=info.fingerprint or "", source=source, **about), info


def titled(rows: pd.DataFrame, *sources: str) -> pd.DataFrame:
    """`rows` for people: the data sets of `sources` go by their titles, which say how a copy differs from the original.

    Raises:
        ValueError: if there is no such data.
    """
    names = {info.name: info.title for _, info in map(data_of, sources)}
    columns = [column for column in ("data", "upstream") if column in rows.columns]
    return rows.assign(**{column: rows[column].replace(names) for column in columns})


def check_train_sizes(sizes: Sequence[int], info: DataInfo) -> None:
    """Refuse train-set sizes that the data cannot give, before anything is trained.

    Raises:
        ValueError: for no size, a size below the number of classes, or one above the train split's.
    """
    from vitlab.data.splits import check_train_size

    if not sizes:
        raise ValueError(f"No train size was given; name some from {info.num_classes} to {info.sizes['train']}.")
    for size in sizes:
        check_train_size(size, info.sizes["train"], info.num_classes)


def main(study: Study, arguments: Sequence[str] | None = None) -> None:
    """Run `study` from the command line. Exit codes: 0 done, 1 a run failed, 2 wrong input, 3 stopped before the
    end.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill`, and a cluster's notice, end as Ctrl-C does.
    try:
        settings, how = parse(f"experiments.{study.name}", study.question, study.presets, arguments)
        raise SystemExit(_redraw(study, settings, how) if how.redraw else _conduct(study, settings, how, arguments))
    except ValueError as error:
        fail(str(error))
    except WorkerDied as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def place_of(study: Study, settings: Any, results: Path) -> Path:
    """The folder of the evidence, `results/<study>/<name>`; raises ValueError for a name that is no single folder's."""
    name = study.folder(settings)
    if name in ("", ".", "..") or Path(name).name != name:
        raise ValueError(f"The evidence cannot be named {name!r}; give --name a word for one folder, such as longer.")
    return results / study.name / name


def _redraw(study: Study, settings: Any, how: Execution) -> int:
    from vitlab.report.provenance import read_provenance, read_rows, write_evidence
    from vitlab.runs.run import build

    folder = place_of(study, settings, how.results)
    rows, record = read_rows(folder), read_provenance(folder)
    evidence = study.draw(rows, build(type(settings), record["settings"]))
    paths = write_evidence(
        folder,
        rows=rows,
        table_md=f"{evidence.table}\n{evidence.answer}\n",
        figures=evidence.figures,
        provenance={**record, "question": study.question, "answer": evidence.answer},
        extra=evidence.extra,
    )
    _show(evidence, paths)
    return 0


def _conduct(study: Study, settings: Any, how: Execution, arguments: Sequence[str]) -> int:
    from rich.console import Console

    from vitlab.report.provenance import cores, rows_by_run
    from vitlab.runs.launch import Launcher
    from vitlab.runs.tracking import Tracker

    began = time.time()
    deadline = began + seconds(how.time_budget) - 15 if how.time_budget else math.inf
    runs = study.plan(settings)
    columns = runs if isinstance(runs, Mapping) else {}
    every = list(dict.fromkeys(link for run in runs for link in run.chain()))
    place = Place(how.runs, how.runs / "cache", how.device, how.skip_bad_images)
    tracker = Tracker(study.name, how.wandb, how.runs)
    console = Console()
    _jobs(how.jobs, "cpu", 1, 1)  # A mistake shows before the images are read.
    folder = place_of(study, settings, how.results)
    with Launcher(1, cores()) as launcher:
        prepared = launcher.prepare(every, place)
    place = replace(place, device=prepared.device)
    jobs, threads = _jobs(how.jobs, prepared.device, len(every), cores())
    kept = rows_by_run(folder) if how.extend else {}
    left = [run for run in every if not place.store.finished(run) and run.id not in kept]
    done = {run: place.store.rows(run) or kept.get(run.id, []) for run in every}
    _announce(console, study, left, done, prepared, jobs)
    if how.dry_run:
        return 0
    with Launcher(jobs, threads) as launcher:
        try:
            failed = _launch(launcher, left, place, prepared, tracker, console, deadline)
        except KeyboardInterrupt:
            launcher.stop()
            failed = set()
    found = {run: place.store.rows(run) or kept.get(run.id, []) for run in every}
    rows = [{"study": study.name, **row, **columns.get(run, {})} for run in every for row in found[run]]
    left = [run for run in left if not place.store.finished(run) and run.id not in failed]
    if not any(row["status"] == "finished" for row in rows):
        console.print(f"No run has finished yet; {len(left)} are left. The same command goes on from here.")
        return 1 if failed else 3
    conclude(study, settings, rows, place.store, folder, arguments, tracker)
    if left:
        console.print(f"{len(left)} of {len(every)} runs are left; the same command goes on from here.")
    return 1 if failed else 3 if left else 0


def _jobs(asked: str, device: str, runs: int, cores: int) -> tuple[int, int]:
    """Worker processes and threads of each. Auto depends on the plan and not on what is done, as threads alter last
    bits.
    """
    if asked == "auto":
        jobs = 1 if device == "cuda" else max(1, min(cores, runs))
    elif asked.isdigit() and int(asked) > 0:
        jobs = int(asked)
    else:
        raise ValueError(f"--jobs is {asked!r}; allowed: auto or a whole number from 1.")
    return jobs, max(1, cores // jobs)


def _announce(
    console: Console,
    study: Study,
    left: list[Run],
    done: Mapping[Run, list[dict[str, Any]]],
    prepared: Prepared,
    jobs: int,
) -> None:
    """Say what will be done and about how long it takes; `done` has the rows of each run of the plan so far."""
    from vitlab.runs.display import duration, estimate

    flops = sum(prepared.flops[run.id] for run in left)
    time_left, basis = estimate(left, done, prepared, jobs)
    console.print(f"[bold]{study.question}[/]", highlight=False)
    console.print(
        f"{len(done)} runs: {len(done) - len(left)} done, {len(left)} to do; {flops:.2e} FLOPs, about "
        f"{duration(time_left)} on {jobs} x {prepared.device} ({basis}).",
        highlight=False,
        soft_wrap=True,
    )


def _launch(
    launcher: Launcher,
    left: list[Run],
    place: Place,
    prepared: Prepared,
    tracker: Tracker,
    console: Console,
    deadline: float,
) -> set[str]:
    """Execute what is left, with everything that a person sees and W&B records; return the ids of the failed runs."""
    from vitlab.runs.display import Display

    # A run that is done already may still be passed through, because one that is left starts from it.
    by_id, failed = {link.id: link for run in left for link in run.chain()}, set[str]()

    with Display(console, left, prepared.flops) as display:

        def listen(event: dict[str, Any]) -> None:
            display.event(event)
            {"start": tracker.start, "round": tracker.round}[event["kind"]](by_id[event["run"]], event)

        for outcome in launcher.launch(left, place, listen, deadline):
            run = by_id[outcome.run]
            if run not in left:
                continue
            tracker.finish(run, outcome.rows, outcome.status)
            display.ended(run, outcome)
            if outcome.status == "failed":
                failed.add(run.id)
    return failed


def conclude(
    study: Study,
    settings: Any,
    rows: list[dict[str, Any]],
    store: Store,
    folder: Path,
    arguments: Sequence[str],
    tracker: Tracker,
) -> None:
    """Turn the rows into files, show them, and log them."""
    from vitlab.report.provenance import frame, provenance, write_evidence

    table = frame(rows)
    evidence = study.draw(table, settings)
    command = ["python", "-m", f"experiments.{study.name}", *arguments]
    record = provenance(plain(settings), command, table) | {"question": study.question, "answer": evidence.answer}
    paths = write_evidence(
        folder,
        rows=table,
        table_md=f"{evidence.table}\n{evidence.answer}\n",
        figures={**evidence.figures, **study.pictures(settings, store)},
        provenance=record,
        extra=evidence.extra,
    )
    tracker.evidence(rows, {path.stem: path for path in paths if path.suffix == ".png"}, evidence.answer)
    _show(evidence, paths)


def _show(evidence: Evidence, paths: Sequence[Path]) -> None:
    """The table, where everything is, and the sentence that answers the question."""
    print(f"\n{evidence.table}\n")
    print("Written: " + ", ".join(str(path) for path in paths))
    print(f"\n{evidence.answer}")
