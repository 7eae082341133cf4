"""Rows of a study's plan with scores that a test chooses, as if its runs had been made."""

from collections.abc import Callable, Sequence

import pandas as pd
import pytest

from vitlab.runs.rows import flat
from vitlab.runs.run import Run
from vitlab.runs.stored import drawable, frame


@pytest.fixture
def as_if_made() -> Callable[[Sequence[Run], Callable[[Run], float]], pd.DataFrame]:
    """`as_if_made(plan, score)`: the plan's rows, as a study draws them; `score` is the accuracy of a run."""

    def rows(plan: Sequence[Run], score: Callable[[Run], float]) -> pd.DataFrame:
        found = []
        for run in dict.fromkeys(link for planned in plan for link in planned.chain()):
            about = {"run": run.id, "status": "finished", "title": run.data.name, "classes": 10, "images": 10_000}
            ended = {"steps": run.recipe.steps, "best_step": 0, "score": score(run)}
            splits = ("validation", "test") if flat(run)["task.kind"] == "classify" else ("test",)
            found += [{**flat(run), **about, **ended, "split": split} for split in splits]
        return drawable(frame(found))

    return rows
