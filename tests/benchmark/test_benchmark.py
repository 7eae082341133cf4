"""What is measured is of the right size, and a measurement leaves nothing behind."""

import importlib
import os

import pytest
import torch

from vitlab.benchmark.isolation import alone, busy_cores
from vitlab.benchmark.models import Case, measured, peak_memory

CASE = Case("ViT-Pico/4", 32, "fp32", "training", 64, "cpu", 1)


def fill(megabytes: int) -> int:
    return int(torch.ones(megabytes, 2**18).sum())


def refuse(word: str) -> None:
    raise ValueError(f"no {word}")


def fetch(module: str) -> None:
    importlib.import_module(module)


def vanish() -> None:
    os._exit(9)


def test_a_function_alone_returns_fails_or_is_named_when_killed():
    assert alone(fill, 3) == 3 * 2**18
    with pytest.raises(ValueError, match="no way"):
        alone(refuse, "way")
    with pytest.raises(ValueError, match="ModuleNotFoundError: No module named 'no_such_module'"):
        alone(fetch, "no_such_module")
    with pytest.raises(ValueError, match="was killed"):
        alone(vanish)


def test_memory_per_image_is_that_of_what_training_keeps():
    """A ViT keeps at least the outputs of its linear maps and its attention for the backward pass."""
    found = measured(CASE, seconds=0.01, memory=2.0**30)
    tokens, width, layers, heads = 65, 64, 2, 4
    kept = 4 * layers * (tokens * width * (3 + 1 + 4 + 1 + 2) + heads * tokens**2)  # bytes
    assert kept < found["memory_per_image"] < 6 * kept
    room = 2.0**30 - 16 * found["parameters"]
    assert found["largest_batch"] == int(room / found["memory_per_image"])


def test_inference_takes_less_than_training():
    infer = Case(**{**vars(CASE), "mode": "inference"})
    small, large = (alone(peak_memory, case, 256) for case in (infer, CASE))
    assert small < large


def test_other_processes_are_counted_in_cores():
    busy = busy_cores(0.05)
    assert busy is None or 0 <= busy <= (os.cpu_count() or 1) + 1
