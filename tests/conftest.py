"""One thread a test process: several share the machine, and sums come out the same on any number of cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch
from hypothesis import settings

settings.register_profile("vitlab", deadline=None)  # how fast a machine is decides no test
settings.load_profile("vitlab")


@pytest.fixture(autouse=True)
def _the_same_weights_every_time() -> None:
    """Models that a test makes without a seed are the same in every run and order: a failure can be repeated."""
    torch.manual_seed(0)
