"""Workers that are killed, disks that are full, losses that explode: what each costs, with real processes."""

import math
import os
import resource
import signal
from dataclasses import replace

import pytest

from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Recipe

RUN = Run("ViT-Pico/4", Data("digits", train_size=50), Recipe(steps=12, batch_size=16, evaluations=3))
UNTIMED = {"wall_s", "images_per_s", "date"}


def numbers(rows):
    return [{name: value for name, value in row.items() if name not in UNTIMED} for row in rows]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "runs", tmp_path / "cache")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of RUN and of its seed 1, which nothing disturbed, by run."""
    folder = tmp_path_factory.mktemp("rows")
    with Launcher(LocalEngine(1)) as launcher:
        done = launcher.launch([RUN, replace(RUN, seed=1)], Place(folder, folder / "cache"), ignore, math.inf)
        return {outcome.run: numbers(outcome.rows) for outcome in done}


def ignore(event):
    pass


class Killer:
    """Kills the worker at `run` after its round `round`, `times` times."""

    def __init__(self, launcher, run, times, round=1):
        self.launcher, self.run, self.times, self.round, self.seen = launcher, run, times, round, 0

    def __call__(self, event):
        if event["run"] == self.run.id and event["kind"] == "round":
            self.seen += 1
            if self.times and self.seen >= self.round:
                self.times -= 1
                os.kill(self.launcher.engine.workers[0].process.pid, signal.SIGKILL)


def test_a_killed_worker_costs_one_try_of_one_run(place, rows, caplog):
    other = replace(RUN, seed=1)
    with Launcher(LocalEngine(1)) as launcher:
        outcomes = list(launcher.launch([RUN, other], place, Killer(launcher, RUN, 1), math.inf))
    assert {outcome.run: numbers(outcome.rows) for outcome in outcomes} == rows
    assert [outcome.run for outcome in outcomes] == [other.id, RUN.id]  # tried again last, by itself
    assert "tried once more" in caplog.text and RUN.id in caplog.text


def test_a_run_whose_worker_is_killed_twice_is_marked_and_the_next_go_on(place, rows, caplog):
    other = replace(RUN, seed=1)
    with Launcher(LocalEngine(1)) as launcher:
        outcomes = {o.run: o for o in launcher.launch([RUN, other], place, Killer(launcher, RUN, 2), math.inf)}
    assert (outcomes[RUN.id].status, outcomes[RUN.id].kind) == ("failed", "killed")
    assert numbers(outcomes[other.id].rows) == rows[other.id]
    (marked,) = place.store.rows(RUN)
    assert marked["status"] == "failed" and marked["failure"] == "killed" and "killed 2 times" in marked["reason"]
    with Launcher(LocalEngine(1)) as launcher:  # the next start goes on from the checkpoint
        (outcome,) = launcher.launch([RUN], place, ignore, math.inf)
    assert numbers(outcome.rows) == rows[RUN.id] and not place.store.path(RUN, "failed.json").exists()


def test_a_loss_that_explodes_is_certain_and_starts_afresh(place):
    bad = replace(RUN, recipe=replace(RUN.recipe, lr=1e30, grad_clip=0.0))
    with Launcher(LocalEngine(1)) as launcher:
        (outcome,) = launcher.launch([bad], place, ignore, math.inf)
    assert outcome.kind == "certain" and "step" in outcome.reason
    assert not list(place.store.path(bad).glob("*.ckpt*"))


def test_a_disk_that_fills_is_one_error_that_loses_nothing(place, rows):
    """The worker may write no file above 100 kB from its second round on: that checkpoint may not fit, or the next."""

    def fill(event):
        if event["kind"] == "round" and event["step"] == 8:
            resource.prlimit(launcher.engine.workers[0].process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))

    with Launcher(LocalEngine(1)) as launcher, pytest.raises(OSError, match="File too large"):
        list(launcher.launch([RUN, replace(RUN, seed=1)], place, fill, math.inf))
    assert place.store.checkpoint(RUN) and not place.store.path(replace(RUN, seed=1)).exists()
    assert not list(place.store.path(RUN).glob(".*"))
    with Launcher(LocalEngine(1)) as launcher:
        outcomes = launcher.launch([RUN, replace(RUN, seed=1)], place, ignore, math.inf)
        assert {outcome.run: numbers(outcome.rows) for outcome in outcomes} == rows


def test_a_store_that_cannot_be_written_is_said_before_anything_is_begun(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with Launcher(LocalEngine(1)) as launcher, pytest.raises(ValueError, match="--runs"):
        list(launcher.launch([RUN], Place(tmp_path / "file", tmp_path / "cache"), ignore, math.inf))
    assert not launcher.engine.workers
