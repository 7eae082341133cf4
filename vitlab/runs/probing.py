"""Executing one evaluation of frozen features: few-shot least squares, linear probe, nearest neighbours.

Features are extracted once for each (weights, images, resolution), kept in the store's folder `features`, and shared by
all three; changed weights are other features, since their fingerprint is part of the key. Of the train split few-shot
needs only the images that its draws take, which are known before: a hundredth of CIFAR-10 at five shots and ten draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from vitlab.data.loading import ImageData
from vitlab.data.shuffle import arranged
from vitlab.evaluation import (
    FeatureCache,
    draw_seed,
    draw_shots,
    few_shot_grid,
    knn_accuracy,
    linear_probe,
    weights_fingerprint,
)
from vitlab.models import Model
from vitlab.models.facts import known_facts
from vitlab.models.zoo import settings_of
from vitlab.runs.build_model import build_model
from vitlab.runs.place import Listener, Stopped
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.runs.training import run_indices
from vitlab.tasks.settings import FewShot, LinearProbe, NearestNeighbours

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
        name: frozen_features(run, model, data, name, pixels, store, listener, batch=BATCH, only=only)
        for name, only in seen_images(run, data).items()
    }
    about = {"image_size": data.image_size, "parameters": sum(p.numel() for p in model.parameters())}
    return [
        {"split": "test", **row, "images": len(getattr(data, row.get("split", "test"))), **about}
        for row in evaluate(run, data, features)
    ]


def seen_images(run: Run, data: ImageData) -> dict[str, Tensor]:
    """The images (indices, ascending) of each split that the task looks at.

    Of the train split it is the run's subset, and for few-shot the images of its draws alone. Only the linear probe
    chooses something on the validation split.
    """
    names = ("train", "validation", "test") if isinstance(run.task, LinearProbe) else ("train", "test")
    every = {name: torch.arange(len(getattr(data, name))) for name in names}
    chosen = run_indices(run, data)
    if isinstance(run.task, FewShot):
        chosen = chosen[_drawn(run.task, data.train.labels[chosen], run.seed)]
    return {**every, "train": chosen.sort().values}


def _drawn(task: FewShot, labels: Tensor, seed: int) -> Tensor:
    """Indices of all images that the task may draw. Fewer shots are part of more, but at one shot draws are added."""
    most = {max(task.shots): task.draws} | ({1: max(task.draws, task.max_draws)} if 1 in task.shots else {})
    drawn = [draw_shots(labels, k, draw_seed(seed, draw)) for k, draws in most.items() for draw in range(draws)]
    return torch.cat(drawn).unique()


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
    only: Tensor | None = None,
) -> Tensor:
    """Features (N, F) of one split of `data`, from the store's cache if the same weights saw the same images before.

    With `only` (indices, ascending), those of these images alone are extracted; the rows of the others are zero.
    """
    every = torch.arange(len(getattr(data, split)))
    whole, only = only is None or len(only) == len(every), every if only is None else only
    found = FeatureCache(store.folder / "features").extract(
        model,
        normalised(data, split, pixels, batch, listener, only),
        name=f"{run.model} {sorted(settings_of(cast(Model, model)).overrides.items())}",  # also what loading changed
        data=f"{data.fingerprint} {run.data.classes}",
        split=split if whole else f"{split} {weights_fingerprint({'only': only})}",
        image_size=(data.image_size, data.image_size),
        preparation=preparation(run, pixels),
    )
    return found if whole else found.new_zeros(len(every), found.shape[1]).index_copy(0, only, found)


def preparation(run: Run, pixels: Pixels) -> str:
    """What features depend on beside images and the weights that a file would hold, in words."""
    shuffled = "" if run.data.shuffle is None else f" {run.data.shuffle, run.data.shuffle_seed}"
    positions = getattr(run.task, "positions", "interpolate")  # computed ones are in no file, and may be set to zero
    return f"{pixels}{shuffled}{'' if positions == 'interpolate' else f' positions: {positions}'}"


def normalised(
    data: ImageData, split: str, pixels: Pixels, batch: int, listener: Listener, only: Tensor | None = None
) -> Iterator[Tensor]:
    """Yield a split's images in order, or those of `only` (indices), as models see them: normalised (B, 3, H, W)."""
    images = getattr(data, split)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in pixels)
    for indices in (torch.arange(len(images)) if only is None else only).split(batch):
        if listener.stop():
            raise Stopped
        yield (arranged(images.images(indices).cpu(), data).float() / 255 - mean) / std


def pixels_of(run: Run, data: ImageData, store: Store) -> Pixels:
    """Mean and deviation that the weights were trained with where these say so, else those of `data`."""
    if run.init is None:
        return data.mean, data.std
    facts = known_facts(store.weights(run.init) if isinstance(run.init, Run) else run.init)
    return facts.get("mean", data.mean), facts.get("std", data.std)


def evaluate(run: Run, data: ImageData, features: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Rows of the task's numbers, from the features of each split; accuracies in [0, 1]."""
    chosen = run_indices(run, data)
    train = features["train"][chosen], data.train.labels[chosen]
    test = features["test"], data.test.labels
    if isinstance(run.task, FewShot):
        return few_shot_rows(run.task, train, test, run.seed)
    if isinstance(run.task, LinearProbe):
        found = linear_probe(train, (features["validation"], data.validation.labels), test)
        about = {"train_images": len(chosen), "l2": found.l2, "converged": found.converged}
        scores = {"validation": found.validation_accuracy, "test": found.test_accuracy}
        return [{**about, "split": split, "score": score} for split, score in scores.items()]
    assert isinstance(run.task, NearestNeighbours)
    return [{"train_images": len(chosen), "score": knn_accuracy(*train, *test, k=run.task.k)}]


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
