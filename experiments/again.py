"""Do stored results come out again? Runs drawn at random from `results/` are made anew and held against their rows.

    python -m experiments.again                                            # three runs, drawn with seed 0
    python -m experiments.again --count 1 --only data_scaling/digits       # of this evidence alone

A folder of evidence is drawn first and then one of its runs, so that large studies do not crowd out the others. Each
run is rebuilt from the settings in its provenance.json and trained in an empty store, with everything that it starts
from, on as many threads as before. On the same hardware and versions all its numbers have to agree bit for bit;
elsewhere the mean over seeds, with the new value in the place of the old, has to stay in the stored 95% interval, and
a run whose setting has one seed cannot be judged. Exit code 1 if one does not agree.
"""

from __future__ import annotations

import importlib
import math
import random
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from vitlab.runs.run import Run, build
from vitlab.study.command_line import fail, plain

if TYPE_CHECKING:
    import pandas as pd
    from vitlab.report.intervals import Interval

QUESTION = "Do stored results come out again, when their runs are drawn at random and made anew?"
SCORES = ("test_best", "test_accuracy", "test_color_accuracy")
BITS, WITHIN, DIFFERS, UNDECIDED = "bit for bit", "within the interval", "no", "cannot be judged"
# What says where, when and how fast a row was made.
CIRCUMSTANCES = set("wall_s images_per_s hardware threads torch lightning timm vitlab commit date".split())


@dataclass(frozen=True)
class Again:
    """Settings of the check."""

    count: int = 3
    """Runs to draw."""
    draw_seed: int = 0
    """Seed of the draw."""
    only: tuple[str, ...] = ()
    """Folders of results/ to draw from, such as data_scaling/digits; by default all that hold trainings."""
    results: Path = Path("results")
    """Where the rows are, and where the evidence of this check goes."""
    device: str = "auto"
    """auto, cpu or cuda."""
    dry_run: bool = False
    """Print what is drawn and how long it took, and do nothing."""


@dataclass(frozen=True)
class Stored:
    """A run with its stored rows, and the score of every seed of the same setting, its own first."""

    folder: str
    run: Run
    rows: list[dict[str, Any]]
    scores: list[float]


def draw_runs(settings: Again) -> list[Stored]:
    """Draw from the folders in turn, in random order, one run of each, until there are `count`.

    Folders whose data is not here are left out, which is said on standard error.

    Raises:
        ValueError: for a folder of `only` that does not exist or whose data is not here, and if fewer runs can be made
            again than asked for.
    """
    chance = random.Random(settings.draw_seed)
    plans = _plans(settings)
    left = {name: list(runs) for name, runs in plans.items()}
    there = sum(map(len, left.values()))
    if not 1 <= settings.count <= there:
        raise ValueError(
            f"--count is {settings.count}; allowed: 1 to the {there} finished runs of "
            f"{', '.join(settings.only) or settings.results} whose data is here."
        )
    found: list[Stored] = []
    while len(found) < settings.count:
        for name in chance.sample(sorted(left), len(left)):
            if left[name] and len(found) < settings.count:
                run = left[name].pop(chance.randrange(len(left[name])))
                found.append(_stored(settings.results / name, name, run, plans[name]))
    return found


def _plans(settings: Again) -> dict[str, list[Run]]:
    """The runs that can be made again, by folder; folders without any are left out."""
    folders = sorted(path.parent for path in settings.results.glob("*/*/rows.csv"))
    names = [folder.relative_to(settings.results).as_posix() for folder in folders]
    for name in settings.only:
        if name not in names:
            raise ValueError(f"There is no evidence in {settings.results / name}; --only takes {', '.join(names)}.")
    found = {}
    for name in settings.only or names:
        try:
            found[name] = planned(settings.results / name)
        except ValueError as error:
            if settings.only:
                raise
            print(f"{name} is left out: {str(error).partition('. ')[0]}.", file=sys.stderr)
    return {name: runs for name, runs in found.items() if runs}


def planned(folder: Path) -> list[Run]:
    """The runs of the study that made `folder` whose finished rows and scores it holds; none where no study did.

    Raises:
        ValueError: if the study's data is not here.
    """
    from vitlab.report.provenance import read_provenance, rows_by_run

    record = read_provenance(folder)
    study = getattr(importlib.import_module(record["command"][2]), "STUDY", None)
    if study is None:
        return []
    plan = study.plan(build(type(next(iter(study.presets.values()))), record["settings"]))
    rows = rows_by_run(folder)
    every = dict.fromkeys(link for run in plan for link in run.chain())
    return [run for run in every if run.id in rows and not math.isnan(score(rows[run.id]))]


def _stored(folder: Path, name: str, run: Run, plan: Sequence[Run]) -> Stored:
    from vitlab.report.provenance import rows_by_run

    rows, setting = rows_by_run(folder), _seedless(run)
    others = [other for other in plan if other != run and _seedless(other) == setting]
    return Stored(name, run, rows[run.id], [score(rows[same.id]) for same in (run, *others)])


def _seedless(run: Run) -> Run:
    """The setting that a run shares with those of other seeds."""
    init = _seedless(run.init) if isinstance(run.init, Run) else run.init
    return replace(run, seed=0, data=replace(run.data, subset_seed=0), init=init)


def score(rows: Sequence[Mapping[str, Any]]) -> float:
    """The mean of what the rows of one run are about: test accuracy, or that of masked patches (a share)."""
    name = next((name for name in SCORES if name in rows[0]), "")
    return sum(float(row[name]) for row in rows) / len(rows) if name else math.nan


