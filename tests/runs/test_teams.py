"""One training on several processes, with gloo: the numbers of one process, and nothing written twice."""

import math
import os
import signal
from dataclasses import replace

import pytest
import torch

from vitlab.data.augment import normalise
from vitlab.data.batches import Batch
from vitlab.runs.build_model import build_model
from vitlab.runs.engine import Resources
from vitlab.runs.execute import images_of
from vitlab.runs.launch import Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.runs.training import _module
from vitlab.tasks.settings import Classify, MaskedPatch, Recipe

# 15 images a batch, 115 to validate and 145 to test: two processes never share them evenly.
RECIPE = Recipe(steps=50, batch_size=15, evaluations=10)
RUN = Run("ViT-Pico/4", Data("digits", train_size=60, classes=(0, 1, 2, 3)), RECIPE)
MASKED = replace(RUN, task=MaskedPatch())
SHORT = replace(RUN, recipe=replace(RECIPE, steps=12, evaluations=6))
CIRCUMSTANCES = {"wall_s", "images_per_s", "date", "processes"}


def trained(folder, runs, processes, listen=lambda engine, event: None):
    """The outcomes of `runs` on teams of `processes`, by run, and the rounds that were told."""
    rounds = {run.id: [] for run in runs}

    def hear(event):
        if event["kind"] == "round":
            rounds[event["run"]].append(event)
        listen(engine, event)

    engine = LocalEngine(1, Resources(1, devices=processes))
    with Launcher(engine) as launcher:
        outcomes = list(launcher.launch(runs, Place(folder / "runs", folder / "cache"), hear, math.inf))
    return {outcome.run: outcome for outcome in outcomes}, rounds


def numbers(rows):
    return [{name: value for name, value in row.items() if name not in CIRCUMSTANCES} for row in rows]


def names(folder, run):
    return {path.name for path in (folder / "runs" / run.id).iterdir()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process gives, and where."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, *trained(folder, [RUN, MASKED, SHORT], 1)


@pytest.mark.parametrize("run", [RUN, MASKED], ids=["classify", "masked"])
def test_two_processes_give_the_numbers_of_one(tmp_path, alone, run):
    folder, outcomes, rounds = alone
    together, told = trained(tmp_path, [run], 2)
    assert len(told[run.id]) == len(rounds[run.id]) == run.recipe.evaluations
    for one, two in zip(rounds[run.id], told[run.id], strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], abs=1e-5)
        assert (two["step"], two["validation"]) == (one["step"], one["validation"])
    rows = numbers(together[run.id].rows)
    assert rows == [pytest.approx(row, abs=1e-5) for row in numbers(outcomes[run.id].rows)]
    assert [row["score"] for row in rows] == [row["score"] for row in outcomes[run.id].rows]
    assert {row["processes"] for row in together[run.id].rows} == {2}
    assert names(tmp_path, run) == names(folder, run)


class Left(Exception):
    pass


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_a_training_goes_on_with_another_number_of_processes(tmp_path, alone, first, then):
    def leave(engine, event):
        if event["kind"] == "round" and event["step"] == 6:
            raise Left

    with pytest.raises(Left):
        trained(tmp_path, [SHORT], first, leave)
    outcomes, rounds = trained(tmp_path, [SHORT], then)
    assert 3 <= len(rounds[SHORT.id]) <= 4  # of six, as the third may not have been written
    assert outcomes[SHORT.id].rows[1]["score"] == alone[1][SHORT.id].rows[1]["score"]
    last, whole = rounds[SHORT.id][-1], alone[2][SHORT.id][-1]
    assert last["train_loss"] == pytest.approx(whole["train_loss"], abs=1e-5)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_of_a_team_that_is_killed_costs_one_try(tmp_path, alone, rank, caplog):
    killed = []

    def kill(engine, event):
        if event["kind"] == "round" and event["step"] == 6 and not killed:
            killed.append(engine.workers[rank].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    outcomes, _ = trained(tmp_path, [SHORT], 2, kill)
    assert killed and "tried once more" in caplog.text
    assert outcomes[SHORT.id].rows[1]["score"] == alone[1][SHORT.id].rows[1]["score"]


def test_a_batch_of_fewer_images_than_processes_is_said(tmp_path):
    small = replace(RUN, recipe=replace(RECIPE, batch_size=1))
    outcomes, _ = trained(tmp_path, [small], 2)
    assert "2 processes cannot share the 1 images of a batch" in outcomes[small.id].reason


@pytest.mark.parametrize("micro", [None, 2])
@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("task", [Classify(), MaskedPatch()], ids=["classify", "masked"])
def test_the_mean_over_processes_is_the_mean_over_images(tmp_path, task, processes, micro):
    """With 7 images for 2 or 3 processes: the losses, and the gradients, each process weighing by its images."""
    data = images_of(RUN, Place(tmp_path, tmp_path / "cache"))
    seen = torch.arange(7)
    batch = Batch(normalise(data.train.images(seen), data.mean, data.std), data.train.labels[seen], 0)

    def step(size, rank, micro=None):
        module = _module(replace(RUN, task=task), build_model(RUN, data, None), data, 1)
        module.processes, module.rank, module.micro_batch = size, rank, micro
        loss = module.training_step(batch, 0)
        loss.backward()
        return loss.detach(), [p.grad for p in module.parameters() if p.grad is not None]

    losses, gradients = zip(*(step(processes, rank, micro) for rank in range(processes)), strict=True)
    loss, whole = step(1, 0)
    assert torch.stack(losses).mean() == pytest.approx(float(loss), abs=1e-5)
    for parts, one in zip(zip(*gradients, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.stack(parts).mean(0), one, atol=1e-5, rtol=1e-4)
