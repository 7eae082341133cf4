"""Ctrl-C, `kill` and worse, sent to real studies: nothing hangs, nothing is left behind."""

import os
import signal
import time

import pytest

from experiments.data_scaling import PRESETS, plan
from tests.runs.processes import SLOW_STEPS, TINY, alive, at_work, start, until, workers
from vitlab.lease import Lease
from vitlab.study.command_line import parse

LIMIT = 5.0


def gone_after(study, *numbers: int) -> float:
    """Send signals, a moment apart, and return the seconds until no process of the study is left."""
    began = time.monotonic()
    for number in numbers:
        os.kill(study.pid, number)
        until(lambda: study.poll() is not None or time.monotonic() > began + 0.5)
    until(lambda: study.poll() is not None and not alive(study.pid), 60)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGTERM], 3),
        ([signal.SIGINT, signal.SIGINT], 130),
        pytest.param([signal.SIGINT], 3, marks=pytest.mark.fault),
        pytest.param([signal.SIGTERM, signal.SIGTERM], 130, marks=pytest.mark.fault),
        pytest.param([signal.SIGINT, signal.SIGTERM, signal.SIGINT], 130, marks=pytest.mark.fault),
        pytest.param([signal.SIGKILL], -signal.SIGKILL, marks=pytest.mark.fault),
    ],
)
def test_after_any_signal_everything_is_gone_within_five_seconds_however_long_a_step_takes(tmp_path, numbers, code):
    study = start(tmp_path, *SLOW_STEPS)
    until(lambda: at_work(study, tmp_path / "runs"))
    assert len(alive(study.pid)) >= 3  # the study, the server that forks, a worker
    assert gone_after(study, *numbers) < LIMIT
    assert study.wait() == code, study.stdout.read()


def test_a_study_that_waits_for_another_ones_run_can_be_stopped(tmp_path):
    settings, _ = parse("experiments.data_scaling", "", PRESETS, TINY)
    (run,) = plan(settings)
    folder = tmp_path / "runs" / run.id
    folder.mkdir(parents=True)
    with Lease(folder / "lease").held(lambda: False):
        study = start(tmp_path, *TINY)
        said = iter(study.stdout.readline, "")
        assert any("0 done, 1 to do" in line for line in said)
        until(lambda: workers(study.pid))
        assert gone_after(study, signal.SIGTERM) < LIMIT
    assert study.wait() == 3, study.stdout.read()
    again = start(tmp_path, *TINY)
    assert again.wait(600) == 0, again.stdout.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_signal_while_workers_are_being_started_stops_the_study_like_any_other(tmp_path, number, send):
    study = start(tmp_path, *TINY)
    until(lambda: len(alive(study.pid)) >= 3)  # The server that forks the workers is there, and imports.
    began = time.monotonic()
    send(study.pid, number)
    until(lambda: study.poll() is not None and not alive(study.pid), 60)
    said = study.stdout.read()
    assert time.monotonic() - began < LIMIT, said
    assert study.returncode == 3, said
    assert "Stopped." in said and "Traceback" not in said
