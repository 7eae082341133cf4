"""Carry the rows of `results/` over to rows that say all of their run; run once, at the commit that holds this file.

    python results/carry_over.py            # prints what it matched and every row that it could not match

Each study's plan is rebuilt from the settings in its provenance.json and joined on the run's id. A training's row
becomes one for each split; settings come from the Run, what was hand-copied of them goes.
"""

from __future__ import annotations

import importlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vitlab.data.info import resolve, title  # noqa: E402
from vitlab.data.sources import find_source  # noqa: E402
from vitlab.report.provenance import read_provenance, read_rows  # noqa: E402
from vitlab.runs.rows import flat  # noqa: E402
from vitlab.runs.run import Run, build, from_settings  # noqa: E402
from vitlab.tasks.settings import Inspect  # noqa: E402

RESULTS = Path(__file__).resolve().parent
WHO = "hardware threads torch lightning timm vitlab commit date".split()
KEPT = "parameters train_flops_per_image best_step steps epochs best_epoch wall_s images_per_s image_size".split()
SHOT = "shots draw l2 l2_choice".split()
OF_TEST = {f"test_{name}": name for name in ("color_accuracy", "floor_frequent", "floor_neighbours", "loss")}
# Columns of settings that were copied by hand, and of a run's place in its study, which its settings say.
COPIED = set(
    """task model data upstream upstream_size image_size train_size subset_seed seed lr weight_decay batch_size init
    positions precision arm label_share masked_share pretrain_rate pretrain_steps ratio target ladder_number
    ladder_step study status run reason""".split()
)


@cache
def counts(source: str, classes: tuple[int, ...]) -> dict[str, Any]:
    """Title, number of classes, and images of each split, without those of classes that the run does not see."""
    layout = resolve(find_source(source))
    found: dict[str, Any] = {"title": title(layout), "classes": len(classes) or len(layout.source.classes)}
    for name, (raw, indices) in layout.splits.items():
        labels = layout.source.rows[raw].labels[indices]
        found[name] = int(sum((labels == c).sum() for c in classes)) if classes else len(labels)
    return found


def late_gain(curve: pd.DataFrame) -> float:
    """Validation score gained over the last fifth of a training."""
    before = curve.loc[curve["step"] <= 0.8 * curve["step"].max(), "validation"]
    return float(curve["validation"].max() - before.max()) if len(before) else float("nan")


def carried(run: Run, row: dict[str, Any], study: str, curve: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    """The new rows of one old row of `run`."""
    row = {name: value for name, value in row.items() if value == value and value is not None}
    seen = counts(run.data.source, run.data.classes)
    base = {"run": run.id, "study": study, "status": row["status"], **flat(run), "classes": seen["classes"]}
    base["title"] = run.data.name if run.data.classes else seen["title"]
    who = {name: row[name] for name in WHO if name in row}
    if row["status"] == "failed":
        return [{**base, "reason": row["reason"], **who}]
    kept = {name: row[name] for name in (*KEPT, *SHOT) if name in row}
    if "train_size" in row:
        kept["train_images"] = row["train_size"]
    if isinstance(run.task, Inspect):
        extra = {name: value for name, value in row.items() if name not in COPIED | set(WHO)}
        return [{**base, **extra, **who}]
    if "test_accuracy" in row:
        return [{**base, **kept, "split": "test", "score": row["test_accuracy"], "images": seen["test"], **who}]
    if curve is not None:
        kept["late_gain"] = late_gain(curve)
    test = {new: row[old] for old, new in OF_TEST.items() if old in row}
    return [
        {
            **base,
            **kept,
            "split": split,
            "score": row[f"{split}_best"],
            "last_score": row[f"{split}_last"],
            "images": seen[split],
            **(test if split == "test" else {}),
            **who,
        }
        for split in ("validation", "test")
    ]


def planned(folder: Path) -> dict[str, Run]:
    """All runs of the plan that made `folder`, with those that they start from, by id."""
    record = read_provenance(folder)
    study = importlib.import_module(f"experiments.{folder.parent.name}").STUDY
    plan = study.plan(build(type(next(iter(study.presets.values()))), record["settings"]))
    return {link.id: link for run in plan for link in run.chain()}


def main() -> None:
    """Rewrite every rows.csv; what is no run (throughput, again) is left as it is."""
    folders = [path.parent for path in sorted(RESULTS.glob("*/*/rows.csv"))]
    folders = [folder for folder in folders if folder.parent.name not in ("throughput", "again", "inspection")]
    plans = {folder: planned(folder) for folder in folders}
    known = {run: found for plan in plans.values() for run, found in plan.items()}
    done: dict[str, list[dict[str, Any]]] = {}
    for folder, plan in plans.items():
        write(folder, [(plan.get(row["run"]), row) for row in read_rows(folder).to_dict("records")], done)
    for folder in sorted((RESULTS / "inspection").iterdir()):
        rows = read_rows(folder).to_dict("records")
        inspected = [(inspection(known.get(row["run"])), row) for row in rows]
        trained = {row["run"]: done[row["run"]] for row in rows if row["run"] in done}
        write(folder, inspected, {}, [old for each in trained.values() for old in each])


def inspection(training: Run | None) -> Run | None:
    """The inspection of a training, under whose own id its rows were filed."""
    if training is None:
        return None
    return Run(
        training.model, training.data, task=Inspect(), seed=training.seed, init=training, options=training.options
    )


def write(
    folder: Path,
    pairs: list[tuple[Run | None, dict[str, Any]]],
    done: dict[str, list[dict[str, Any]]],
    more: list[dict[str, Any]] | None = None,
) -> None:
    """Write the carried rows of `folder` and say what was not matched; `done` takes the rows by run."""
    study, found = folder.parent.name, list(more or [])
    lost: dict[str, int] = {}
    for run, row in pairs:
        if run is None:
            lost[row["run"]] = lost.get(row["run"], 0) + 1
            continue
        new = carried(run, row, study)
        done.setdefault(run.id, []).extend(new)
        found += new
    print(f"{folder.relative_to(RESULTS)}: {len(pairs)} rows -> {len(found)}; not matched: {lost or 'none'}")
    if found:
        table = pd.DataFrame([{**row, "study": study} for row in found])
        table.to_csv(folder / "rows.csv", index=False, lineterminator="\n")


def from_store(store: Path, study: str) -> None:
    """Carry over the finished runs of a store, whose run.json says what each is, with its curve."""
    sources = {"cifar10": "images/cifar10", "tiny_imagenet_32": "images/tiny_imagenet_32"}
    for path in sorted(store.glob("*/rows.json")):
        rows = json.loads(path.read_text())
        if "task.kind" in rows[0]:
            continue
        settings = json.loads((path.parent / "run.json").read_text())
        settings["data"]["source"] = sources[settings["data"]["name"]]
        run = from_settings(settings)
        curve = path.parent / "curve.csv"
        read = pd.read_csv(curve) if curve.exists() else None
        new = [each for row in rows for each in carried(run, row, study, read)]
        path.write_text(json.dumps([{k: v for k, v in row.items() if k != "study"} for row in new], indent=1))
        print(f"{path.parent.name}: {len(rows)} -> {len(new)}")


if __name__ == "__main__":
    from_store(Path(sys.argv[1]), "") if len(sys.argv) > 1 else main()
