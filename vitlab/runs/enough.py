"""Whether a set has as many images as an evaluation of frozen features takes, asked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from vitlab.data.walk import counted, few
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import FewShot, NearestNeighbours

COUNTING = (FewShot, NearestNeighbours)


def check_enough(run: Run, images: Mapping[str, int]) -> None:
    """Raise ValueError where the task of `run` takes more training images than there are.

    `images` counts them by class, all or those of the run's subset; of classes without any nothing is asked.
    """
    if isinstance(run.task, FewShot):
        _check_shots(run.data, max(run.task.shots), {name: count for name, count in images.items() if count})
    if isinstance(run.task, NearestNeighbours) and 0 < (total := sum(images.values())) < run.task.k:
        raise ValueError(
            f"{run.data.name} has {counted(total, 'training image')} to find {run.task.k} neighbours among; add images."
        )


def _check_shots(data: Data, shots: int, images: Mapping[str, int]) -> None:
    """Name the classes that have fewer than `shots` images."""
    if lacking := [f"{count} of {name!r}" for name, count in images.items() if count < shots]:
        where = data.source or data.name.partition("@")[0]
        raise ValueError(
            f"{data.name} has {few(lacking)} to train on, and few-shot accuracy takes {shots} images of each class. "
            f"Add images, leave these classes out, as in {where}@0,1, or give fewer --shots where the study "
            f"has that option: {min(images.values())} at most."
        )
