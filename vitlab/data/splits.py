"""Which images a model trains on: splits carved out of a data set, and nested subsets of its training images.

Labels may be a NumPy array, a list or a tensor on the CPU. Random numbers come from NumPy's legacy `RandomState`, whose
streams are frozen for good (NEP 19), so that a seed means the same images under every version.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import LongTensor

Labels = Any  # what np.asarray turns into integers: a tensor, an array, a list
Indices = npt.NDArray[np.int64]


def stratified_split(
    labels: Labels, fraction: float, seed: int, *, what: str = "test", classes: Sequence[str] | None = None
) -> tuple[Indices, Indices]:
    """Split indices 0..N-1 into (kept, held out), both sorted; ceil(fraction * N) are held out in all.

    Each class gives its share by largest remainders, at least one image, which may be more in all where classes are
    many and small, and keeps at least one. Raises ValueError
    that names the classes which are too small (`what` and `classes` are for that message).
    """
    array = np.asarray(labels, dtype=np.int64)
    names, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    _need_two_each(names, counts, what, classes)
    held_counts = _shares(counts, math.ceil(round(fraction * len(array), 6)))
    random = np.random.RandomState(seed)
    held = [
        random.permutation(np.flatnonzero(inverse == position))[:count] for position, count in enumerate(held_counts)
    ]
    chosen = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(array)), chosen, assume_unique=True), chosen


def nested_subset(labels: Labels, size: int, seed: int) -> LongTensor:
    """The first `size` indices of a fixed order of all images: for one seed, small subsets lie within large ones.

    The order begins with one image of each class; after that a class c with a share p of the images holds at most
    size * p + 1 of them, and more than size * p - 1 once the rarest class has come to its own (size * min(p) >= 1):
    the chairman assignment, Tijdeman 1980, doi:10.1016/0012-365X(80)90269-1. Returns (size,) int64.
    Raises ValueError where `size` is 0, below the number of classes, or above the number of images.
    """
    # torch is imported here alone, so that a dry run can carve splits without it
    import torch

    array = np.asarray(labels, dtype=np.int64)
    names, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    check_train_size(size, len(array), len(names))
    random = np.random.RandomState(seed)
    queues = [random.permutation(np.flatnonzero(inverse == position)) for position in range(len(names))]
    order = random.permutation(len(names))  # which classes come first where all have the same right
    turns = order[_turns(counts[order], size)]
    chosen = np.empty(size, dtype=np.int64)
    for position, queue in enumerate(queues):
        slots = np.flatnonzero(turns == position)
        chosen[slots] = queue[: len(slots)]
    return torch.from_numpy(chosen)  # type: ignore[return-value]


def check_train_size(size: int, available: int, num_classes: int) -> None:
    """Raise ValueError unless a stratified subset of `size` images can be drawn from `available` ones."""
    if isinstance(size, bool) or size != int(size) or size < 1:
        raise ValueError(f"Train size {size} is no number of images; give a whole number from {num_classes} on.")
    if size < num_classes:
        raise ValueError(
            f"Train size {size} is below the number of classes, {num_classes}: a class would have no image. "
            f"Give at least {num_classes}."
        )
    if size > available:
        raise ValueError(
            f"Train size {size} is above the {available} training images that there are. Give at most {available}."
        )


def _turns(counts: Indices, size: int) -> list[int]:
    """Which class takes each of the first `size` slots: earliest deadline first, among the classes that are due.

    The j-th image (from 0) of a class with share p may come no sooner than slot (j + 1 - slack) / p and should come by
    (j + slack) / p. The first image of every class is due at once and before all else.
    """
    if len(counts) == 1:
        return [0] * size
    slack = 1 - 1 / (2 * len(counts) - 2)
    shares = (counts / counts.sum()).tolist()
    turns = list(range(len(counts)))[:size]
    waiting = [(_slot(2 - slack, share), name, 1) for name, share in enumerate(shares) if counts[name] > 1]
    heapq.heapify(waiting)
    due: list[tuple[float, int, int]] = []
    for slot in range(len(counts) + 1, size + 1):
        while waiting and (waiting[0][0] <= slot or not due):
            _, name, nth = heapq.heappop(waiting)
            heapq.heappush(due, ((nth + slack) / shares[name], name, nth))
        _, name, nth = heapq.heappop(due)
        turns.append(name)
        if nth + 1 < counts[name]:
            heapq.heappush(waiting, (_slot(nth + 2 - slack, shares[name]), name, nth + 1))
    return turns


def _slot(quota: float, share: float) -> int:
    return math.ceil(round(quota / share, 9))


def _shares(counts: Indices, total: int) -> Indices:
    """Split `total` over classes in proportion to `counts` by largest remainders, from 1 to count - 1 each."""
    quota = counts * (total / counts.sum())
    share = np.clip(np.floor(quota).astype(np.int64), 1, counts - 1)
    for position in np.argsort(share - quota, kind="stable"):
        if share.sum() >= total:
            break
        share[position] += share[position] < counts[position] - 1
    return share


def _need_two_each(names: Indices, counts: Indices, what: str, classes: Sequence[str] | None) -> None:
    small = [
        str(classes[name]) if classes else str(name) for name, count in zip(names, counts, strict=True) if count < 2
    ]
    if small:
        shown = ", ".join(small[:5]) + (f" and {len(small) - 5} more" if len(small) > 5 else "")
        raise ValueError(
            f"No {what} split can be carved out: {len(small)} of {len(names)} classes have a single image left "
            f"({shown}). "
            "Every class needs an image in each split: add images, remove the class, or provide the split yourself."
        )
