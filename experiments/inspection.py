"""Looking inside (section 4.5, D.7, D.8; Figures 6, 7, 11, 14): what a trained ViT sees, for any weights and image.

    python -m experiments.inspection                                        # trains small models on digits, 3 minutes
    python -m experiments.inspection --checkpoint RUN_ID --data cifar10     # a run of the store, at all its snapshots
    python -m experiments.inspection --checkpoint vit_base_patch16_224.augreg_in21k_ft_in1k --images cat.jpg
    python -m experiments.inspection --checkpoint weights.npz --model ViT-B/16 --images cat.jpg dog.png

Draws the image cut into tokens, the filters, the similarity of position embeddings, attention of each head as matrices
and over the image, its distance by depth, rollout, and the best classes by name; the page `index.html` explains each.
Several checkpoints are measured together: the first is drawn, seeds of one model give intervals, a ResNet its receptive
field. Without any, models are trained with snapshots, and the paper's statements are held against them.

Result of the quick preset (3 seeds, 200 steps, 1,149 digits at 24 px): neighbouring position embeddings of the ViT
become alike (cosine +0.15 [0.06, 0.31] over others), those of the hybrid not yet surely; all heads stay about as
global as untrained ones, so that nothing can be said about depth and local heads at this size.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from vitlab.report.names import family

from experiments.data_scaling import CIFAR_CPU, CIFAR_GPU
from experiments.data_scaling import PRESETS as TUNED
from vitlab.data.decode import short_side
from vitlab.runs.place import Place
from vitlab.runs.run import Run
from vitlab.study import Evidence, Study, conclude, data_of, place_of
from vitlab.study import main as study_main
from vitlab.study.command_line import Execution, fail, parse
from vitlab.tasks.settings import Inspect, Recipe

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from vitlab.gallery.subjects import Subject
    from vitlab.runs.store import Store


@dataclass(frozen=True)
class Inspection:
    """Settings of the study."""

    checkpoint: tuple[str, ...] = ()
    """Weights to open instead of training: run ids of the store, weight files, timm names, Hugging Face folders."""
    images: tuple[str, ...] = ()
    """Image files to look at; by default test images, or photographs where no data is known."""
    model: str = ""
    """The architecture of --checkpoint, such as ViT-B/16, where the weights do not say it."""
    checkpoint_size: int | None = None
    """Pixels at which --checkpoint is opened; by default its own."""
    name: str = ""
    """The folder under results/inspection; by default the data's name or the checkpoint's."""
    data: str = ""
    """What to train on (by default digits), or where the images of --checkpoint's runs are."""
    models: tuple[str, ...] = ("ViT-Pico/4", "HybridViT-Pico/4", "ResNet-Pico")
    """Models to train; the first is drawn."""
    depth: int | None = None
    """Layers of the Transformers; by default each model's own."""
    image_size: int | None = None
    """Pixels of the trainings; by default the data's own."""
    seeds: int = 3
    """Trainings of each ViT and hybrid; of a ResNet there is one."""
    snapshots: int = 5
    """Weights kept along each training."""
    measured: int = 128
    """Test images over which attention distance is averaged."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Peak rate of each family, taken where --lr is 0."""
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe(lr=0.0)


PRESETS = {
    # Digits enlarged to 24 px, so that there are 6 x 6 tokens whose filters have something to see.
    "quick": Inspection(
        image_size=24,
        depth=3,
        recipe=Recipe(steps=200, batch_size=64, lr=0.0, warmup_steps=30, evaluations=10),
        learning_rates={"ViT": 2e-3, "HybridViT": 2e-3, "ResNet": 2e-3},
    ),
    "cifar10": Inspection(
        data="cifar10",
        models=("ViT-Micro/4", "HybridViT-Micro/4", "ResNet-Micro"),
        seeds=5,
        recipe=CIFAR_GPU,
        learning_rates=TUNED["cifar10"].learning_rates,
    ),
    "cifar10_cpu": Inspection(
        data="cifar10",
        models=("ViT-Nano/4", "HybridViT-Nano/4", "ResNet-Nano"),
        recipe=replace(CIFAR_CPU, steps=2000, warmup_steps=200),
        learning_rates=TUNED["cifar10_cpu"].learning_rates,
    ),
}


def trainings(settings: Inspection) -> list[Run]:
    """The trainings whose weights are looked into, seed by seed; the first is the one that is drawn."""
    data, _ = data_of(settings.data or "digits", image_size=settings.image_size)
    runs = []
    for seed in range(settings.seeds):
        for name in settings.models:
            if family(name) == "ResNet" and seed:
                continue
            rate = settings.recipe.lr or settings.learning_rates.get(family(name), 1e-3)
            options = (("depth", settings.depth),) if settings.depth and family(name) != "ResNet" else ()
            recipe = replace(settings.recipe, lr=rate)
            runs.append(Run(name, data, recipe, seed=seed, options=options, snapshots=settings.snapshots))
    return runs


def plan(settings: Inspection) -> list[Run]:
    """An inspection of every training."""
    if family(settings.models[0]) == "ResNet":
        raise ValueError(f"{settings.models[0]} has no attention to draw: name a ViT or a hybrid first in --models.")
    return [
        Run(run.model, run.data, task=Inspect(settings.measured), seed=run.seed, init=run, options=run.options)
        for run in trainings(settings)
    ]


