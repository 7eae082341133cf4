"""Executing one run, whatever its task, and turning what happens into an outcome that the study can go on with."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vitlab.data.augment import check_augmentations
from vitlab.data.info import describe
from vitlab.data.layout import STAMP
from vitlab.data.loading import ImageData, load_data
from vitlab.data.selection import select_classes
from vitlab.data.shuffle import patch_order, shuffle_patches
from vitlab.data.sources import lasting
from vitlab.data.walk import few
from vitlab.errors import suggest
from vitlab.machine import commit, hardware, versions
from vitlab.runs.enough import COUNTING, check_enough
from vitlab.runs.failures import Failure
from vitlab.runs.footprint import lines
from vitlab.runs.place import Listener, Outcome, Place, Prepared, Stopped
from vitlab.runs.rows import flat
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.runs.teams import check_strategy
from vitlab.runs.training import cost_of, run_indices, train
from vitlab.tasks.settings import TRAINING, Floors, Inspect

FITTED = (*TRAINING, Floors)  # to the train subset of the run


@lru_cache(maxsize=4)
def _decoded(source: str, image_size: int | None, cache: Path, skip_bad_images: bool) -> ImageData:
    return load_data(source, image_size=image_size, cache=cache, skip_bad_images=skip_bad_images)


def images_of(run: Run, place: Place) -> ImageData:
    """The run's images at its resolution, decoded once a process and shared by the runs that follow.

    Raises:
        ValueError: if the images are no longer those that the plan described, or cannot be shuffled as it says, and
            for a class without an image that can be read.
    """
    source = run.data.source or run.data.name
    data = _decoded(source, run.data.image_size, place.cache, place.skip_bad_images)
    planned = run.data.fingerprint
    if planned and not planned.startswith(STAMP) and data.fingerprint != planned:
        raise ValueError(f"The images of {source!r} changed after the plan was made; start the study again.")
    if run.data.shuffle is not None:
        data = shuffle_patches(data, run.data.shuffle, run.data.shuffle_seed)
    data = select_classes(data, run.data.classes) if run.data.classes else data
    _check_classes(data)
    return data


def _check_classes(data: ImageData) -> None:
    """Raise ValueError for a class that has no training image since none of its own can be read."""
    there = set(data.train.labels.unique().tolist())
    if data.unread and (lost := [name for number, name in enumerate(data.classes) if number not in there]):
        raise ValueError(
            f"No training image of the class {few(map(repr, lost))} can be read. Repair or add some, or take the class "
            "out of the folder."
        )


def execute(run: Run, place: Place, listener: Listener) -> Outcome:
    """Do `run` unless it is finished already; never raises for what a run can do wrong."""
    try:
        with place.store.open(run, listener.stop) as lease:
            return _attempt(run, place, replace(listener, stop=lambda: listener.stop() or lease.lost))
    except Stopped:
        return Outcome(run.id, "stopped", [])
    except Exception as error:
        return failed(run, place, error)


def _attempt(run: Run, place: Place, listener: Listener) -> Outcome:
    store = place.store
    if store.complete(run):
        return Outcome(run.id, "finished", store.rows(run))
    listener.report({"kind": "start", "run": run.id})
    data = images_of(run, place)
    store.put_source(run, lasting(run.data.source or run.data.name))
    work = _work(run, place)
    about = {"title": run.data.name if run.data.classes else data.title, "classes": len(data.classes)}
    rows = [_signed(run, about | row, place) for row in work(run, data, store, listener, place.device)]
    store.finish(run, rows)
    return Outcome(run.id, "finished", rows)


def _work(run: Run, place: Place) -> Callable[[Run, ImageData, Store, Listener, str], list[dict[str, Any]]]:
    """What does a run of this task."""
    if isinstance(run.task, TRAINING):
        return partial(train, micro=place.micro_batch, team=place.team)
    # Late, as no training should wait for what these import: scikit-learn and SciPy take a second.
    if isinstance(run.task, Inspect):
        from vitlab.runs.inspecting import inspect_run

        return inspect_run
    if isinstance(run.task, Floors):
        from vitlab.runs.floors import floor_rows

        return floor_rows
    from vitlab.runs.probing import probe

    return probe


def failed(run: Run, place: Place, error: Exception) -> Outcome:
    """Record why a run could not be finished; its checkpoint is kept where another try may succeed."""
    failure = Failure.of(error)
    row = _signed(run, {"status": "failed", "reason": failure.reason, "failure": failure.kind}, place)
    if failure.kind != "disk":
        before = [(known.get("reason"), known["status"]) for known in place.store.rows(run)]
        twice = failure.kind == "unknown" and (failure.reason, "failed") in before
        with suppress(OSError):  # What cannot be recorded is tried again all the same.
            place.store.fail(run, row, keep=failure.kind != "certain" and not twice)
    return Outcome(run.id, "failed", [row], failure.reason, failure.kind)


def _signed(run: Run, row: dict[str, Any], place: Place) -> dict[str, Any]:
    """All of a row: the run with its settings, what it gave, and the hardware, versions, commit and day of it."""
    about = {"threads": torch.get_num_threads(), "date": datetime.date.today().isoformat()}
    return {"run": run.id, "status": "finished", **flat(run), **row, **_maker(place.device), **about}


@cache
def _maker(device: str) -> dict[str, Any]:
    """What this process computes with; asking git takes 20 ms, and a few-shot run has a hundred rows."""
    head, dirty = commit()
    return {
        "hardware": hardware(torch.cuda.get_device_name() if device == "cuda" else None),
        **versions(("torch", "lightning", "timm", "vitlab")),
        "commit": (head or "unknown") + ("+changes" if dirty else ""),
    }


def prepare(runs: Sequence[Run], place: Place, *, read: bool = True) -> Prepared:
    """Check that every run can be built and that its images can be read, and count what each will cost.

    Without `read` no image is decoded and nothing is fetched or written: what the files' names say is enough.

    Raises:
        ValueError: for a model, a patch size, an augmentation, a device or images that cannot be had, and for fewer
            images than a task takes.
    """
    device = pick_device(place.device)
    every = dict.fromkeys(link for run in runs for link in run.chain())
    for run in every:
        check_strategy(place.strategy, run.task)
    images = {run: _read(run, place) if read else _described(run) for run in every}
    for run, some in images.items():
        check_enough(run, some.by_class)
    flops = {run.id: _cost(run, some) for run, some in images.items()}
    return Prepared(device, flops, cards_of(device))


def memory_lines(runs: Sequence[Run], strategy: str, processes: int) -> list[str]:
    """What each model of `runs` would take of each process, in words; nothing is read, computed or allocated."""
    sets = [_described(run) for run in runs]
    return lines(runs, [(images.image_size, images.classes) for images in sets], strategy, processes)


def cards_of(device: str) -> tuple[str, ...]:
    """The accelerators that this process may use, named as in CUDA_VISIBLE_DEVICES; none on a CPU."""
    if device != "cuda":
        return ()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return tuple(allowed.split(",")) if allowed else tuple(map(str, range(torch.cuda.device_count())))


def pick_device(asked: str) -> str:
    """Turn "auto" into what is here.

    Raises:
        ValueError: for an unknown device, or "cuda" where there is none.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"Unknown device {asked!r}; allowed: auto, cpu, cuda.{suggest(asked, ('auto', 'cpu', 'cuda'))}"
        )
    if asked == "cuda" and not torch.cuda.is_available():
        raise ValueError("Device 'cuda' was asked for, but torch sees no CUDA GPU here; use --device cpu or auto.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


class _Set(NamedTuple):
    """What the cost of a run depends on: pixels, classes, and images of its train and test splits; and those that it
    may train on by class, where that is known and asked for.
    """

    image_size: int
    classes: int
    train: int
    test: int
    by_class: Mapping[str, int]


def _read(run: Run, place: Place) -> _Set:
    data = images_of(run, place)
    train = len(run_indices(run, data)) if isinstance(run.task, FITTED) else len(data.train)
    labels = data.train.labels[run_indices(run, data) if isinstance(run.task, COUNTING) else slice(0)]
    by_class = dict(zip(data.classes, labels.bincount(minlength=len(data.classes)).tolist(), strict=True))
    return _Set(data.image_size, len(data.classes), train, len(data.test), by_class)


def _described(run: Run) -> _Set:
    info = _info(run.data.source or run.data.name).only(run.data.classes)
    size = run.data.image_size or info.image_size
    if run.data.shuffle is not None:
        patch_order(size, run.data.shuffle, run.data.shuffle_seed)  # raises for what does not fit
    subset = run.data.train_size if isinstance(run.task, FITTED) else None
    known = next((split.classes for split in info.splits if split.name == "train"), {})
    counts = {} if run.data.train_size else known
    return _Set(size, info.num_classes, subset or info.sizes["train"], info.sizes["test"], counts)


_info = lru_cache(maxsize=16)(describe)


def _cost(run: Run, images: _Set) -> float:
    check_augmentations(run.recipe.augment, images.image_size)
    if isinstance(run.task, Floors):
        from vitlab.runs.floors import floor_flops

        return floor_flops(images.train, images.test, images.image_size)
    forward = cost_of(run, images.image_size, images.classes).flops
    if not isinstance(run.task, TRAINING):
        return float(forward * (images.train + images.test))
    rounds, steps = run.recipe.rounds(images.train)
    return 3.0 * forward * rounds * steps * run.recipe.batch_size
