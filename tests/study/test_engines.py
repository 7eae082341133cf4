"""What the command line's options mean for the machinery: pure arithmetic, and one message for what cannot be."""

from dataclasses import replace

import pytest

from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Prepared
from vitlab.study import engines
from vitlab.study.command_line import Execution

CPU, FOUR_CARDS = Prepared("cpu", {}), Prepared("cuda", {}, ("0", "1", "2", "3"))


@pytest.mark.parametrize(
    ("how", "known", "runs", "jobs", "threads"),
    [
        ({}, CPU, 100, 8, 1),
        ({}, CPU, 3, 3, 2),
        ({"jobs": "2"}, CPU, 100, 2, 4),
        ({"jobs": "2", "cpus_per_run": 1}, CPU, 100, 2, 1),
        ({"devices": 2}, CPU, 100, 4, 1),
        ({"devices": 16}, CPU, 100, 1, 1),
        ({}, FOUR_CARDS, 100, 4, 2),
        ({}, FOUR_CARDS, 1, 1, 8),
        ({"devices": 4}, FOUR_CARDS, 100, 1, 2),
    ],
)
def test_a_machine_is_filled_and_its_cores_are_shared(how, known, runs, jobs, threads):
    made = engines.machinery(Execution(**how), known, runs, 8)
    engine = made.engine()
    assert isinstance(engine, LocalEngine)
    assert (made.jobs, engine.jobs, engine.resources.cpus) == (jobs, jobs, threads)
    assert engine.resources.processes == how.get("devices", 1) and engine.cards == known.cards


def test_a_training_on_more_gpus_than_there_are_is_refused_and_may_be_planned():
    asked, one = Execution(devices=2), Prepared("cuda", {}, ("0",))
    with pytest.raises(ValueError, match="--devices is 2, and the GPUs here are 1: .* Give at most 1, or --device"):
        engines.machinery(asked, one, 9, 8)
    assert engines.machinery(replace(asked, dry_run=True), one, 9, 8).resources.processes == 2
    assert engines.machinery(asked, CPU, 9, 8).resources.processes == 2


def test_a_cluster_computes_where_its_gpus_are_and_not_where_the_study_is():
    for launcher in ("ray", "slurm"):
        assert engines.machinery(Execution(launcher=launcher, gpus_per_run=0.5), CPU, 9, 8).device == "cuda"
        assert engines.machinery(Execution(launcher=launcher), FOUR_CARDS, 9, 8).device == "cpu"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"launcher": "rai"}, "Unknown --launcher 'rai'; allowed: local, ray, slurm. Did you mean 'ray'"),
        ({"ray_address": "here:1"}, "--ray_address is for --launcher ray, and this is local"),
        ({"gpus_per_run": 1.0}, "--gpus_per_run is for --launcher ray or slurm"),
        ({"launcher": "ray", "slurm": {"a": "b"}}, "--slurm is for --launcher slurm, and this is ray"),
        ({"jobs": "many"}, "--jobs is 'many'"),
        ({"jobs": "0"}, "--jobs is '0'"),
        ({"devices": 0}, "--devices is 0"),
        ({"num_nodes": 2}, "--num_nodes above 1 needs --launcher ray or slurm"),
        ({"launcher": "slurm", "device": "cuda"}, "--device cuda on a cluster needs --gpus_per_run"),
        ({"launcher": "slurm", "gpus_per_run": 0.5}, "--gpus_per_run is 0.5; SLURM gives whole ones"),
        ({"launcher": "slurm", "cpus_per_run": -1}, "numbers from 0 on"),
    ],
)
def test_options_that_cannot_be_are_said_at_once(how, message):
    with pytest.raises(ValueError, match=message):
        engines.check(Execution(**how))
