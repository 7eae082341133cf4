"""Runs that other studies made already: found in their evidence, so that nothing is trained twice."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitlab.runs.rows import run_of
from vitlab.runs.run import Run
from vitlab.runs.stored import read_rows, rows_by_run, rows_file, rows_folders

Rows = list[dict[str, Any]]


def stored_runs(results: Path, wanted: Collection[str], but: Path) -> dict[str, Rows]:
    """The finished rows of the runs `wanted`, by their ids, from the evidence of whichever study made them,
    `but` one folder.

    A run that several studies have is taken from the first. Evidence that cannot be read is named and passed over.
    """
    found: dict[str, Rows] = {}
    for folder in rows_folders(results):
        if folder == but:
            continue
        try:
            rows = read_rows(folder)
        except ValueError as error:
            print(f"{folder} is left out: {error}", file=sys.stderr)
            continue
        if "run" in rows.columns:
            found = rows_by_run(rows[rows["run"].isin(wanted)]) | found
    return found


def trained_elsewhere(
    folders: Iterable[str], templates: Sequence[Run], *, images: int, seeds: int, aside: Collection[str] = ()
) -> dict[Run, Rows]:
    """Finished trainings on `images` images that differ from a template in seeds and the recipe's `aside` alone.

    With their rows, and only those that each of the first `seeds` seeds has, so that all seeds have the same. Folders
    without evidence are passed over. Raises ValueError for evidence that was altered.
    """
    by_model = {run.model: run for run in templates}
    found = {}
    for folder in map(Path, folders):
        for rows in rows_by_run(read_rows(folder)).values() if rows_file(folder) else ():
            like, first = by_model.get(rows[0].get("model", "")), rows[0]
            if like is None or "init" in first or first.get("train_images") != images:
                continue
            run = run_of(first, sources={like.data.name: like.data.source})
            data = replace(run.data, subset_seed=like.data.subset_seed, train_size=like.data.train_size)
            recipe = replace(run.recipe, **{name: getattr(like.recipe, name) for name in aside})
            if run.seed < seeds and replace(run, seed=like.seed, data=data, recipe=recipe) == like:
                found[run] = rows
    had = Counter((run.model, run.recipe) for run in found)
    return {run: rows for run, rows in found.items() if had[run.model, run.recipe] == seeds}
