"""Looking inside (section 4.5, D.7, D.8; Figures 6, 7, 11, 14): what a trained ViT sees, for any weights and image.

    python -m experiments.inspection                      # the ViT that comes with vitlab, two photographs, seconds
    python -m experiments.inspection --preset digits_cpu                   # trains small models on digits, 3 minutes
    python -m experiments.inspection --checkpoint RUN_ID                   # a run of the store, with snapshots
    python -m experiments.inspection --checkpoint vit_base_patch16_224.augreg_in21k_ft_in1k --images cat.jpg
    python -m experiments.inspection --checkpoint weights.npz --model ViT-B/16 --images cat.jpg dog.png

Draws the image cut into tokens, the filters, the similarity of position embeddings, attention of each head as matrices
and over the image, its distance by depth, rollout, and the best classes by name; the page `index.html` explains each.
Several checkpoints are measured together: the first is drawn, seeds of one model give intervals, a ResNet its receptive
field. The claims stand in `experiments/inspection_evidence.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitlab.data.decode import short_side
from vitlab.report.families import family
from vitlab.runs.run import Run
from vitlab.study.command_line import Execution
from vitlab.study.plan import SEED, grid
from vitlab.study.settings import Settings, check_sizes
from vitlab.study.study import Study, by_data, by_weights, main
from vitlab.tasks.settings import Inspect, Recipe
from . import inspection_evidence as evidence
from . import peak_rates, recipes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vitlab.runs.store import Store


@dataclass(frozen=True)
class Inspection(Settings):
    """Settings of the study."""

    checkpoint: tuple[str, ...] = ()
    """Weights to open instead of training: run ids of the store, weight files, timm names, Hugging Face folders."""
    images: tuple[str, ...] = ()
    """Image files to look at; by default test images, or photographs where no data is known."""
    model: str = ""
    """The architecture of --checkpoint, such as ViT-B/16, where the weights do not say it."""
    checkpoint_size: int | None = None
    """Pixels at which --checkpoint is opened; by default its own."""
    data: str = ""
    """What to train on (by default digits), or where the images of --checkpoint's runs are now, if they were moved."""
    train_size: int | None = None
    """Number of training images; by default all."""
    depth: int | None = None
    """Layers of the Transformers; by default each model's own."""
    snapshots: int = 5
    """Weights kept along each training."""
    measured: int = 128
    """Test images over which attention distance is averaged."""


OPENING = ("checkpoint", "images", "model", "checkpoint_size", "data", "measured")  # what --checkpoint takes
CIFAR = Inspection(data="cifar10", patch=4, recipe=recipes.CIFAR_GPU, learning_rates=peak_rates.UNTUNED)
CPU = replace(recipes.CIFAR_SHORT, steps=2000, warmup_steps=200)
DIGITS = Recipe(steps=400, lr=2e-3, warmup_steps=30, evaluations=10)
PRESETS = {
    "quick": Inspection(checkpoint=("vitlab/vit_micro_4.tiny_imagenet_32",)),
    # Digits enlarged to 24 px, so that there are 6 x 6 tokens whose filters have something to see.
    "digits_cpu": Inspection(patch=4, image_size=24, depth=4, recipe=DIGITS),
    "cifar10": replace(CIFAR, sizes=("Micro",), seeds=5),
    "cifar10_cpu": replace(CIFAR, sizes=("Nano",), recipe=CPU, learning_rates=peak_rates.CIFAR10_SHORT.chosen),
    # Six layers, so that depth can be seen; without the hybrid, whose rate nobody has tried there. With all images the
    # trainings were cut short; with 2,000 as many steps are enough.
    "eurosat_cpu": Inspection(**recipes.EUROSAT_PAIR | {"models": ("ViT",)}, depth=6, train_size=2000),
}


