"""What commands cost is all that they and their children use; what grows, and how, is read off the rows."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro

from vitlab.benchmark import cost_evidence, evidence, timm_loop, tutorial
from vitlab.benchmark.sweep import Sweep, one_loop, tutorials, write_images
from vitlab.benchmark.usage import usage
from vitlab.report.evidence import Evidence

WORK = "sum(i * i for i in range(3_000_000)); block = bytearray(60_000_000)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK + '; import time; time.sleep(0.5)'!r}])"
SWEEP = Sweep(("study",), ("ViT", "ResNet"), (100, 400), 3, 50, 64, 10)
linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not say")


@linux
def test_the_work_and_memory_of_children_count():
    found = usage([sys.executable, "-c", CHILD], memory=True)
    assert 0.5 < found.seconds and 0.05 < found.core_s < found.seconds + 0.5
    assert found.memory > 60_000_000


def test_a_command_that_fails_is_named_with_its_last_words():
    with pytest.raises(ValueError, match="code 7: no such luck"):
        usage([sys.executable, "-c", "import sys; print('no such luck'); sys.exit(7)"])


def test_every_way_does_the_same_runs():
    assert SWEEP.runs == len(tutorials(SWEEP)) == len({tuple(command) for command in tutorials(SWEEP)}) == 12
    looped = tyro.cli(timm_loop.Trainings, args=one_loop(SWEEP)[3:], use_underscores=True)
    assert len(looped.models) * len(looped.train_sizes) * looped.seeds == SWEEP.runs
    words = SWEEP.command("/x", seeds=5, steps=1)
    assert words[words.index("--seeds") + 1] == "5" and words[words.index("--steps") + 1] == "1"
    assert words[words.index("--train_sizes") + 1 :][:2] == ["100", "400"]


def test_the_script_of_tutorials_trains_and_tests_the_best_weights(capfd):
    tutorial.main(tutorial.Training("ViT-Pico/4", train_size=20, steps=3, batch=10, evaluations=1))
    said = capfd.readouterr().out
    assert "Test metric" in said and "accuracy" in said


def test_the_loop_of_timms_parts_trains_all_and_tests_the_best_weights(capfd):
    timm_loop.main(
        timm_loop.Trainings(("ViT-Pico/4", "ResNet-Pico"), (200,), seeds=2, steps=60, batch=50, evaluations=3)
    )
    reached = re.findall(r"(\S+), 200 images, seed (\d): ([\d.]+)%", capfd.readouterr().out)
    assert [(model, seed) for model, seed, _ in reached] == [
        (model, seed) for seed in "01" for model in ("ViT-Pico/4", "ResNet-Pico")
    ]
    assert all(float(top1) > 25 for _, _, top1 in reached)  # chance is 10


def test_written_images_are_a_folder_that_a_study_reads(tmp_path):
    from vitlab.data.info import describe

    write_images(tmp_path, 30, evaluated=10)
    assert describe(str(tmp_path)).sizes == {"train": 30, "validation": 10, "test": 10}


def growing(power: float, repeats: int = 3) -> pd.DataFrame:
    noise = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "part": "growth", "axis": axis, "amount": amount, "repeat": repeat, "busy_cores": 0.0,
            "seconds": 0.1 * amount**power * np.exp(0.01 * noise.normal()), "memory": 2.0**20 * amount,
        }
        for axis in ("runs", "tokens")
        for amount in (8, 16, 32)
        for repeat in range(repeats)
    )  # fmt: skip


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_power_of_growth_is_found(power):
    rows = growing(power)
    for _, one in rows.groupby("axis"):
        assert cost_evidence.power(one, "seconds").mean == pytest.approx(power, abs=0.03)
        assert cost_evidence.power(one, "memory").mean == pytest.approx(1.0)
    drawn = evidence.draw(rows)
    assert Evidence.loads(drawn.dumps()).to_json() == drawn.to_json()
    time, memory = drawn.figures["growth"].panels[0][0].series
    assert (time.name, memory.name) == ("time", "peak memory")
    assert memory.points[-1].interval.mean == pytest.approx(4.0)


def test_a_sweep_is_compared_within_its_repetitions():
    rows = pd.DataFrame(
        {
            "part": "sweep", "side": side, "runs": 24, "steps": 100, "batch": 64, "models": "ViT", "repeat": repeat,
            "seconds": factor * (10 + 5 * repeat), "core_s": 24.0, "busy_cores": 0.0,
        }
        for repeat in range(3)
        for side, factor in zip(evidence.WAYS, (1.0, 1.5, 1.4, 6.0), strict=True)
    )  # fmt: skip
    cost = {"part": "overhead", "side": evidence.JOBS, "runs": 18, "seconds": 0.1, "core_s": 0.2, "repeat": 0}
    drawn = evidence.draw(pd.concat([rows, pd.DataFrame([cost])]))
    sweep, overhead = drawn.tables
    assert [row[2] for row in sweep.text()] == ["1.00 (n=3)", "1.50 (n=3)", "1.40 (n=3)", "6.00 (n=3)"]
    assert "6.00 (n=3) times that with 'tutorial script a run'" in drawn.summary
    assert overhead.text() == [["a run of one step", "0.10 (n=1)", "0.20 (n=1)"]]
