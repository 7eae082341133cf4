"""The engine of one machine, by itself: which worker takes which accelerator, and what a call comes to."""

import os

import pytest

from vitlab.runs.engine import Resources
from vitlab.runs.inside import inside
from vitlab.runs.local import LocalEngine


@pytest.fixture
def engine(request):
    engine = LocalEngine(*request.param)
    yield engine
    engine.close()


def ended(engine, count):
    """How the next `count` calls end, by key."""
    found = {}
    while len(found) < count:
        found |= {key: (kind, value) for key, kind, value in engine.events(60) if kind in ("done", "raised", "died")}
    return found


def rank():
    return inside().team.rank


@pytest.mark.parametrize("engine", [(3, 1, ("4", "7"))], indirect=True)
def test_workers_spread_over_the_accelerators(engine):
    for key in "abc":
        engine.submit(key, os.getenv, "CUDA_VISIBLE_DEVICES")
    assert engine.room() == 0
    assert sorted(value for _, value in ended(engine, 3).values()) == ["4", "4", "7"]
    assert engine.room() == 3


@pytest.mark.parametrize("engine", [(1, Resources(1, devices=2), ("0", "1"))], indirect=True)
def test_a_team_takes_an_accelerator_each_rank_0_answers_and_the_team_ends_with_its_call(engine):
    engine.submit("team", rank, processes=2)
    assert sorted(worker.card for worker in engine.workers) == ["0", "1"]
    assert ended(engine, 1) == {"team": ("done", 0)}
    assert engine.workers == []


@pytest.mark.parametrize("engine", [(1,)], indirect=True)
def test_threads_of_a_worker_sleep_soon_where_they_wait_unless_its_user_says_otherwise(engine):
    engine.submit("spins", os.getenv, "GOMP_SPINCOUNT")  # of the server that loaded OpenMP, as a fork has it
    assert ended(engine, 1) == {"spins": ("done", os.environ["GOMP_SPINCOUNT"])}


@pytest.mark.parametrize("engine", [(1,)], indirect=True)
def test_an_exception_comes_back_and_the_worker_stays_until_it_is_dropped(engine):
    engine.submit("bad", int, "no number")
    ((kind, error),) = ended(engine, 1).values()
    assert kind == "raised" and isinstance(error, ValueError) and "no number" in str(error)
    (worker,) = engine.workers
    engine.submit("good", int, "3")
    assert ended(engine, 1) == {"good": ("done", 3)} and engine.workers == [worker]
    engine.drop("good")
    assert engine.workers == [] and not worker.process.is_alive()