def trainings(settings: Inspection) -> list[Run]:
    """The trainings whose weights are looked into, seed by seed, a ResNet once; the first is the one that is drawn."""
    settings = replace(settings, data=settings.data or "digits")
    check_sizes("train_size", settings.data, [settings.train_size])
    runs = settings.templates()
    depth = (("depth", settings.depth),) if settings.depth is not None else ()
    found = [
        replace(run, snapshots=settings.snapshots, options=() if family(run.model) == "ResNet" else depth)
        for run in runs
    ]
    seeds: dict[str, Sequence[Any]] = {"seed": range(settings.seeds)}
    if settings.train_size is not None:
        seeds = {SEED: range(settings.seeds), "data.train_size": (settings.train_size,)}
    return [run for run in grid(found, seeds) if run.seed == 0 or family(run.model) != "ResNet"]


def plan(settings: Inspection) -> list[Run]:
    """An inspection of every training; none for --checkpoint, which `measure` opens."""
    check_images(settings.images)
    if settings.checkpoint:
        unused = [one.name for one in fields(settings) if one.name not in OPENING and given(settings, one.name)]
        if unused:
            raise ValueError(
                f"{', '.join(settings.checkpoint)} is opened and nothing is trained, so that {', '.join(unused)} would "
                "change nothing; leave it out, or train with another --preset, such as digits_cpu."
            )
        return []
    runs = trainings(settings)
    if not runs or family(runs[0].model) == "ResNet":
        raise ValueError("There must be attention to draw: name a ViT or a hybrid first in --models.")
    task = Inspect(settings.measured)
    return [Run(run.model, run.data, task=task, seed=run.seed, init=run, options=run.options) for run in runs]


def given(settings: Inspection, name: str) -> bool:
    """Whether a setting is another one than by default."""
    return getattr(settings, name) != getattr(Inspection(), name)


def check_images(images: Sequence[str]) -> None:
    """Raise ValueError for a file that is no image, before anything is trained."""
    for image in images:
        try:
            short_side(Path(image).read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{image} cannot be read as an image ({error}); give files such as .jpg or .png."
            ) from None


def measure(settings: Inspection, how: Execution) -> list[dict[str, Any]]:
    """The rows of --checkpoint, opened one after the other so that only one is in memory."""
    if not settings.checkpoint:
        return []
    from vitlab.gallery.exhibits import open_all, subject_rows
    from vitlab.runs.place import Place

    place, rows = Place(how.runs, how.runs / "cache", "cpu", how.skip_bad_images), []
    opened = open_all(
        settings.checkpoint,
        place,
        model=settings.model,
        image_size=settings.checkpoint_size,
        data="" if how.dry_run else settings.data,
    )
    for number, subject in enumerate(opened):
        print(f"{subject.source}: {subject.name}, {' x '.join(map(str, subject.model.image_size))} px", flush=True)
        if not how.dry_run:
            rows += subject_rows(
                subject, place, number, data=settings.data, images=settings.images, count=settings.measured
            )
    return rows


def pictures(settings: Inspection, store: Store) -> Mapping[str, Figure]:
    """What the first model sees, from its weights."""
    from vitlab.gallery.exhibits import figures, open_all
    from vitlab.runs.place import Place

    # images that cannot be read were left out when it was trained or measured, or there would be nothing to show
    place, sources = Place(store.folder, store.folder / "cache", skip_bad_images=True), settings.checkpoint[:1]
    if not sources:
        first = trainings(settings)[0]
        if not store.weights(first).is_file():
            print(f"The weights of {first} are not here, so that there are no pictures of them.", file=sys.stderr)
            return {}
        sources = (first.id,)
    subject = next(
        open_all(sources, place, model=settings.model, image_size=settings.checkpoint_size, data=settings.data)
    )
    return figures(subject, place, images=settings.images, data=settings.data)


def folder(settings: Inspection) -> str:
    """Where the evidence goes: the checkpoint's name, else the data's."""
    if settings.checkpoint:
        return by_weights(settings.checkpoint[0])
    return by_data(replace(settings, data=settings.data or "digits"))


STUDY = Study(
    name="inspection",
    section="4.5, Figures 6, 7, 11, 14",
    question="What does a trained Vision Transformer look like inside?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    measure=measure,
    draw=evidence.draw,
    claims=evidence.CLAIMS,
    folder=folder,
    pictures=pictures,
    shown=frozenset(OPENING) - {"measured"},
)

if __name__ == "__main__":
    main(STUDY)
