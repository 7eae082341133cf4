"""Evidence of any part of a study's rows is drawn or declined: a study can be stopped at any moment."""

import importlib
import random
from pathlib import Path

import pytest

from vitlab.report.evidence import Evidence
from vitlab.report.plain import NothingToShow
from vitlab.report.provenance import read_provenance
from vitlab.runs.run import build
from vitlab.runs.stored import drawable, read_rows

RESULTS = Path(__file__).parents[2] / "results"
FOLDERS = sorted(path.parent.relative_to(RESULTS).as_posix() for path in RESULTS.glob("*/*/evidence.json"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_any_part_of_the_rows_is_drawn_or_declined(folder):
    study = importlib.import_module(f"experiments.{folder.partition('/')[0]}").STUDY
    rows, record = read_rows(RESULTS / folder), read_provenance(RESULTS / folder)
    settings = build(type(next(iter(study.presets.values()))), record["settings"])
    whole = study.draw(drawable(rows, record["plan"]), settings)
    assert whole.tables and Evidence.loads(whole.dumps()).dumps() == whole.dumps()
    chance = random.Random(folder)
    runs = record["plan"] or list(range(len(rows)))
    for count in (0, 1, 2, len(runs) // 2):
        kept = chance.sample(runs, min(count, len(runs)))
        some = rows[rows["run"].isin(kept)] if record["plan"] else rows.iloc[kept]
        try:
            found = study.draw(drawable(some), settings)
        except NothingToShow:
            continue
        assert isinstance(found, Evidence)
