"""What the best model of a study gets wrong on the test images, from its stored weights."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from torch import Tensor

from vitlab.data.loading import ImageData
from vitlab.data.shuffle import arranged
from vitlab.gallery.grids import Image, image_grid
from vitlab.models import Model, load
from vitlab.report.style import entitled, look, new_figure
from vitlab.runs.execute import images_of
from vitlab.runs.place import Place, Store
from vitlab.runs.run import Run
from vitlab.tasks.settings import Classify

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Counts = NDArray[np.int64]
BATCH = 256
MOST_CLASSES, ACROSS, ROWS = 20, 4, 3


def figures_of_best(plan: Sequence[Run], store: Store) -> dict[str, Figure]:
    """`confusion` and `mistakes` of the training that did best on validation; none where its weights are elsewhere."""
    from sklearn.metrics import confusion_matrix

    best = best_of(plan, store)
    if best is None:
        return {}
    if not store.weights(best).is_file():
        print(f"The weights of {best} are not here, so that its mistakes are not drawn.", file=sys.stderr)
        return {}
    # images that cannot be read were left out when it was trained, or there would be no training
    data = images_of(best, Place(store.folder, store.folder / "cache", skip_bad_images=True))
    probabilities = test_probabilities(load(store.weights(best)), data)
    labels, said = data.test.labels, probabilities.argmax(1)
    matrix = confusion_matrix(labels.numpy(), said.numpy(), labels=range(len(data.classes)))
    name = best.model if best.init is None else f"{best.model}, pre-trained,"
    found = {"confusion": confusion_figure(matrix, data.classes, model=name)}
    if len(worst := worst_of(probabilities, labels)):
        images = arranged(data.test.images(worst).cpu(), data).permute(0, 2, 3, 1).numpy()
        told = [
            words(data.classes[labels[i]], data.classes[said[i]], float(probabilities[i, said[i]]), data.test_name(i))
            for i in worst.tolist()
        ]
        found["mistakes"] = mistakes_figure(list(images), told, model=name)
    return found


def best_of(plan: Sequence[Run], store: Store) -> Run | None:
    """The finished training on most images whose kind (all but the seed) has the best mean validation accuracy.

    Of its seeds the one with the best validation accuracy.
    """
    scores = {
        run: float(row["score"])
        for run in plan
        for row in (store.rows(run) if isinstance(run.task, Classify) else [])
        if row.get("split") == "validation" and "score" in row
    }
    sizes = {run: run.data.train_size or float("inf") for run in scores}
    kinds: dict[tuple[object, ...], list[Run]] = {}
    for run in scores:
        if sizes[run] == max(sizes.values()):
            kinds.setdefault((run.model, run.init, run.recipe), []).append(run)
    if not kinds:
        return None
    runs = max(kinds.values(), key=lambda own: sum(scores[run] for run in own) / len(own))
    return max(runs, key=scores.__getitem__)


@torch.no_grad()
def test_probabilities(model: Model, data: ImageData) -> Tensor:
    """What a model says of each test image (N, K), as probabilities."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    model.eval()
    batches = torch.arange(len(data.test)).split(BATCH)
    inputs = ((arranged(data.test.images(batch).cpu(), data).float() / 255 - mean) / std for batch in batches)
    return torch.cat([model(images).softmax(1) for images in inputs])


def worst_of(probabilities: Tensor, labels: Tensor, most: int = ACROSS * ROWS) -> Tensor:
    """Misclassified images (indices), the one with the least probability of its own class first."""
    wrong = (probabilities.argmax(1) != labels).nonzero().squeeze(1)
    own = probabilities[wrong, labels[wrong]]
    return wrong[own.argsort(stable=True)][:most]


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
    starts = range(0, len(images), ACROSS)
    return image_grid(
        [images[at : at + ACROSS] for at in starts],
        captions=[words[at : at + ACROSS] for at in starts],
        title=f"What {model} is furthest from right about",
        subtitle="Test images, the worst first: class, what the model says with which probability, file.",
        cell=1.5,
    )


def _short(name: str, most: int = 18) -> str:
    """The beginning of a name, at most so many columns wide; a Chinese or Japanese letter takes two."""
    return name if cell_len(name) <= most else f"{set_cell_size(name, most - 1).rstrip()}…"


def words(true: str, said: str, probability: float, name: str) -> str:
    """Three lines under an image: its class, what the model says, and the end of the image's own name."""
    file = PurePath(name).name
    file = file if len(file) <= 22 else f"…{file[-21:]}"
    return f"{_short(true)}\nsaid {_short(said, 13)} ({100 * probability:.0f}%)\n{file}"
