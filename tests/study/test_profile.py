"""--profile says where the time of a training goes, keeps a trace, and leaves the study undone."""

import json

import pytest

from experiments import data_scaling, few_shot
from vitlab.runs.profiling import PHASES, Phases
from vitlab.study.profile import kinds
from vitlab.study.study import main

SMALL = "--models ViT ResNet --train_sizes 50 100 --seeds 2 --steps 4 --evaluations 2 --wandb off --profile".split()


def test_a_study_is_profiled_and_not_done(tmp_path, capfd):
    runs = tmp_path / "my [runs] :dog: [/old]"
    with pytest.raises(SystemExit) as end:
        main(data_scaling.STUDY, [*SMALL, "--runs", str(runs), "--results", str(tmp_path / "results")])
    said = capfd.readouterr().out
    assert end.value.code == 0 and all(phase in said for phase in PHASES)
    assert "ViT-Pico/2" in said and "ResNet-Pico" in said and "seconds" in said
    paths = list((runs / "profile").glob("*.json"))
    assert all(f"for ui.perfetto.dev: {path}\n" in said for path in paths)
    traces = [json.loads(path.read_text())["traceEvents"] for path in paths]
    assert [sum(event["name"].endswith("Strategy.backward") for event in trace) for trace in traces] == [4, 4]
    assert not (tmp_path / "results").exists() and not list(runs.glob("*/rows.json"))


def test_every_moment_belongs_to_one_phase():
    """Nested actions: what is within takes its time from what is around, and what has no phase counts to that."""
    phases = Phases()
    phases.start("run_training_epoch")
    phases.start("[LightningModule]Classification.optimizer_step")
    phases.start("[Strategy]SingleDeviceStrategy.training_step")
    phases.start("[Callback]Rounds.on_something")
    phases.stop("[Callback]Rounds.on_something")
    phases.stop("[Strategy]SingleDeviceStrategy.training_step")
    phases.stop("[LightningModule]Classification.optimizer_step")
    phases.stop("run_training_epoch")
    phases.end()
    by_name = {event["name"].rpartition(".")[2]: event for event in phases.events}
    assert [by_name[name]["cat"] for name in ("run_training_epoch", "optimizer_step", "training_step")] == [
        "rest",
        "optimiser",
        "forward",
    ]
    assert by_name["on_something"]["cat"] == "forward"
    assert phases.seconds["forward"] == pytest.approx(by_name["training_step"]["dur"] / 1e6)
    inside = phases.seconds["forward"] + phases.seconds["optimiser"]
    assert inside == pytest.approx(by_name["optimizer_step"]["dur"] / 1e6)


def test_only_trainings_that_start_from_no_run_are_profiled():
    plan = few_shot.STUDY.plan(few_shot.STUDY.presets["quick"])
    chosen = kinds([link for run in plan for link in run.chain()])
    assert chosen and all(run.init is None for run in chosen)
    assert len({run.model for run in chosen}) == len(chosen)
