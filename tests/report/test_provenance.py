import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vitlab.report.scaling import accuracy_against_size

from vitlab.report.build import curves
from vitlab.report.draw import draw
from vitlab.report.files import write_all
from vitlab.report.provenance import (
    frame,
    hardware,
    provenance,
    read_provenance,
    read_rows,
    to_csv,
    write_evidence,
)


def write(folder: Path, table) -> None:
    (folder / "rows.csv").write_text(to_csv(table))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_floats_round_trip_bit_for_bit(tmp_path_factory, values: list[float]) -> None:
    folder = tmp_path_factory.mktemp("rows")
    write(folder, [{"run": str(i), "x": value} for i, value in enumerate(values)])
    back = read_rows(folder)
    assert back.x.to_numpy(dtype=float).tobytes() == np.array(values).tobytes()


def test_what_looks_like_numbers_stays_text(tmp_path: Path) -> None:
    table = [
        {"run": "00123", "commit": "12e4567", "torch": "2.10", "model": "NA", "best_step": None, "seed": 3, "ok": True}
    ]
    write(tmp_path, table)
    (row,) = read_rows(tmp_path).to_dict("records")
    assert (row["run"], row["commit"], row["torch"], row["model"]) == ("00123", "12e4567", "2.10", "NA")
    assert row["seed"] == 3 and row["ok"] and math.isnan(row["best_step"])


def test_order_is_stable_and_writing_again_changes_nothing(rows, tmp_path: Path) -> None:
    table = rows()
    text = to_csv(table)
    assert to_csv(table.sample(frac=1, random_state=0)[list(reversed(table.columns))]) == text
    write(tmp_path, table)
    assert to_csv(read_rows(tmp_path)) == text
    assert text.splitlines()[0].startswith("run,study,model,parameters,train_flops_per_image,seed,steps,epochs,wall_s")
    assert to_csv([{"b": 1, "run": "x", "a": "with, comma"}]) == 'run,a,b\nx,"with, comma",1\n'


def test_missing_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows at"):
        read_rows(tmp_path)


def test_provenance_says_how_to_make_it_again(rows) -> None:
    made = provenance({"preset": "quick", "seeds": 3}, ["python", "-m", "experiments.data_scaling"], rows())
    assert made["settings"] == {"preset": "quick", "seeds": 3}
    assert made["rows"]["count"] == 45 and made["rows"]["seed"] == [0, 1, 2]
    assert made["rows"]["wall_s"] == pytest.approx(67.5) and made["rows"]["torch"] == ["2.10"]
    assert made["versions"]["numpy"] == np.__version__ and made["versions"]["pandas"] == pd.__version__
    assert json.loads(json.dumps(made)) == made


def test_hardware_names_cores_and_memory() -> None:
    words = hardware()
    assert words.startswith(
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} x "
    )
    assert hardware("NVIDIA H200") == f"NVIDIA H200, {words}"


def test_evidence_is_complete_and_comes_back(rows, tmp_path: Path) -> None:
    table = rows(seeds=2)
    paths = write_evidence(
        tmp_path / "results",
        rows=table,
        table_md="| a |\n",
        figures={"figure": draw(curves(table, x="train_images", title="t", ylabel="y"))},
        provenance=provenance({"path": tmp_path, "seeds": np.int64(2)}, ["x"], table),
        extra={"verdicts.md": "none\n"},
    )
    names = ["figure.png", "figure.svg", "provenance.json", "rows.csv", "table.md", "verdicts.md"]
    assert sorted(path.name for path in paths) == sorted(os.listdir(tmp_path / "results")) == names
    pd.testing.assert_frame_equal(read_rows(tmp_path / "results")[["score"]], frame(table)[["score"]], check_exact=True)
    assert read_provenance(tmp_path / "results")["settings"] == {"path": str(tmp_path), "seeds": 2}


def test_bad_provenance_is_named(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text("{")
    with pytest.raises(ValueError, match="Cannot read"):
        read_provenance(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="no settings"):
        read_provenance(tmp_path / "other.json")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(OSError):
        write_all({tmp_path / "a.txt": b"new", tmp_path / "file" / "b.txt": b"new"})
    assert (tmp_path / "a.txt").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "file"]
