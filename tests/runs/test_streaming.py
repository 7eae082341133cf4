"""Trainings on data that is decoded on demand: the numbers of data in memory, bit for bit."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tests.data.conftest import write_folder
from vitlab.data import load_data
from vitlab.data.batches import Share, StepDataset
from vitlab.data.memory import memory_allowed
from vitlab.runs.engine import ALONE, Resources
from vitlab.runs.inside import inside
from vitlab.runs.launch import ASK
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Listener, Stopped
from vitlab.runs.run import Data, Run
from vitlab.runs.store import Store
from vitlab.runs.training import train
from vitlab.tasks.settings import MaskedPatch, Recipe

# 34 images to train on, 9 a batch: an epoch ends within a batch, and two processes never share one evenly.
RUN = Run("ViT-Pico/4", Data("animals"), Recipe(steps=12, batch_size=9, evaluations=4, augment=("crop", "mixup")))
MASKED = replace(RUN, task=MaskedPatch(), recipe=replace(RUN.recipe, augment=("flip",)))
CIRCUMSTANCES = {"wall_s", "images_per_s", "processes"}


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("images") / "animals", {"cat": 20, "dog": 18, "owl": 10})


def trained(source, folder, run=RUN, *, streaming, stop=lambda: False, team=ALONE):
    """Rows and weights of `run`, on images in memory or decoded on demand by a process of their own."""
    data = load_data(str(source), cache=folder / "cache", memory_fraction=0.0 if streaming else 1.0)
    assert data.train.streaming == streaming
    rows = train(run, data, Store(folder / "runs"), Listener(lambda event: None, stop), "cpu", team=team)
    return [{name: value for name, value in row.items() if name not in CIRCUMSTANCES} for row in rows]


def weights(folder, run=RUN):
    return load_file(Store(folder / "runs").weights(run))


def shared(source, folder, run):
    """What each process of a team calls."""
    return trained(source, folder, run, streaming=True, team=inside().team)


@pytest.fixture(scope="module")
def resident(animals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resident")
    return folder, {run.id: trained(animals, folder, run, streaming=False) for run in (RUN, MASKED)}


@pytest.mark.parametrize("run", [RUN, MASKED], ids=["classify", "masked"])
def test_a_streamed_training_is_that_of_images_in_memory(animals, tmp_path, resident, run):
    assert trained(animals, tmp_path, run, streaming=True) == resident[1][run.id]
    torch.testing.assert_close(weights(tmp_path, run), weights(resident[0], run), rtol=0, atol=0)


def test_one_that_is_left_within_an_epoch_goes_on_to_the_same_numbers(animals, tmp_path, resident):
    asked = iter([False] * 7 + [True])  # at step 8 of 12; an epoch is 3.8 steps and a round 3
    with pytest.raises(Stopped):
        trained(animals, tmp_path, streaming=True, stop=lambda: next(asked))
    assert trained(animals, tmp_path, streaming=True) == resident[1][RUN.id]
    torch.testing.assert_close(weights(tmp_path), weights(resident[0]), rtol=0, atol=0)


@pytest.mark.parametrize("run", [RUN, MASKED], ids=["classify", "masked"])
def test_two_processes_that_decode_their_shares_give_the_numbers_of_one(animals, tmp_path, resident, run):
    engine, last = LocalEngine(1, Resources(1, devices=2)), None
    engine.submit(ASK, shared, animals, tmp_path, run, processes=2)
    while last is None:
        last = next(((kind, value) for _, kind, value in engine.events(60) if kind in ("done", "raised", "died")), None)
    engine.close()
    assert last[0] == "done", last
    rows = resident[1][run.id]
    assert last[1] == [pytest.approx(row, abs=1e-5) for row in rows]
    assert [row["score"] for row in last[1]] == [row["score"] for row in rows]


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_image_is_decoded_once_an_epoch(animals, tmp_path, processes, workers):
    data = load_data(str(animals), cache=tmp_path, memory_fraction=0.0)
    count = len(data.train)
    seen = []
    for rank in range(processes):
        dataset = Recorded(data.train, count, Share(processes, rank))
        loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=range(3 * count), num_workers=workers)
        seen.append(list(loader))
    order = torch.cat([torch.cat(parts) for parts in zip(*seen, strict=True)])  # the shares of a step, then the next
    whole = StepDataset(data.train, torch.arange(count), 9, seed=0)
    assert torch.equal(order, torch.cat([whole.positions(step) for step in range(3 * count)]))
    assert all(sorted(epoch.tolist()) == list(range(count)) for epoch in order.view(-1, count))


class Recorded(StepDataset):
    """The positions of the images that a process decodes, in the place of the images."""

    def __init__(self, split, count, share):
        super().__init__(split, torch.arange(count), 9, seed=0, share=share)

    def __getitem__(self, step):
        return self.share.of(self.positions(step))


@pytest.mark.parametrize("limit", ["RLIMIT_DATA", "RLIMIT_AS"])
def test_a_limit_on_this_process_is_what_data_must_fit(limit):
    assert 2**30 < memory_allowed() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    code = "import resource, vitlab.data.memory as m; resource.setrlimit(resource.{0}, (2**30, 2**30)); print({1})"
    command = [sys.executable, "-c", code.format(limit, "m.memory_allowed()")]
    assert int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) == 2**30
