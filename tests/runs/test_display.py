"""What a person is told of progress and of the time that is left."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from vitlab.runs.display import Display, estimate
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place, Prepared
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import FewShot, Recipe


def test_progress_of_epochs_over_all_images_is_the_share_of_their_rounds(tmp_path):
    run = Run("ViT-Pico/4", Data("digits"), recipe=Recipe(epochs=2, batch_size=256, evaluations=4))
    other = Run("ResNet-Pico", Data("digits"))
    seen = []
    with Display(Console(file=io.StringIO()), [run, other], {run.id: 1.0, other.id: 2.0}) as display:
        bar = display.progress.tasks[0]

        def listen(event):
            display.event(event)
            seen.append((event["kind"], bar.completed))

        outcome = execute(run, Place(tmp_path, tmp_path / "cache"), Listener(listen, lambda: False))
        assert outcome.status == "finished"
        assert [kind for kind, _ in seen] == ["start"] + ["round"] * 4
        assert [share for _, share in seen] == pytest.approx([0, 1 / 12, 2 / 12, 3 / 12, 4 / 12])
        display.ended(run, outcome)
        assert bar.completed == pytest.approx(1 / 3)


def test_more_jobs_than_runs_save_no_time():
    first = Run("ViT-Pico/4", Data("digits"))
    probe = replace(first, task=FewShot(), init=first)
    others = [replace(first, seed=seed) for seed in range(1, 9)]
    known = Prepared("cpu", {first.id: 2e11, probe.id: 1e11} | {run.id: 1e11 for run in others})
    done = {others[0]: [{"status": "finished", "wall_s": 50.0}]}  # 2e9 FLOP/s
    assert estimate([first], done, known, 16)[0] == pytest.approx(100)
    assert estimate([first, probe], done, known, 16)[0] == pytest.approx(150)  # one waits for the other
    assert estimate([probe], done, known, 16)[0] == pytest.approx(50)  # what it waits for is done
    assert estimate(others, done, known, 2)[0] == pytest.approx(200)
    assert estimate([], done, known, 2)[0] == 0
