"""A Ray cluster of two nodes on this machine: workers and nodes are killed, and the rows are those of one machine."""

import math
import os
import signal
from pathlib import Path

import pytest

from tests.runs.processes import start, until
from vitlab.runs.engine import Resources
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.runs.stored import read_rows
from vitlab.tasks.settings import Recipe

pytest.importorskip("ray", reason="needs Ray: pip install 'vitlab[ray]'")
from ray.cluster_utils import Cluster

from vitlab.runs.on_ray import RayEngine

pytestmark = pytest.mark.cluster

RUN = Run("ViT-Pico/4", Data("digits", train_size=50), Recipe(steps=12, batch_size=16, evaluations=6))
SMALL = (
    "--models ViT ResNet --train_sizes 50 --seeds 3 --steps 60 --evaluations 10 --wandb off --cpus_per_run 1".split()
)
UNTIMED = ["wall_s", "images_per_s", "date", "commit"]


@pytest.fixture
def cluster(monkeypatch):
    """A head without CPUs, and two nodes of one CPU each."""
    monkeypatch.setenv("RAY_worker_niceness", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    yield cluster
    cluster.shutdown()


def rows_of(folder):
    return read_rows(folder / "results" / "data_scaling" / "digits").drop(columns=UNTIMED)


def finished(folder):
    return [path.parent.name for path in (folder / "runs").glob("*/rows.json")]


def workers_at_work(folder):
    """The processes that hold the leases of runs."""
    owners = [path.read_text() for path in (folder / "runs").glob("*/lease.*")]
    return [int(owner.split()[-2]) for owner in owners if len(owner.split()) > 2]


@pytest.mark.parametrize(
    "words",
    [SMALL, pytest.param(["--wandb", "off", "--cpus_per_run", "1"], marks=pytest.mark.fault)],
    ids=["small", "quick"],
)
def test_a_worker_and_a_node_that_are_killed_cost_no_row(tmp_path, cluster, words):
    here, there = tmp_path / "local", tmp_path / "ray"
    assert start(here, *words, "--jobs", "2").wait(3600) == 0
    study = start(there, *words, "--launcher", "ray", "--ray_address", cluster.address)
    until(lambda: workers_at_work(there))
    os.kill(workers_at_work(there)[0], signal.SIGKILL)
    until(lambda: finished(there))
    cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    said = study.communicate(timeout=3600)[0]
    assert study.returncode == 0, said
    assert "it is tried once more" in said
    assert rows_of(there).equals(rows_of(here))
    assert sorted(finished(there)) == sorted(finished(here))


def test_one_training_on_two_nodes(tmp_path, cluster):
    scores = []
    for engine in (LocalEngine(1), RayEngine(Resources(1, num_nodes=2), address=cluster.address)):
        folder = tmp_path / type(engine).__name__
        with Launcher(engine) as launcher:
            (outcome,) = launcher.launch([RUN], Place(folder, tmp_path / "cache"), lambda event: None, math.inf)
        assert outcome.status == "finished", outcome.reason
        scores.append([(row["split"], row["score"]) for row in outcome.rows])
    assert scores[0] == scores[1] and outcome.rows[0]["processes"] == 2


def test_a_study_in_a_folder_that_a_node_lacks_is_said(tmp_path, cluster, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    engine = RayEngine(Resources(1), address=cluster.address)
    Path(tmp_path / "gone").rmdir()
    with Launcher(engine) as launcher, pytest.raises(ValueError, match="a folder that all machines share"):
        list(launcher.launch([RUN], Place(tmp_path / "runs", tmp_path / "cache"), lambda event: None, math.inf))
