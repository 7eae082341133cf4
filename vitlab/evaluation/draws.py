"""Which images a few-shot classifier sees, and how many draws a mean needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor


def draw_shots(labels: Tensor, shots: int, seed: int) -> Tensor:
    """Return indices (classes x shots,) of `shots` images of every class that occurs in `labels` (N,).

    The first K indices are one image of each class, the next K a second one, and so on: with the same seed, fewer
    shots are a prefix of more, so draws are nested. Raises ValueError for a class with fewer images than shots.
    """
    if shots < 1:
        raise ValueError(f"Few-shot learning needs at least 1 shot, not {shots}.")
    classes, sizes = labels.unique(return_counts=True)
    if int(sizes.min()) < shots:
        raise ValueError(
            f"Class {int(classes[sizes.argmin()])} has {int(sizes.min())} train images, fewer than the {shots} shots "
            f"asked for ({int((sizes < shots).sum())} of {len(classes)} classes are too small); ask for at most "
            f"{int(sizes.min())} shots or leave those classes out."
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels.cpu()[order]
    first = order[_rank_within_class(shuffled) < shots]
    by_class = first[labels.cpu()[first].argsort(stable=True)]
    return by_class.view(len(classes), shots).T.flatten()


def draw_seed(seed: int, draw: int) -> int:
    """Return the seed of `draw_shots` for draw number `draw`; two seeds share none of their first 10,000 draws."""
    return 10_000 * seed + draw


def folds_of(labels: Tensor, folds: int) -> list[Tensor]:
    """Return masks (N,) that hold out each image once, the same share of every class in each mask.

    There are as many masks as `folds` or as the images of the smallest class, if that is less; none for one image per
    class.
    """
    rank = _rank_within_class(labels)
    parts = min(folds, int(labels.unique(return_counts=True)[1].min()))
    return [rank % parts == part for part in range(parts)] if parts > 1 else []


def _rank_within_class(labels: Tensor) -> Tensor:
    """Return for each label (N,) how many equal labels stand before it."""
    order = labels.argsort(stable=True)
    sizes = labels.unique(return_counts=True)[1]
    starts = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels), device=labels.device) - starts
    return rank


def interval_width(deviation: float, draws: int, confidence: float = 0.95) -> float:
    """Return the full width of Student's interval for the mean of `draws` values with this sample deviation."""
    return float(2 * stats.t.ppf((1 + confidence) / 2, draws - 1) * deviation / np.sqrt(draws))


def draws_needed(
    accuracies: Sequence[float], *, width: float = 0.02, confidence: float = 0.95, least: int = 3, most: int = 200
) -> int:
    """Return how many draws in all the mean accuracy needs until its interval is narrower than `width`.

    `accuracies`, in [0, 1], are those of the draws done so far. Returns their number when it is enough, `least` when
    there are fewer than that, never more than `most`, and at most twice the draws done: few draws may misjudge the
    spread, so ask again after doing them.
    """
    done = len(accuracies)
    if done < max(least, 2):
        return min(max(least, 2), max(most, done))
    deviation = float(np.std(accuracies, ddof=1))
    limit = max(done, min(most, 2 * done))
    return next((n for n in range(done, limit) if interval_width(deviation, n, confidence) < width), limit)
