"""A model in shards on two processes, with gloo: the numbers of one process, and half of the weights in each."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh

from tests.runs.test_teams import MASKED, RUN, SHORT, Left, names, numbers
from vitlab.models import create
from vitlab.runs.engine import Resources
from vitlab.runs.execute import prepare
from vitlab.runs.inside import inside
from vitlab.runs.launch import ASK, Launcher
from vitlab.runs.local import LocalEngine
from vitlab.runs.place import Place
from vitlab.tasks.sharding import layers_of, shard

RESNET = replace(SHORT, model="ResNet-Pico", recipe=replace(SHORT.recipe, optimizer="sgd"))


def trained(folder, run, strategy, leave_at=None):
    """The outcome of a run and the rounds that it told; by two processes, or by one without a strategy."""
    rounds = []

    def hear(event):
        if event["kind"] == "round":
            rounds.append(event)
            if event["step"] == leave_at:
                raise Left

    place = Place(folder / "runs", folder / "cache", strategy=strategy or "ddp")
    with Launcher(LocalEngine(1, Resources(1, devices=2 if strategy else 1))) as launcher:
        (outcome,) = launcher.launch([run], place, hear, math.inf)
    assert outcome.status == "finished", outcome.reason
    return outcome, rounds


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process gives, and where."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, {run.id: trained(folder, run, None) for run in (RUN, SHORT, RESNET)}


@pytest.mark.parametrize("run", [RUN, RESNET], ids=["vit", "resnet"])
def test_two_processes_with_half_a_model_each_give_the_numbers_of_one(tmp_path, alone, run):
    one, rounds = alone[1][run.id]
    two, told = trained(tmp_path, run, "fsdp")
    assert [(event["step"], event["validation"]) for event in told] == [(e["step"], e["validation"]) for e in rounds]
    assert [event["train_loss"] for event in told] == pytest.approx([e["train_loss"] for e in rounds], abs=1e-5)
    rows = [{name: value for name, value in row.items() if name != "strategy"} for row in numbers(two.rows)]
    assert rows == [pytest.approx(row, abs=1e-5) for row in numbers(one.rows)]
    assert {(row["processes"], row["strategy"]) for row in two.rows} == {(2, "fsdp")}
    assert names(tmp_path, run) == names(alone[0], run)


@pytest.mark.parametrize(("first", "then"), [(None, "fsdp"), ("fsdp", None), ("ddp", "fsdp")])
def test_a_training_goes_on_with_another_strategy(tmp_path, alone, first, then):
    with pytest.raises(Left):
        trained(tmp_path, SHORT, first, leave_at=6)
    outcome, rounds = trained(tmp_path, SHORT, then)
    assert 3 <= len(rounds) <= 4  # of six, as the third may not have been written
    assert outcome.rows[1]["score"] == alone[1][SHORT.id][0].rows[1]["score"]
    assert rounds[-1]["train_loss"] == pytest.approx(alone[1][SHORT.id][1][-1]["train_loss"], abs=1e-5)


def held(model):
    """The share of a model's weights that this process holds, and the most that it holds of one layer's."""
    team = inside().team
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{team.port}", rank=team.rank, world_size=team.size
    )
    whole = create(model, image_size=32, num_classes=10)
    total = sum(weight.numel() for weight in whole.parameters())
    shard(whole, init_device_mesh("cpu", (team.size,)))
    mine = sum(weight.to_local().numel() for weight in whole.parameters())
    return mine / total, len(layers_of(whole))


@pytest.mark.parametrize("model", ["ViT-Pico/4", "ResNet-Pico", "HybridViT-Pico/2"])
def test_each_process_holds_half_of_the_weights(model):
    engine, last = LocalEngine(1, Resources(1, devices=2)), None
    engine.submit(ASK, held, model, processes=2)
    while last is None:
        last = next(((kind, value) for _, kind, value in engine.events(60) if kind != "said"), None)
    engine.close()
    share, found = last[1]
    assert last[0] == "done" and found >= 2
    assert share == pytest.approx(0.5, abs=0.06)  # Where a weight's first axis is odd or 1, one process holds more.


def test_masked_patch_prediction_is_refused(tmp_path):
    with pytest.raises(ValueError, match="take --strategy ddp"):
        prepare([MASKED], Place(tmp_path, tmp_path, strategy="fsdp"), read=False)
