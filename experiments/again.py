"""Do stored results come out again? Runs drawn at random from `results/` are made anew and held against their rows.

    python -m experiments.again                                            # three runs, drawn with seed 0
    python -m experiments.again --count 1 --only data_scaling/digits       # of this evidence alone

A folder of evidence is drawn first and then one of its runs, so that large studies do not crowd out the others. Each
run is rebuilt from its rows, which hold all of its settings, and made in an empty store, with everything that it
starts from, on as many threads as before. On the same hardware and version of torch all its numbers have to agree bit
for bit; elsewhere the mean over seeds, with the new score in the place of the old, has to stay in the stored 95%
interval, and a run whose setting has one seed cannot be judged. Exit code 1 if one does not agree.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.claims.interval import Interval, accuracy_interval, mean_interval
from vitlab.runs.place import Stopped
from vitlab.runs.remaking import Rows, Stored, made_again, same_numbers, same_place, score, stored_runs
from vitlab.runs.stored import rows_folders
from vitlab.study.command_line import Execution, seconds
from vitlab.study.study import Study, main

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence

BITS, WITHIN, DIFFERS, UNDECIDED = "bit for bit", "within the interval", "no", "cannot be judged"


@dataclass(frozen=True)
class Again:
    """Settings of the check."""

    count: int = 3
    """Runs to draw."""
    draw_seed: int = 0
    """Seed of the draw."""
    only: tuple[str, ...] = ()
    """Folders of --evidence to draw from, such as data_scaling/digits; by default all that hold scores."""
    evidence: str = "results"
    """The stored evidence to draw from; that of this check goes to --results."""


def draw_runs(settings: Again, how: Execution) -> list[Stored]:
    """Draw from the folders in turn, in random order, one run of each, until there are `count`.

    Folders whose data is not here are left out, which is said on standard error.

    Raises:
        ValueError: for a folder of `only` that does not exist or whose data is not here, and if fewer runs can be made
            again than asked for.
    """
    chance, left = random.Random(settings.draw_seed), folders(settings, how)
    there = sum(map(len, left.values()))
    if not there:
        raise ValueError(
            f"There is no finished run of {', '.join(settings.only) or settings.evidence} whose data is here; name the "
            "folder of the evidence with --evidence."
        )
    if not 1 <= settings.count <= there:
        raise ValueError(
            f"--count is {settings.count}; allowed: 1 to the {there} finished runs of "
            f"{', '.join(settings.only) or settings.evidence} whose data is here."
        )
    found: list[Stored] = []
    while len(found) < settings.count:
        for name in chance.sample(sorted(left), len(left)):
            if left[name] and len(found) < settings.count:
                found.append(left[name].pop(chance.randrange(len(left[name]))))
    return found


def folders(settings: Again, how: Execution) -> dict[str, list[Stored]]:
    """The runs that can be made again, by folder; folders without any are left out."""
    results = Path(settings.evidence)
    names = [folder.relative_to(results).as_posix() for folder in rows_folders(results)]
    for name in settings.only:
        if name not in names:
            raise ValueError(f"There is no evidence in {results / name}; --only takes {', '.join(names) or 'nothing'}.")
    found = {}
    for name in settings.only or names:
        try:
            found[name] = stored_runs(results / name, name, accept_edited=how.accept_edited)
        except ValueError as error:
            if settings.only:
                raise
            print(f"{name} is left out: {str(error).partition('. ')[0]}.", file=sys.stderr)
    return {name: runs for name, runs in found.items() if runs}


def measure(settings: Again, how: Execution) -> Iterator[dict[str, Any]]:
    """Draw runs, say which, and make each anew: a row for each. Raises Stopped where it ends before the last."""
    end = time.time() + seconds(how.time_budget) if how.time_budget else math.inf
    drawn = draw_runs(settings, how)
    for one in drawn:
        took = f"{float(one.rows[0].get('wall_s', 0)):.0f} s without what it starts from"
        print(f"{one.folder}: {one.run}, stored {100 * one.scores[0]:.2f}%, {took}", flush=True)
    if how.dry_run:
        return
    from vitlab.runs.execute import pick_device

    device = pick_device(how.device)
    for done, one in enumerate(drawn):
        if time.time() > end:
            raise Stopped(f"The time is up: {done} of {len(drawn)} runs were made again.")
        if not (again := made_again(one, device, skip_bad_images=how.skip_bad_images)):
            raise Stopped(f"{one.run} was stopped.")
        row = compared(one, again)
        print(f"{one.run}: agrees: {judged(row)}", flush=True)
        yield row


def compared(one: Stored, again: Rows) -> dict[str, Any]:
    """A row of evidence: both scores, those of all seeds, and what two such rows and lists of numbers have alike."""
    kept = ("hardware", "torch", "commit", "date", "wall_s", "reason")
    return {
        "status": "finished",
        "folder": one.folder,
        "drawn": one.run.id,
        "what": str(one.run),
        "score": one.scores[0],
        "score_again": score(again),
        "seeds": " ".join(map(repr, one.scores)),
        "images": next((row["images"] for row in one.rows if row.get("split") == "test"), math.nan),
        "same_numbers": same_numbers(one.rows, again),
        "same_place": same_place(one.rows[0], again[0]),
        **{name: again[0].get(name) for name in kept},
    }


def interval(row: Mapping[str, Any]) -> Interval:
    """The stored 95% interval over the seeds of a row's setting."""
    scores = [float(word) for word in str(row["seeds"]).split()]
    if min(scores) < 0:  # R² of predicted patches, which is no accuracy
        return mean_interval(scores)
    return accuracy_interval(scores, images=float(row["images"]))