def draw(rows: pd.DataFrame, settings: Inspection) -> Evidence:
    """Distances, summaries over training, verdicts and the page, from the rows of the inspections."""
    from vitlab.report import inspected, inspection_page, page, verdict
    from vitlab.report.tables import to_markdown

    done = rows[(rows["task"] == "inspect") & (rows["status"] == "finished")]
    found = inspected.verdicts(done)
    drawn = {"distance": inspected.distance_by_depth(done)}
    if inspected.has_course(done):
        drawn["over_training"] = inspected.over_training(done)
    model = done[done["run"] == settings.checkpoint[0]]["model"].iloc[0] if settings.checkpoint else settings.models[0]
    shown = inspection_page.page(
        done,
        [*drawn, *picture_names(done, settings)],
        found,
        model=model,
        title=f"Inside {model}, {settings.name or folder(settings)}",
        footer="Numbers are in rows.csv, where they come from in provenance.json.",
    )
    shapes = to_markdown(inspection_page.shapes_table(done, model))
    return Evidence(
        inspected.answer(found),
        f"{to_markdown(inspected.summary_table(done))}\n{shapes}",
        drawn,
        {"index.html": page.to_html(shown, base=Path()), "verdicts.md": verdict.to_markdown(found)},
    )


def picture_names(rows: pd.DataFrame, settings: Inspection) -> list[str]:
    """Names of the pictures that `pictures` draws of the first model."""
    from vitlab.report.inspected import has_course

    views = range(1, (len(settings.images) or 2) + 1)
    each = [f"{kind}_{view}" for kind in ("attention", "class_token") for view in views]
    names = ["patches", "filters", "rollout", "classes", *each]
    if "positions" in set(rows["part"]):
        names += ["positions", "positions_over_training"] if has_course(rows) else ["positions"]
    return names


def pictures(settings: Inspection, store: Store) -> dict[str, Figure]:
    """What the first model sees, from its weights."""
    from vitlab.gallery.exhibits import figures, subject_of

    place = Place(store.folder, store.folder / "cache")
    if settings.checkpoint:
        return figures(next(subjects(settings, place)), place, images=settings.images, data=settings.data)
    return figures(subject_of(trainings(settings)[0], place), place, images=settings.images, data=settings.data)


def folder(settings: Inspection) -> str:
    """Where the evidence goes: the name asked for, else the checkpoint's, else the data's."""
    if settings.name:
        return settings.name
    if settings.checkpoint:
        return re.sub(r"[^\w.-]+", "_", Path(settings.checkpoint[0]).name)
    return data_of(settings.data or "digits")[0].name


STUDY = Study(
    name="inspection",
    question="What does a trained Vision Transformer look like inside?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=folder,
    pictures=pictures,
)


def inspect_checkpoints(settings: Inspection, how: Execution, arguments: Sequence[str]) -> int:
    """Measure and draw given weights in this process; returns the exit code."""
    from vitlab.runs.tracking import Tracker

    place = Place(how.runs, how.runs / "cache", "cpu", how.skip_bad_images)
    tracker = Tracker(STUDY.name, how.wandb, how.runs)
    if how.dry_run:
        for subject in subjects(settings, place):
            print(f"{subject.source}: {subject.name}, {' x '.join(map(str, subject.model.image_size))} px")
        return 0
    found = checkpoint_rows(settings, place)
    conclude(STUDY, settings, found, place.store, place_of(STUDY, settings, how.results), arguments, tracker)
    return 0


def subjects(settings: Inspection, place: Place) -> Iterator[Subject]:
    """Every checkpoint, opened when its turn comes, so that only one is in memory."""
    from vitlab.gallery.exhibits import open_all

    return open_all(
        settings.checkpoint, place, model=settings.model, image_size=settings.checkpoint_size, data=settings.data
    )


def checkpoint_rows(settings: Inspection, place: Place) -> list[dict[str, Any]]:
    """Rows of all checkpoints; those without a training seed of their own are told apart by their place in the list."""
    from vitlab.gallery.exhibits import rows
    from vitlab.report.provenance import commit, hardware, versions

    signed = {
        "study": STUDY.name,
        "status": "finished",
        "hardware": hardware(),
        **versions(("torch", "timm", "vitlab")),
        "commit": commit()[0] or "unknown",
        "date": datetime.date.today().isoformat(),
    }
    return [
        {**row, "seed": number if row["seed"] is None else row["seed"], **signed}
        for number, subject in enumerate(subjects(settings, place))
        for row in rows(subject, place, images=settings.images, data=settings.data, count=settings.measured)
    ]


def check_images(images: Sequence[str]) -> None:
    """Raise ValueError for a file that is no image, before anything is trained."""
    for image in images:
        try:
            short_side(Path(image).read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{image} cannot be read as an image ({error}); give files such as .jpg or .png."
            ) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line: the study, or a look into the weights of --checkpoint; exit codes as all studies."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        settings, how = parse(f"experiments.{STUDY.name}", STUDY.question, PRESETS, arguments)
        check_images(settings.images)
        if not settings.checkpoint or how.redraw:
            study_main(STUDY, arguments)
        raise SystemExit(inspect_checkpoints(settings, how, arguments))
    except ValueError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
