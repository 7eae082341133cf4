"""Faults of a cluster: the head of Ray restarted in the middle of a study, and a shared folder that goes away."""

import os
import time

import pytest

from tests.runs.processes import start, until

pytest.importorskip("ray", reason="needs Ray: pip install 'vitlab[ray]'")
from ray.cluster_utils import Cluster

from tests.runs.test_ray import SMALL, rows_of

pytestmark = [pytest.mark.cluster, pytest.mark.fault]

OUT_OF_REACH = "out of reach; it is waited for"


def finished(folder):
    """The rows of finished runs, and when they were written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/rows.json")}


def begun(folder):
    """The runs that have a checkpoint."""
    return {path.parent.name for path in (folder / "runs").glob("*/last.ckpt")}


def ray_of_two_nodes():
    """A head without CPUs, and two nodes of one CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    return cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The rows of the local launcher."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder, *SMALL, "--jobs", "2").wait(3600) == 0
    return rows_of(folder)


@pytest.fixture
def clusters(monkeypatch):
    """Starts clusters, and ends them."""
    monkeypatch.setenv("RAY_worker_niceness", "0")
    started = []

    def begin():
        started.append(ray_of_two_nodes())
        return started[-1]

    yield begin
    for cluster in started:
        cluster.shutdown()


def test_the_head_of_ray_restarted_costs_no_row(tmp_path, clusters, undisturbed):
    """Ray ends a program whose head was gone for a minute, and so the study; the same command goes on."""
    first = clusters()
    study = start(tmp_path, *SMALL, "--launcher", "ray", "--ray_address", first.address)
    until(lambda: finished(tmp_path) and begun(tmp_path))
    first.remove_node(first.head_node, allow_graceful=False)
    said = study.communicate(timeout=600)[0]
    assert study.returncode != 0 and "Failed to connect to GCS" in said, said
    first.shutdown()
    before = finished(tmp_path)
    assert 0 < len(before) < 6

    study = start(tmp_path, *SMALL, "--launcher", "ray", "--ray_address", clusters().address)
    said = study.communicate(timeout=3600)[0]
    assert study.returncode == 0, said
    after = finished(tmp_path)
    assert len(after) == 6 and before.items() <= after.items()  # What was finished was not done again.
    assert rows_of(tmp_path).equals(undisturbed)


@pytest.mark.parametrize("launcher", ["local", "ray"])
def test_a_store_that_goes_away_for_a_while_is_waited_for(tmp_path, clusters, undisturbed, launcher):
    words = ["--jobs", "2"] if launcher == "local" else ["--launcher", "ray", "--ray_address", clusters().address]
    store, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    study = start(tmp_path, *SMALL, *words)
    until(lambda: len(begun(tmp_path)) == 2)
    os.rename(store, elsewhere)
    line = until(study.stdout.readline)
    while OUT_OF_REACH not in line:
        line = until(study.stdout.readline)
    until(lambda: time.time_ns() - newest(elsewhere) > 5 * 10**9)  # Whoever wrote still has to wait now.
    assert not store.exists()
    leases = {path.name for path in elsewhere.glob("*/lease.*")}
    os.rename(elsewhere, store)
    said = study.communicate(timeout=3600)[0]
    assert study.returncode == 0, said
    assert len(finished(tmp_path)) == 6 and leases == {"lease.1"}
    assert {path.name for path in store.glob("*/lease.*")} == {"lease.1"}  # Each run was one process's.
    assert rows_of(tmp_path).equals(undisturbed)


def newest(folder):
    """When anything in a folder was last written."""
    return max(path.stat().st_mtime_ns for path in folder.rglob("*"))
