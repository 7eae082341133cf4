"""What a model opened for inspection makes of images: from its weights and pixels to arrays, and to figures of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from vitlab.data.layout import STAMP
from vitlab.data.loading import ImageData, load_data
from vitlab.data.shuffle import arranged
from vitlab.gallery.grids import Floats, positions_over_training
from vitlab.gallery.portrait import Portrait, View, pictures
from vitlab.gallery.subjects import Subject, class_names, open_subject, read_picture
from vitlab.inspection import attention_rollout, cls_attention, principal_filters
from vitlab.machine import signature
from vitlab.models import Inspection, ResNet, ViT
from vitlab.models.archives import naming
from vitlab.models.zoo import settings_of
from vitlab.runs.execute import execute, images_of
from vitlab.runs.inspecting import normalised, opened_rows, similarity_of, stages
from vitlab.runs.place import Listener, Place
from vitlab.runs.rows import flat
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import TRAINING, Inspect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = tuple[str, Tensor, str]  # name, uint8 (3, H, W), the right class or ""
PHOTOGRAPH_SIDE = 32  # px; a photograph shows nothing in fewer
VIEWS = 2
MOST_LAYERS = 6
LARGEST_MATRIX = 224  # beyond that a panel has fewer dots than the matrix has tokens


def figures(subject: Subject, place: Place, *, images: Sequence[str], data: str = "") -> dict[str, Figure]:
    """All pictures of one model: by file name, those of `vitlab.gallery.portrait`.

    `images`: files to look at; without any, test images of the data that it was trained on (`data` says where they
    are), or the two photographs that come with scikit-learn. Raises ValueError for a ResNet and for bad files.
    """
    known = data_of_subject(subject, place, data)
    drawn = pictures(portrait(subject, chosen_pictures(subject, known, images)))
    course = similarity_course(subject, known, place)
    if len(course) > 1 and isinstance(subject.model, ViT):
        drawn["positions_over_training"] = positions_over_training(course, subject.model.grid, model=subject.name)
    return drawn


def subject_rows(
    subject: Subject, place: Place, number: int, *, data: str, images: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """What inspecting the `number`-th subject finds, over `count` test images or over the pictures that are shown.

    A run of the store is inspected as studies do it, at all of its snapshots; its own rows come first. Raises
    ValueError if that fails.
    """
    run = subject.run
    if run is not None and isinstance(run.task, TRAINING):
        data_of_subject(subject, place, data)  # says in its own words if the images are not there
        run = replace(run, data=replace(run.data, source=data or place.store.source(run) or run.data.name))
        looked = Run(run.model, run.data, task=Inspect(count), seed=run.seed, init=run, options=run.options)
        outcome = execute(looked, place, Listener(lambda event: None, lambda: False))
        if outcome.status != "finished":
            raise ValueError(f"{subject.source} cannot be inspected: {outcome.reason}")
        return [*place.store.rows(run), *outcome.rows]
    known = data_of_subject(subject, place, data)
    if known is None:
        inputs = subject.normalise(torch.stack([pixels for _, pixels, _ in chosen_pictures(subject, None, images)]))
    else:
        inputs = normalised(replace(known, mean=subject.mean, std=subject.std), count)
    shown = Data(known.name if known else "images", known.fingerprint if known else "", subject.model.image_size[0])
    options = tuple(settings_of(subject.model).overrides.items())
    looked = Run(subject.name, shown, task=Inspect(count), seed=number, init=subject.source, options=options)
    about = {"run": looked.id, "status": "finished", **flat(looked), "title": known.title if known else "images"}
    return [about | row | signature() for row in opened_rows(subject.model, inputs, number)]


def data_of_subject(subject: Subject, place: Place, source: str) -> ImageData | None:
    """The data that `source` names, or that a run of the store was trained on, which remembers where it was; else None.

    Raises ValueError if it cannot be read, holds no images of the model's shape, or is not what the run was trained on.
    """
    size = subject.model.image_size
    if subject.run is not None:
        where = source or place.store.source(subject.run) or subject.run.data.name
        found = replace(subject.run.data, fingerprint="", source=where, image_size=size[0])
        with naming(subject.source, "was trained on images that cannot be read; say with --data where they are"):
            images = images_of(replace(subject.run, data=found), place)
        if not trained_on(subject, images):
            raise ValueError(
                f"{subject.source} was trained on {subject.run.data.name}, and {where} has other images: say with "
                "--data where those are. For other images name files with --images, or open the weights as a file: "
                f"--checkpoint {place.store.weights(subject.run)}."
            )
        return images
    if not source:
        return None
    if size[0] != size[1]:
        raise ValueError(
            f"--data gives square images, but {subject.source} takes {size[0]} x {size[1]} px: give --images."
        )
    return load_data(source, image_size=size[0], cache=place.cache, skip_bad_images=place.skip_bad_images)


def trained_on(subject: Subject, images: ImageData) -> bool:
    """Whether a run of the store was trained on `images`; where its plan did not look into them (large ones, and those
    that were not fetched yet), their colours tell.
    """
    planned = subject.run.data.fingerprint if subject.run else ""
    if planned and not planned.startswith(STAMP):
        return images.fingerprint == planned
    return np.allclose((subject.mean, subject.std), (images.mean, images.std), atol=1e-3)


def chosen_pictures(subject: Subject, data: ImageData | None, images: Sequence[str]) -> list[Picture]:
    """The images to look at, at the model's size: the files given, else test images, else photographs."""
    size = subject.model.image_size
    if images:
        read = [(Path(image).stem, read_picture(Path(image), size), "") for image in images]
        return read if data is None else [(name, arranged(pixels[None], data)[0], "") for name, pixels, _ in read]
    if data is not None:
        return test_pictures(data)
    if min(size) < PHOTOGRAPH_SIDE:
        raise ValueError(
            f"{subject.source} takes images of {size[0]} x {size[1]} px, too few for a photograph: give --images or "
            "--data."
        )
    return photographs(size)