def make_again(stored: Stored, device: str) -> list[dict[str, Any]]:
    """The rows of the run, trained anew in an empty store; a training that fails gives one row with its reason."""
    from vitlab.runs.launch import Launcher
    from vitlab.runs.place import Place

    with tempfile.TemporaryDirectory() as folder, Launcher(1, int(stored.rows[0]["threads"])) as launcher:
        place = Place(Path(folder) / "runs", Path(folder) / "cache", device)
        *_, outcome = launcher.launch([stored.run], place, lambda event: None, math.inf)
    return outcome.rows


def same_numbers(before: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of rows agree bit for bit, circumstances and empty cells aside."""

    def numbers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
        kept = ({name: row[name] for name in columns if row.get(name) is not None} for row in rows)
        return sorted(str({k: v if isinstance(v, str) else float(v) for k, v in row.items()}) for row in kept)

    columns = sorted(set().union(*again) - CIRCUMSTANCES)
    return numbers(before) == numbers(again)


def same_place(before: Mapping[str, Any], again: Mapping[str, Any]) -> bool:
    """Whether two rows were made with the same processor and version of torch; the number of cores may differ."""
    processors = (re.sub(r"\d+ x ", "", str(row["hardware"])) for row in (before, again))
    return len(set(processors)) == 1 and before["torch"] == again["torch"]


def compare(stored: Stored, again: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of evidence: both scores, both places, and whether they agree as they should."""
    from vitlab.report.intervals import bootstrap_mean

    interval, alike = bootstrap_mean(stored.scores, bounds=(0.0, 1.0)), same_place(stored.rows[0], again[0])
    return {
        "study": "again",
        "folder": stored.folder,
        "run": stored.run.id,
        "task": str(stored.run),
        "score": stored.scores[0],
        "score_again": score(again),
        "interval": interval.format(),
        "agrees": verdict(stored, again, interval, alike),
        "same_hardware": alike,
        "hardware": again[0]["hardware"],
        "torch": again[0]["torch"],
        "commit": again[0]["commit"],
        "wall_s": again[0].get("wall_s"),
        "reason": again[0].get("reason"),
    }


def verdict(stored: Stored, again: Sequence[Mapping[str, Any]], interval: Interval, alike: bool) -> str:
    """BITS, WITHIN, DIFFERS or UNDECIDED; `interval` is over the stored seeds, `alike` says same hardware and torch."""
    if same_numbers(stored.rows, again):
        return BITS
    now = score(again)
    if alike or math.isnan(now):
        return DIFFERS
    if interval.n == 1:
        return UNDECIDED
    mean = interval.mean + (now - stored.scores[0]) / interval.n
    return WITHIN if interval.low <= mean <= interval.high else DIFFERS


def draw(rows: pd.DataFrame) -> tuple[str, str]:
    """Answer and Markdown table."""
    from vitlab.report.tables import Table, describe, to_markdown

    cells = tuple(
        (
            row.folder,
            row.task,
            f"{100 * row.score:.2f}",
            "failed" if math.isnan(row.score_again) else f"{100 * row.score_again:.2f}",
            row.interval,
            row.agrees,
        )
        for row in rows.itertuples()
    )
    head = ("evidence", "run", "stored (%)", "again (%)", "all seeds (%)", "agrees")
    table = to_markdown(Table(head, cells, f"Runs drawn at random and made anew. {describe(rows)}.", labels=2))
    alike, undecided = rows[rows["same_hardware"]], (rows["agrees"] == UNDECIDED).sum()
    answer = (
        f"{rows['agrees'].isin([BITS, WITHIN]).sum()} of {len(rows)} runs agree; {(alike['agrees'] == BITS).sum()} of "
        f"the {len(alike)} that were first made on this hardware and version of torch do so bit for bit."
    )
    if undecided:
        answer += f" {undecided} cannot be judged: made elsewhere, with one seed."
    return answer, f"{table}\n{answer}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, make anew, compare, write the evidence; exit code 1 if a run does not agree, 2 for wrong input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        settings = tyro.cli(
            Again, prog="python -m experiments.again", description=__doc__, args=arguments, use_underscores=True
        )
        raise SystemExit(_conduct(settings, arguments))
    except ValueError as error:
        fail(str(error))


def _conduct(settings: Again, arguments: Sequence[str]) -> int:
    from vitlab.report.provenance import frame, provenance, write_evidence
    from vitlab.runs.execute import pick_device

    drawn, device = draw_runs(settings), pick_device(settings.device)
    for stored in drawn:
        took = f"{float(stored.rows[0].get('wall_s') or 0):.0f} s without what it starts from"
        print(f"{stored.folder}: {stored.run}, stored {100 * stored.scores[0]:.2f}%, {took}", flush=True)
    if settings.dry_run:
        return 0
    rows = frame([compare(stored, make_again(stored, device)) for stored in drawn])
    answer, table = draw(rows)
    record = provenance(plain(settings), ["python", "-m", "experiments.again", *arguments], rows)
    record |= {"question": QUESTION, "answer": answer}
    folder = settings.results / "again" / f"draw_{settings.draw_seed}"
    write_evidence(folder, rows=rows, table_md=table, figures={}, provenance=record)
    print(f"\n{table}\nWritten to {folder}")
    return 1 if (rows["agrees"] == DIFFERS).any() else 0


if __name__ == "__main__":
    main()
