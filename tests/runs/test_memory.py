"""Runs that are too large for the memory: smaller micro-batches, and the same numbers up to rounding."""

import math
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vitlab.runs.execute import images_of
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.runs.training import train
from vitlab.tasks.settings import Classify, MaskedPatch, Recipe

# SGD, since Adam makes whole steps of the rounding of gradients that are zero, such as those of the keys' biases.
RECIPE = Recipe(steps=6, batch_size=16, evaluations=2, optimizer="sgd", lr=0.05, warmup_steps=0)
RUN = Run("ViT-Pico/4", Data("digits", train_size=50), RECIPE)
SILENT = Listener(lambda event: None, lambda: False)


@pytest.mark.parametrize("micro", [1, 5, 16])
@pytest.mark.parametrize(
    "run",
    [
        RUN,
        replace(RUN, model="ResNet-Pico", task=Classify(loss="sigmoid")),
        replace(RUN, task=MaskedPatch()),
        replace(RUN, recipe=replace(RECIPE, augment=("mixup",), precision="bf16")),
    ],
    ids=["ViT", "ResNet", "masked", "bf16"],
)
def test_micro_batches_give_the_same_training_up_to_rounding(tmp_path, run, micro):
    weights = []
    for size in (None, micro):
        place = Place(tmp_path / str(size), tmp_path / "cache")
        with place.store.open(run, SILENT.stop):
            train(run, images_of(run, place), place.store, SILENT, "cpu", size)
            weights.append(torch.load(place.store.path(run, "last.ckpt"), weights_only=True)["state_dict"])
    rounding = 3e-2 if run.recipe.precision == "bf16" else 1e-4
    for name, whole in weights[0].items():
        if whole.is_floating_point():
            change = (weights[1][name] - whole).norm() / max(1e-2, float(whole.norm()))
            assert change <= (0 if micro == 16 else rounding), (name, float(change))


def test_a_run_too_large_for_the_memory_goes_on_in_micro_batches(tmp_path, caplog):
    """The worker gets 600 MB more than it has; the whole batch needs several times that."""
    run = Run("ViT-Nano/2", Data("digits", image_size=32, train_size=256), replace(RECIPE, steps=1, batch_size=256))

    def limit(event):
        if event["kind"] == "start":
            process = launcher.engine.workers[0].process.pid
            most = int(Path(f"/proc/{process}/statm").read_text().split()[0]) * resource.getpagesize() + 600 * 2**20
            resource.prlimit(process, resource.RLIMIT_AS, (most, most))

    with Launcher(LocalEngine(1)) as launcher:
        (outcome,) = launcher.launch([run], Place(tmp_path, tmp_path / "cache"), limit, math.inf)
    assert outcome.status == "finished", outcome.reason
    assert outcome.rows[0]["micro_batch"] in (1, 4, 16, 64) and "images at a time" in caplog.text
