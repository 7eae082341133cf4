import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vitlab.files import write_all
from vitlab.machine import hardware
from vitlab.report.provenance import portable, provenance, read_provenance


def test_provenance_says_how_to_make_it_again(rows) -> None:
    made = provenance({"preset": "quick", "seeds": 3}, ["python", "-m", "experiments.data_scaling"], rows())
    assert made["settings"] == {"preset": "quick", "seeds": 3}
    assert made["rows"]["count"] == 45 and made["rows"]["seed"] == [0, 1, 2]
    assert made["rows"]["wall_s"] == pytest.approx(67.5) and made["rows"]["torch"] == ["2.10"]
    assert made["versions"]["numpy"] == np.__version__ and made["versions"]["pandas"] == pd.__version__
    assert json.loads(json.dumps(made)) == made


def test_a_command_keeps_what_was_asked_for_and_not_where_one_machine_has_its_files() -> None:
    words = [
        "python",
        "--seeds",
        "5",
        "--runs",
        "/data/my runs",
        "--results=/tmp/r",
        "--time_budget",
        "9m",
        "--jobs",
        "1",
    ]
    assert portable(words) == ["python", "--seeds", "5", "--jobs", "1"]
    assert portable(["python", "--time-budget", "9m", "--time-budget=9m", "--jobs", "1"]) == ["python", "--jobs", "1"]
    asked = ["python", "--results", "results", "--runs=runs", "--data", "/images", "--name", "a b"]
    assert portable(asked) == asked


def test_hardware_names_cores_and_memory() -> None:
    words = hardware()
    assert words.startswith(
        f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} x "
    )
    assert hardware("NVIDIA H200") == f"NVIDIA H200, {words}"


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