def test_pictures(data: ImageData) -> list[Picture]:
    """Test images of different classes, the first of each, as models see them, with the classes' names."""
    labels = data.test.labels.tolist()
    first = [labels.index(label) for label in dict.fromkeys(labels)][:VIEWS]
    pixels = arranged(data.test.images(torch.tensor(first)).cpu(), data)
    return [(f"test image {i}", pixels[n], data.classes[labels[i]]) for n, i in enumerate(first)]


def photographs(size: tuple[int, int]) -> list[Picture]:
    """The two photographs that come with scikit-learn (CC BY), a temple and a flower."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [(name, read_picture(folder / f"{name}.jpg", size), "") for name in ("china", "flower")]


def similarity_course(subject: Subject, data: ImageData | None, place: Place) -> dict[int, Floats]:
    """Position similarity (N, N) at each snapshot of the subject's training, by step; empty without snapshots."""
    if subject.run is None or data is None:
        return {}
    found: dict[int, Floats] = {}
    for stage, step, model in stages(subject.run, data, place.store):
        similarity = similarity_of(model) if stage == "snapshot" and isinstance(model, ViT) else None
        if similarity is not None:
            found[step] = similarity.flatten(2).flatten(0, 1).numpy()
    return found


def open_all(
    sources: Sequence[str], place: Place, *, model: str, image_size: int | None, data: str
) -> Iterator[Subject]:
    """Open one source after the other; classes get the names of `data` where the source has none of its own.

    Raises ValueError for what cannot be opened, and if the first is a ResNet, which has no attention to draw.
    """
    for number, source in enumerate(sources):
        subject = open_subject(source, place.store, model=model, image_size=image_size)
        if number == 0 and isinstance(subject.model, ResNet):
            raise ValueError(
                f"{source} is a ResNet ({subject.name}), which has no attention to draw: name a ViT or a hybrid first; "
                "a ResNet may follow, for its receptive field."
            )
        yield replace(subject, classes=named(subject, data, place)) if data else subject


