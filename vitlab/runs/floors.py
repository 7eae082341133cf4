"""What a model has to beat, measured without one on the images that it is trained and tested on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from vitlab.data.loading import ImageData
from vitlab.evaluation import knn_accuracy
from vitlab.runs.place import Listener
from vitlab.runs.probing import BATCH, normalised
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.runs.training import run_indices

SIDE = 32  # px; larger images are averaged down to it, since neighbours are sought among all pixels
MAJORITY, NEIGHBOUR = "majority class", "nearest neighbour on pixels"


def floor_rows(run: Run, data: ImageData, store: Store, listener: Listener, device: str) -> list[dict[str, Any]]:
    """Test accuracy of always saying the commonest class of the run's train subset, and of its nearest neighbour.

    That is the one by cosine similarity of normalised pixels. `train_split` counts all images that could be trained
    on. Raises Stopped when `listener` says so.
    """
    chosen = run_indices(run, data).sort().values
    train, test = data.train.labels[chosen], data.test.labels
    features = [
        pixels(data, name, listener, only).to(device)
        for name, only in (("train", chosen), ("test", torch.arange(len(test))))
    ]
    scores = {
        MAJORITY: float((test == train.mode().values).double().mean()),
        NEIGHBOUR: knn_accuracy(features[0], train, features[1], test, k=1),
    }
    about = {"images": len(test), "image_size": data.image_size}
    about |= {"train_images": len(chosen), "train_split": len(data.train)}
    return [{"split": "test", "part": name, "score": score, **about} for name, score in scores.items()]


def pixels(data: ImageData, split: str, listener: Listener, only: Tensor) -> Tensor:
    """The images (N, F) at `only` (indices) of a split, normalised, at most `SIDE` pixels a side."""
    side = min(SIDE, data.image_size)
    batches = normalised(data, split, (data.mean, data.std), BATCH, listener, only)
    return torch.cat([adaptive_avg_pool2d(batch, side).flatten(1) for batch in batches])


def floor_flops(train: int, test: int, image_size: int) -> float:
    """FLOPs of comparing every test image with every train image."""
    return 6.0 * train * test * min(SIDE, image_size) ** 2