def judged(row: Mapping[str, Any]) -> str:
    """BITS, WITHIN, DIFFERS or UNDECIDED."""
    now, seeds = float(row["score_again"]), interval(row)
    if row["same_numbers"]:
        return BITS
    if row["same_place"] or math.isnan(now):
        return DIFFERS
    if seeds.n == 1:
        return UNDECIDED
    return WITHIN if seeds.low <= seeds.mean + (now - row["score"]) / seeds.n <= seeds.high else DIFFERS


def draw(rows: pd.DataFrame, settings: Again) -> Evidence:
    """Both scores of every run, and whether they agree."""
    import pandas as pd

    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Format, Table

    each = rows.to_dict("records")
    cells = {
        "stored": rows["score"].tolist(),
        "again": rows["score_again"].tolist(),
        "all seeds": [interval(row) for row in each],
        "agrees": [judged(row) for row in each],
    }
    index = pd.MultiIndex.from_frame(rows[["folder", "what"]], names=["evidence", "run"])
    formats = dict.fromkeys(("stored", "again"), Format(digits=2))
    frame = pd.DataFrame(cells, index, dtype=object)
    caption = f"Test accuracy in % of runs drawn at random and made anew. {describe(rows)}."
    return Evidence((), (Table("again", frame, caption, formats=formats),), summary=summary(rows))


def summary(rows: pd.DataFrame) -> str:
    """How many runs agree, and how."""
    each = [(judged(row), bool(row["same_place"])) for row in rows.to_dict("records")]
    agree, alike = [how for how, _ in each], [how for how, same in each if same]
    said = f"{agree.count(BITS) + agree.count(WITHIN)} of {len(each)} runs agree"
    if alike:
        said += f"; {alike.count(BITS)} of the {len(alike)} that were first made on this hardware and version of torch"
        said += " do so bit for bit"
    undecided = agree.count(UNDECIDED)
    return f"{said}. {undecided} cannot be judged: made elsewhere, with one seed." if undecided else f"{said}."


STUDY = Study(
    name="again",
    section="-",
    question="Do stored results come out again, when their runs are drawn at random and made anew?",
    protocol=__doc__,
    presets={"quick": Again()},
    measure=measure,
    draw=draw,
    folder=lambda settings: f"draw_{settings.draw_seed}",
    wrong=lambda measured: DIFFERS in map(judged, measured),
)

if __name__ == "__main__":
    main(STUDY)