def named(subject: Subject, data: str, place: Place) -> tuple[str, ...]:
    """The subject's class names, those of the data where it has numbers only."""
    if subject.classes[0] != "class 0":
        return subject.classes
    known = data_of_subject(subject, place, data)
    return class_names(known.classes if known else None, len(subject.classes))


def portrait(subject: Subject, pictures: Sequence[Picture], *, best: int = 5) -> Portrait:
    """Look at `pictures` through a model, one at a time, so that only one image's attention is in memory.

    Raises ValueError for a ResNet, which has no attention.
    """
    model = subject.model
    if isinstance(model, ResNet):
        raise ValueError(
            f"{subject.source} is a ResNet ({subject.name}), which has no attention to draw: put a ViT or a hybrid "
            "first; a ResNet may follow, for its receptive field."
        )
    views = []
    for name, pixels, truth in pictures:
        with torch.no_grad():
            seen = model.inspect(subject.normalise(pixels[None]))
        views.append(view(subject, model, seen, name, pixels, truth, best))
        del seen  # before the next image makes its own
    tiles = principal_filters(first_filters(model))
    similarity = similarity_of(model)
    n = model.grid[0] * model.grid[1]
    return Portrait(
        subject.name,
        int(model.token_stride),
        model.grid,
        model.prefix_tokens,
        tuple(views),
        filters=(tiles.tiles * 255).round().byte().numpy(),
        explained=tiles.explained.numpy(),
        similarity=None if similarity is None else similarity.reshape(n, n).numpy(),
        hybrid=not isinstance(model.backbone, torch.nn.Identity),
    )


def view(subject: Subject, model: ViT, seen: Inspection, name: str, pixels: Tensor, truth: str, best: int) -> View:
    """One image through the model's eyes."""
    chosen = spread(len(seen.attention))
    kept = [seen.attention[layer] for layer in chosen]
    focus = [focus_of(matrix, model)[0] for matrix in kept]
    shares, classes = seen.logits[0].softmax(-1).topk(min(best, seen.logits.shape[1]))
    about: dict[str, Any] = {"grid": model.grid, "prefix": model.prefix_tokens, "pooling": model.config.pooling}
    rollout = attention_rollout(seen.attention, **about)
    return View(
        name,
        pixels.permute(1, 2, 0).numpy(),
        tuple((subject.classes[int(k)], float(share)) for k, share in zip(classes, shares, strict=True)),
        tuple(layer + 1 for layer in chosen),
        np.stack([reduced(matrix[0]).numpy() for matrix in kept]),
        torch.stack(focus).numpy(),
        rollout[0].numpy(),
        truth,
    )


def spread(layers: int) -> list[int]:
    """All layers if they are few, else four from first to last."""
    return list(range(layers)) if layers <= MOST_LAYERS else [round(i * (layers - 1) / 3) for i in range(4)]


def focus_of(attention: Tensor, model: ViT) -> Tensor:
    """Maps (B, heads, h, w): what the class token attends to, or what all tokens do on average where there is none."""
    if model.prefix_tokens:
        return cls_attention(attention, grid=model.grid)
    return attention.mean(2).unflatten(-1, model.grid)


def reduced(matrix: Tensor) -> Tensor:
    """(heads, T, T) averaged down to at most `LARGEST_MATRIX` a side."""
    return matrix if matrix.shape[-1] <= LARGEST_MATRIX else adaptive_avg_pool2d(matrix, LARGEST_MATRIX)


def first_filters(model: ViT) -> Tensor:
    """The filters that see pixels: the patch embedding, or in a hybrid the first convolution of its CNN."""
    convolution = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
    if isinstance(model.backbone, torch.nn.Identity):
        convolution = model.patch
    return convolution.weight
