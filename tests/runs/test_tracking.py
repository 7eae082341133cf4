"""Weights & Biases beside a study: what it is told, and that it holds nothing up when it hangs, fails or is away."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.runs.processes import TINY, alive, start, told, until
from vitlab.claims.claim import Claim
from vitlab.claims.interval import mean_interval
from vitlab.claims.rule import decide, judge
from vitlab.files import write_all
from vitlab.gallery.grids import image_grid
from vitlab.report.evidence import Evidence, Table
from vitlab.runs.run import Data, Run
from vitlab.runs.signals import ending
from vitlab.runs.tracking import Tracker, config
from vitlab.tasks.settings import FewShot, Recipe

RUN = Run("ViT-Pico/4", Data("digits", train_size=50), Recipe(steps=2))
ONLINE = [word for word in TINY if word not in ("--wandb", "off")] + ["--wandb", "online"]


def children(process: int) -> list[int]:
    found = [process]
    for number in found:
        for path in Path(f"/proc/{number}/task").glob("*/children"):
            found += map(int, told(path).split())
    return found[1:]


def services(process: int) -> list[int]:
    """W&B's service among what a process started."""
    names = {number: told(Path(f"/proc/{number}/cmdline")) for number in children(process)}
    return [number for number, name in names.items() if "wandb-core" in name]


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "my project")
    made = Tracker("data_scaling", "offline", tmp_path)
    yield made
    made.close()


def test_a_run_is_mirrored_with_all_of_its_settings(tracker, tmp_path):
    tracker.start(RUN, {})
    for step in (1, 2):
        tracker.round(RUN, {"step": step, "train_loss": 1 / step, "run": RUN.id})
    tracker.finish(RUN, [{"run": RUN.id, "score": 0.5}], "finished")
    tracker.close()
    assert tracker.mode == "off"
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    assert folder.name.endswith(RUN.id)
    content = (folder / f"run-{RUN.id}.wandb").read_bytes()
    for word in ("my project", "data_scaling digits", "classify", "score", "train_loss", "subset_seed"):
        assert word.encode() in content, word


def test_the_command_that_sends_finds_the_runs_of_any_folder(tmp_path):
    folder = tmp_path / "my runs' $HOME"
    tracker = Tracker("data_scaling", "offline", folder)
    tracker.start(RUN, {})
    command = tracker.sync
    tracker.close()
    found = subprocess.run(command.replace("wandb sync", "ls -d"), shell=True, capture_output=True, text=True)
    assert found.stdout.splitlines() == [str(path) for path in folder.glob("wandb/offline-run-*")] != []


def test_curves_are_of_what_was_measured(tracker, monkeypatch):
    told = []
    monkeypatch.setattr(tracker, "_tell", lambda *_, **about: told.append(about))
    tracker.round(RUN, {"kind": "round", "run": RUN.id, "step": 2, "share": 0.5, "seconds": 3.0, "train_loss": 0.1})
    assert told == [{"values": {"seconds": 3.0, "train_loss": 0.1}, "step": 2}]


