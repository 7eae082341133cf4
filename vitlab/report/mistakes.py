"""What a classifier gets wrong: the matrix of confusions, and the images that it is furthest from right about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitlab.report.pictures import Image, image_grid
from vitlab.report.style import entitled, look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Counts = NDArray[np.int64]
MOST_CLASSES, ACROSS, ROWS = 20, 4, 3


def confusion(labels: Counts, predicted: Counts, classes: int) -> Counts:
    """How many images of each class (row) are said to be of each (column): (K, K)."""
    matrix = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def most_confused(matrix: Counts, most: int = MOST_CLASSES) -> Counts:
    """The classes that take part in most mistakes, at most so many, in their order."""
    wrong = matrix - np.diag(matrix.diagonal())
    involved = wrong.sum(0) + wrong.sum(1)
    return np.sort(np.argsort(-involved, kind="stable")[:most])


def confusion_figure(matrix: Counts, classes: Sequence[str], *, model: str) -> Figure:
    """The matrix in colours, each row as shares of its class, with the number of images in each cell."""
    kept = most_confused(matrix)
    shown, totals = matrix[np.ix_(kept, kept)], matrix.sum(1)[kept]
    shares = shown / np.maximum(totals, 1)[:, None]
    names, side = [_short(classes[k]) for k in kept], 2.0 + 0.34 * len(kept)
    few = f"the {len(kept)} of {len(classes)} classes with most mistakes; " if len(kept) < len(classes) else ""
    with look():
        figure = new_figure(max(side, 4.6), max(side, 3.8))
        body = entitled(
            figure, f"What {model} takes for what", f"{few}numbers of test images; colours: shares of a row"
        )
        axes = body.subplots()
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for i, j in np.argwhere(shown):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{shown[i, j]}", ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(kept)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(kept)), names)
        axes.set(xlabel="what the model says", ylabel="class")
        axes.grid(False)
    return figure


def mistakes_figure(images: Sequence[Image], words: Sequence[str], *, model: str) -> Figure:
    """Images (H, W, 3), the worst first, each above its words."""
    places = range(0, len(images), ACROSS)
    about: dict[str, Any] = {"title": f"What {model} is furthest from right about", "cell": 1.5}
    return image_grid(
        [images[at : at + ACROSS] for at in places],
        captions=[words[at : at + ACROSS] for at in places],
        subtitle="Test images, the worst first: their class, and what the model says with which probability.",
        **about,
    )


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17].rstrip()}…"


def words(true: str, said: str, probability: float) -> str:
    """Two lines under an image."""
    return f"{_short(true)}\nsaid {_short(said)} ({100 * probability:.0f}%)"
