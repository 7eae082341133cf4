"""One thread a test process: several share the machine, and sums come out the same on any number of cores."""

import os
import time
from collections.abc import Generator

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch
from hypothesis import is_hypothesis_test, settings

settings.register_profile("vitlab", deadline=None)  # how fast a machine is decides no test
settings.load_profile("vitlab")


@pytest.fixture(autouse=True)
def _the_same_weights_every_time() -> None:
    """Models that a test makes without a seed are the same in every run and order: a failure can be repeated."""
    torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz_seconds", type=float, default=0, help="go on with each `fault` test of examples so long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`-m fault` takes minutes: what clusters need, and takes longer, runs with it where -m speaks of that too."""
    if "fault" in config.option.markexpr and "cluster" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("cluster")])
        items[:] = [item for item in items if not item.get_closest_marker("cluster")]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """With --fuzz_seconds, repeat a fuzzing test with other examples until its time is over, and say how often."""
    began, rounds = time.monotonic(), 1
    found = yield
    asked = pyfuncitem.config.getoption("fuzz_seconds")
    if asked and pyfuncitem.get_closest_marker("fault") and is_hypothesis_test(pyfuncitem.obj):
        while time.monotonic() - began < asked:
            wanted = pyfuncitem._fixtureinfo.argnames
            pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted})
            rounds += 1
        print(f"{pyfuncitem.nodeid}: {rounds} rounds of examples in {time.monotonic() - began:.0f} s")
    return found