def test_evidence_is_tables_of_numbers_pictures_verdicts_and_files(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr("vitlab.runs.tracking.WAIT", 60.0)
    (verdict,) = decide([judge(Claim("data.few", "4.3", "ahead"), {0: 0.1, 1: 0.12}, data="Digits", subject="ViT")])
    frame = pd.DataFrame({"accuracy": [mean_interval([0.5, 0.6])]}, index=pd.Index(["ViT"], name="m"))
    place = tmp_path / "results" / "digits"
    rows = "run,status,score,seed\nr1,finished,0.5,0\nr2,failed,0.25,1\n"
    found = Evidence((verdict,), (Table("means", frame),), summary="So it is.").dumps()
    write_all({place / "evidence.json": found.encode(), place / "rows.csv": rows.encode()})
    image_grid([[np.zeros((4, 4), np.uint8)]], title="T").savefig(place / "figure.png")
    tracker.evidence(place, ["digits"])
    assert tracker.sync == f"wandb sync {tmp_path}/wandb/offline-run-*"
    tracker.close()
    assert tracker.sync == ""
    (folder,) = tmp_path.glob("wandb/offline-run-*-data_scaling-digits")
    kept = {path.name.split("_")[0]: json.loads(path.read_text()) for path in folder.rglob("*.table.json")}
    assert kept["rows"]["data"] == [["r1", "finished", 0.5, 0], ["r2", "failed", 0.25, 1]]
    assert kept["means"]["columns"][:3] == ["m", "accuracy", "accuracy low"] and kept["means"]["data"][0][1] == 0.55
    assert list(folder.rglob("media/images/figure_*.png"))
    content = next(folder.glob("*.wandb")).read_bytes()
    for word in ("So it is.", "data.few Digits ViT", "adjusted_p", "rows.csv", "my project", "data_scaling digits"):
        assert word.encode() in content, word


def test_names_and_tags_that_wandb_refuses_are_rewritten(tracker, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("vitlab.runs.tracking.WAIT", 60.0)
    many = f"digits@{','.join(map(str, range(30)))}"
    run = Run(RUN.model, Data(many), RUN.recipe)
    tracker.start(run, {})
    tracker.finish(run, [{"run": run.id, "score": 0.5}], "finished")
    place = tmp_path / "results" / "blätter+b@1,2"
    write_all({place / "evidence.json": Evidence((), summary="So it is.").dumps().encode()})
    tracker.evidence(place, [many])
    tracker.close()
    assert not caplog.records
    (folder,) = tmp_path.glob("wandb/offline-run-*-data_scaling-bl_tter_b_1_2")
    content = next(folder.glob("*.wandb")).read_bytes()
    for word in ("data_scaling-bl_tter_b_1_2", "data_scaling/blätter+b@1,2", "evidence.json"):
        assert word.encode() in content, word


def test_the_config_is_the_whole_run():
    found = config(Run("ViT-Pico/4", Data("digits"), task=FewShot(), init=RUN, options=(("pooling", "gap"),)))
    assert found["recipe"]["lr"] == 1e-3 and found["data"]["subset_seed"] == 0 and found["seed"] == 0
    assert found["task"]["kind"] == "few_shot" and found["task"]["draws"] == 3
    assert found["init"]["run"] == RUN.id and found["init"]["recipe"]["steps"] == 2
    assert json.loads(json.dumps(found))["options"] == {"pooling": "gap"}


def test_a_frozen_service_is_waited_for_no_longer_than_said(tracker, caplog, monkeypatch):
    monkeypatch.setattr("vitlab.runs.tracking.WAIT", 2.0)
    tracker.start(RUN, {})
    mirror = tracker._process.pid
    frozen = until(lambda: services(mirror))
    for number in [*frozen, mirror]:
        os.kill(number, signal.SIGSTOP)
    began = time.monotonic()
    for step in range(20_000):  # far more than a pipe holds
        tracker.round(RUN, {"step": step, "train_loss": 1.0})
    assert time.monotonic() - began < 2
    tracker.close()
    assert time.monotonic() - began < 8
    assert len(caplog.records) == 1 and "does not answer" in caplog.text
    until(lambda: not any(Path(f"/proc/{number}").exists() for number in frozen), 5)


def test_what_cannot_be_mirrored_is_one_warning_and_no_error(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    tracker = Tracker("data_scaling", "offline", tmp_path / "file")
    tracker.start(RUN, {})
    until(lambda: tracker.mode == "off")
    tracker.round(RUN, {"step": 1, "train_loss": 1.0})
    tracker.close()
    assert len(caplog.records) == 1 and "W&B failed" in caplog.text


@pytest.mark.fault
def test_going_online_without_a_network_costs_nothing(tmp_path):
    """Nobody answers at the address: W&B is off after ten seconds, and the study does not wait for that."""
    environment = {**os.environ, "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://10.255.255.1"}
    environment.pop("WANDB_MODE", None)
    study = start(tmp_path, *ONLINE, env=environment)
    said, _ = study.communicate(timeout=600)
    assert study.returncode == 0 and "W&B" in said


@pytest.mark.fault
def test_a_signal_ends_a_study_whose_service_is_frozen(tmp_path):
    words = [word if word != "12" else "4000" for word in TINY]
    words[words.index("off")] = "offline"
    study = start(tmp_path, *words)
    (frozen, *_) = until(lambda: services(study.pid))
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    os.kill(study.pid, signal.SIGTERM)
    until(lambda: study.poll() is not None and not alive(study.pid) and not Path(f"/proc/{frozen}").exists(), 30)
    assert time.monotonic() - began < 5 and study.returncode == 3


def test_a_mirror_whose_study_is_gone_goes_too(tmp_path):
    code = (
        "import os, sys, pathlib\nfrom vitlab.runs.tracking import Tracker\nfrom tests.runs.test_tracking import RUN\n"
        "t = Tracker('x', 'offline', pathlib.Path(sys.argv[1]))\nt.start(RUN, {})\nprint(t._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True).stdout
    until(lambda: not Path(f"/proc/{out.strip()}").exists(), 20)
    assert not ending.asked
