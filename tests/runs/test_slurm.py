"""Runs as jobs of submitit, with its executors for this machine alone: the rows of any other engine."""

import math
import os
import signal
from pathlib import Path

import pytest

from vitlab.runs.engine import Resources
from vitlab.runs.execute import execute
from vitlab.runs.launch import Launcher
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import FewShot, Recipe

pytest.importorskip("submitit", reason="needs submitit: pip install 'vitlab[slurm]'")
from vitlab.runs.on_slurm import SlurmEngine

# Much longer than a look at what jobs tell takes, on any machine: what is done at the second round comes in time.
RUN = Run("ViT-Pico/4", Data("digits", train_size=50), Recipe(steps=600, batch_size=16, evaluations=300))
UNTIMED = {"wall_s", "images_per_s", "date"}


def numbers(rows):
    return [{name: value for name, value in row.items() if name not in UNTIMED} for row in rows]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of RUN in this process."""
    folder = tmp_path_factory.mktemp("here")
    silent = Listener(lambda event: None, lambda: False)
    return numbers(execute(RUN, Place(folder, folder / "cache"), silent).rows)


def tasks():
    """The numbers of the processes that are tasks of jobs of this process."""
    found = []
    for number in children(os.getpid()):
        found += [child for child in children(number) if b"submitit.core._submit" in command(child)]
    return found


def children(process):
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def command(process):
    return Path(f"/proc/{process}/cmdline").read_bytes()


def launched(folder, runs, cluster, listen=lambda engine, event: None):
    """The outcomes of runs as jobs, what they told, and what is left of the jobs' messages."""
    told = []

    def hear(event):
        told.append((event["run"], event["kind"], event.get("step")))
        listen(engine, event)

    engine = SlurmEngine(Resources(1), folder / "slurm", jobs=2, options={"cluster": cluster, "timeout_min": "10"})
    with Launcher(engine) as launcher:
        outcomes = list(launcher.launch(runs, Place(folder / "runs", folder / "cache"), hear, math.inf))
    assert not [*(folder / "slurm").glob("*.told"), *(folder / "slurm").glob("*.stop")]
    return outcomes, told


def test_a_job_in_this_process_gives_the_same_rows_and_tells_the_same(tmp_path, rows):
    (outcome,), told = launched(tmp_path, [RUN], "debug")
    assert numbers(outcome.rows) == rows
    assert told == [(RUN.id, "start", None)] + [(RUN.id, "round", 2 * i) for i in range(1, 301)]


@pytest.mark.cluster
def test_a_job_that_is_preempted_is_queued_again_and_goes_on_from_its_checkpoint(tmp_path, rows, caplog):
    def preempt(engine, event):
        if event["kind"] == "round" and event["step"] >= 4 and not preempted:
            preempted.extend(tasks())
            os.kill(preempted[0], signal.SIGUSR2)  # as SLURM does

    preempted = []
    (outcome,), told = launched(tmp_path, [RUN], "local", preempt)
    assert len(preempted) == 1 and numbers(outcome.rows) == rows
    assert "killed" not in caplog.text  # submitit did it, and the launcher knows nothing of it
    steps = [step for _, kind, step in told if kind == "round"]
    assert steps[-1] == 600 and len(told) - len(steps) == 2  # begun twice, and the second time
    assert steps.count(2) == 1  # not from the start


@pytest.mark.cluster
def test_a_job_that_is_killed_is_tried_again_and_what_starts_from_it_waits(tmp_path, rows, caplog):
    def kill(engine, event):
        if event["kind"] == "round" and event["step"] >= 4 and not killed:
            killed.extend(tasks())
            os.kill(killed[0], signal.SIGKILL)

    killed = []
    probe = Run(RUN.model, RUN.data, task=FewShot(shots=(1,), draws=1, max_draws=1), init=RUN)
    outcomes, _ = launched(tmp_path, [probe], "local", kill)
    assert killed and "tried once more" in caplog.text
    assert [outcome.run for outcome in outcomes] == [RUN.id, probe.id]
    assert numbers(outcomes[0].rows) == rows and outcomes[1].status == "finished"


@pytest.mark.cluster
def test_a_job_of_two_tasks_trains_together(tmp_path, rows):
    engine = SlurmEngine(Resources(1, devices=2), tmp_path / "slurm", jobs=1, options={"cluster": "local"})
    with Launcher(engine) as launcher:
        place = Place(tmp_path / "runs", tmp_path / "cache")
        (outcome,) = launcher.launch([RUN], place, lambda event: None, math.inf)
    assert [row["score"] for row in outcome.rows] == [row["score"] for row in rows]
    assert {row["processes"] for row in outcome.rows} == {2}


@pytest.mark.cluster
def test_jobs_that_are_asked_to_stop_leave_their_runs_at_a_checkpoint(tmp_path):
    (outcome,), told = launched(
        tmp_path, [RUN], "local", lambda engine, event: engine.stop() if event["kind"] == "round" else None
    )
    store = Place(tmp_path / "runs", tmp_path / "cache").store
    assert outcome.status == "stopped" and len(told) < 300 and store.checkpoint(RUN) and not tasks()


def test_options_that_submitit_does_not_know_are_said(tmp_path):
    with pytest.raises(ValueError, match="slurm_partitoin"):
        SlurmEngine(Resources(), tmp_path, jobs=1, options={"cluster": "local", "slurm_partitoin": "gpu"})
    with pytest.raises(ValueError, match="no_such"):
        SlurmEngine(Resources(), tmp_path, jobs=1, options={"cluster": "no_such"})
