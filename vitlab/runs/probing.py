"""Executing one evaluation of frozen features: few-shot least squares, linear probe, nearest neighbours.

Features are extracted once for each (weights, data, resolution), kept in the store's folder `features`, and shared by
all three; changed weights are other features, since their fingerprint is part of the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitlab.data.loading import ImageData, Split
from vitlab.evaluation import FeatureCache, few_shot_grid, knn_accuracy, linear_probe
from vitlab.models import read_metadata
from vitlab.runs.origin import origin
from vitlab.runs.place import Listener, Stopped
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.runs.training import build_model, run_indices
from vitlab.tasks.settings import FewShot, LinearProbe, NearestNeighbours, task_name

BATCH = 256
Pair = tuple[Tensor, Tensor]  # features (N, F), labels (N,)
Pixels = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of each channel, of pixels in [0, 1]


def probe(run: Run, data: ImageData, store: Store, listener: Listener, device: str) -> list[dict[str, Any]]:
    """Evaluate the frozen weights of `run.init` on `data` and return a row for each number that comes out.

    Without `init` the weights are random, drawn from the run's seed: the floor that any training has to beat.

    Raises:
        Stopped: when `listener` says so; features that are complete are kept.
        ValueError: for weights that do not fit the model, and for data that the evaluation cannot use.
    """
    model = build_model(run, data, store).to(device)
    pixels = pixels_of(run, data, store)
    features = {
        name: frozen_features(run, model, data, name, pixels, store, listener, batch=BATCH) for name in splits_of(run)
    }
    about = {
        "task": task_name(run.task),
        "model": run.model,
        "parameters": sum(p.numel() for p in model.parameters()),
        **origin(run, store),
        "data": run.data.name,
        "image_size": data.image_size,
        "subset_seed": run.data.subset_seed,
        "seed": run.seed,
    }
    return [{**about, **row} for row in evaluate(run, data, features)]


def splits_of(run: Run) -> tuple[str, ...]:
    """The splits that the task looks at; only the linear probe chooses something on the validation split."""
    return ("train", "validation", "test") if isinstance(run.task, LinearProbe) else ("train", "test")


def frozen_features(
    run: Run,
    model: nn.Module,
    data: ImageData,
    split: str,
    pixels: Pixels,
    store: Store,
    listener: Listener,
    *,
    batch: int,
) -> Tensor:
    """Features (N, F) of one split of `data`, from the store's cache if the same weights saw the same images before."""
    return FeatureCache(store.folder / "features").extract(
        model,
        normalised(getattr(data, split), pixels, batch, listener),
        name=f"{run.model} {dict(run.options)}",
        data=f"{data.fingerprint} {run.data.classes}",
        split=split,
        image_size=(data.image_size, data.image_size),
        preparation=f"{pixels}",
    )


def normalised(split: Split, pixels: Pixels, batch: int, listener: Listener) -> Iterator[Tensor]:
    """Yield all images of a split in order, as normalised floats (B, 3, H, W)."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in pixels)
    for indices in torch.arange(len(split)).split(batch):
        if listener.stop():
            raise Stopped
        yield (split.images(indices).cpu().float() / 255 - mean) / std


def pixels_of(run: Run, data: ImageData, store: Store) -> Pixels:
    """Mean and deviation that the weights were trained with where their file says so, else those of `data`."""
    source = store.weights(run.init) if isinstance(run.init, Run) else run.init
    if source is None or not Path(source).is_file():
        return data.mean, data.std
    return _recorded(Path(source)) or (data.mean, data.std)


def _recorded(path: Path) -> Pixels | None:
    if path.suffix == ".npz":  # The authors' weights: their code scales pixels to [-1, 1].
        return (0.5,) * 3, (0.5,) * 3
    try:
        metadata: Mapping[str, Any] = read_metadata(path)
    except ValueError:  # Weights of others say nothing about pixels.
        return None
    return (tuple(metadata["mean"]), tuple(metadata["std"])) if {"mean", "std"} <= set(metadata) else None


def evaluate(run: Run, data: ImageData, features: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Rows of the task's numbers, from the features of each split; accuracies in [0, 1]."""
    chosen = run_indices(run, data)
    train = features["train"][chosen], data.train.labels[chosen]
    test = features["test"], data.test.labels
    if isinstance(run.task, FewShot):
        return few_shot_rows(run.task, train, test, run.seed)
    if isinstance(run.task, LinearProbe):
        found = linear_probe(train, (features["validation"], data.validation.labels), test)
        row = {"l2": found.l2, "validation_best": found.validation_accuracy, "converged": found.converged}
        return [{"train_size": len(chosen), **row, "test_accuracy": found.test_accuracy}]
    assert isinstance(run.task, NearestNeighbours)
    accuracy = knn_accuracy(*train, *test, k=run.task.k)
    return [{"train_size": len(chosen), "k": run.task.k, "test_accuracy": accuracy}]


def few_shot_rows(task: FewShot, train: Pair, test: Pair, seed: int) -> list[dict[str, Any]]:
    """A row for each number of shots and each draw, with the one l2, or the one chosen on the draw's held-out shots.

    The draws of one number of shots are part of those of every larger one. At one shot draws are added until the
    interval of their mean is as narrow as the task asks.
    """
    rows, several = [], len(task.l2) > 1
    for shots in task.shots:
        found = few_shot_grid(
            *train,
            *test,
            shots=[shots],
            draws=task.draws,
            l2s=task.l2,
            seed=seed,
            choose_l2=several,
            interval_width=task.width if shots == 1 else None,
            most_draws=task.max_draws,
        )
        rows += [row for row in found if not several or row["l2_choice"] != "fixed"]
    return rows
