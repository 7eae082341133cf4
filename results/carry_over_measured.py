"""Carry what `again`, `throughput` and `inspection` stored over to their new settings and rows; run once.

    python results/carry_over_measured.py

Afterwards `python -m experiments.again --redraw --results results --name draw_0`, and so on, draws them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments import again, inspection, throughput  # noqa: E402
from vitlab.benchmark.evidence import PLAIN  # noqa: E402
from vitlab.runs.remaking import stored_runs  # noqa: E402
from vitlab.runs.stored import frame, to_csv  # noqa: E402
from vitlab.study.command_line import plain  # noqa: E402
from vitlab.study.study import Study  # noqa: E402

RESULTS = Path(__file__).resolve().parent


def of_inspection(old: dict[str, Any], rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """What counts for --checkpoint; the rest was the preset's and said nothing. The rows are those of runs already."""
    kept = {name: old[name] for name in ("model", "checkpoint_size", "data", "measured")}
    tuples = {name: tuple(old[name]) for name in ("checkpoint", "images")}
    return replace(inspection.PRESETS["quick"], **kept, **tuples), rows


def of_again(old: dict[str, Any], rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """Scores of all seeds come from the stored rows that were drawn from."""
    stored = {name: {one.run.id: one for one in stored_runs(RESULTS / name, name)} for name in rows["folder"].unique()}
    found = [stored[folder][run] for folder, run in zip(rows["folder"], rows["run"], strict=True)]
    for one, score in zip(found, rows["score"], strict=True):
        assert one.scores[0] == score, one.run
    new = rows.rename(columns={"run": "drawn", "task": "what", "same_hardware": "same_place"}).assign(
        status="finished",
        same_numbers=rows["agrees"] == again.BITS,
        seeds=[" ".join(map(repr, one.scores)) for one in found],
        images=[next(row["images"] for row in one.rows if row.get("split") == "test") for one in found],
    )
    settings = again.Again(old["count"], old["draw_seed"], tuple(old["only"]))
    return settings, new.drop(columns=["agrees", "interval"])


def of_throughput(old: dict[str, Any], rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """Both scripts trained the same model in the same process, which the rows of the plain one did not say."""
    own = rows[rows["side"] == "vitlab"].iloc[0]
    same = "model precision parameters train_flops_per_image hardware threads torch commit date".split()
    new = rows.rename(columns={"batch_size": "batch"}).assign(**{name: own[name] for name in same})
    assert set(rows["side"]) == {"vitlab", PLAIN}
    settings = replace(throughput.PRESETS["peers"], script_model=old["model"], script_batch=old["batch_size"])
    return settings, new.assign(status="finished", part="script", image_size=32)


def carry_over(study: Study, converted: Any) -> None:
    """Rewrite settings and rows of every folder of a study."""
    for path in sorted((RESULTS / study.name).glob("*/provenance.json")):
        record, rows = json.loads(path.read_text()), pd.read_csv(path.with_name("rows.csv"))
        settings, new = converted(record["settings"], rows)
        record |= {"study": study.name, "section": study.section, "question": study.question}
        record |= {"settings": plain(settings), "plan": []}
        if study is inspection.STUDY:
            record["plan"] = list(dict.fromkeys(rows["run"]))
        else:
            path.with_name("rows.csv").write_text(to_csv(frame(new)))
        record.pop("answer", None)
        path.write_text(json.dumps(record, indent=2) + "\n")
        for name in ("table.md", "verdicts.md", "figure.png", "figure.svg"):
            path.with_name(name).unlink(missing_ok=True)


if __name__ == "__main__":
    carry_over(inspection.STUDY, of_inspection)
    carry_over(again.STUDY, of_again)
    carry_over(throughput.STUDY, of_throughput)
