"""Figures and rows of weights that are opened for inspection, with the images that they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vitlab.data.loading import ImageData, load_data
from vitlab.data.shuffle import arranged
from vitlab.gallery.portrait import Picture, portrait
from vitlab.gallery.subjects import Subject, class_names, open_subject, read_picture
from vitlab.models import ResNet, ViT
from vitlab.report.inspection import pictures
from vitlab.report.similarity import Floats, positions_over_training
from vitlab.runs.execute import images_of
from vitlab.runs.inspecting import measure, normalised, similarity_of, stages
from vitlab.runs.place import Place
from vitlab.runs.run import Run
from vitlab.tasks.settings import TRAINING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PHOTOGRAPH_SIDE = 32  # px; a photograph shows nothing in fewer
VIEWS = 2


def figures(subject: Subject, place: Place, *, images: Sequence[str], data: str = "") -> dict[str, Figure]:
    """All pictures of one model: by file name, those of `vitlab.report.inspection`.

    `images`: files to look at; without any, test images of the data that it was trained on (`data` says where they
    are), or the two photographs that come with scikit-learn. Raises ValueError for a ResNet and for bad files.
    """
    known = data_of_subject(subject, place, data)
    drawn = pictures(portrait(subject, chosen_pictures(subject, known, images)))
    course = similarity_course(subject, known, place)
    if len(course) > 1 and isinstance(subject.model, ViT):
        drawn["positions_over_training"] = positions_over_training(course, subject.model.grid, model=subject.name)
    return drawn


def rows(subject: Subject, place: Place, *, images: Sequence[str], data: str, count: int) -> list[dict[str, Any]]:
    """What `measure` finds, over `count` test images where data is known, else over the pictures that are shown.

    A run of the store is measured at all of its snapshots too.
    """
    known = data_of_subject(subject, place, data)
    if known is None:
        inputs = subject.normalise(torch.stack([pixels for _, pixels, _ in chosen_pictures(subject, None, images)]))
    else:
        inputs = normalised(replace(known, mean=subject.mean, std=subject.std), count)
    trained = subject.run if subject.run is not None and isinstance(subject.run.task, TRAINING) else None
    course = (
        [("selected", 0, subject.model)] if trained is None or known is None else stages(trained, known, place.store)
    )
    about = {"task": "inspect", "run": subject.source, "model": subject.name, "image_size": subject.model.image_size[0]}
    about |= {
        "data": known.name if known else "images",
        "images": len(inputs),
        "seed": trained.seed if trained else None,
    }
    return [
        {**about, "stage": stage, "step": step, **row}
        for stage, step, model in course
        for row in measure(model, inputs, shapes=stage == "selected")
    ]


def data_of_subject(subject: Subject, place: Place, source: str) -> ImageData | None:
    """The data that `source` names, or that a run of the store was trained on; None where neither is given.

    Raises ValueError if it cannot be read, or holds no images of the model's shape.
    """
    size = subject.model.image_size
    if subject.run is not None:
        found = replace(subject.run.data, fingerprint="", source=source or subject.run.data.name, image_size=size[0])
        return images_of(replace(subject.run, data=found), place)
    if not source:
        return None
    if size[0] != size[1]:
        raise ValueError(
            f"--data gives square images, but {subject.source} takes {size[0]} x {size[1]} px: give --images."
        )
    return load_data(source, image_size=size[0], cache=place.cache, skip_bad_images=place.skip_bad_images)


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


def subject_of(run: Run, place: Place) -> Subject:
    """The weights of a finished run of the store."""
    return open_subject(run.id, place.store)
