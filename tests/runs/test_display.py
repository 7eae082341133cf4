"""What a person is told of progress and of the time that is left."""

import io

import pytest
from rich.console import Console

from vitlab.runs.display import Display
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Recipe


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
