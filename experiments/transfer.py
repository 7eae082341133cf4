"""Transfer by fine-tuning: at the resolution of pre-training and at higher ones (section 3.2), and a mini-VTAB.

    python -m experiments.transfer                                    # seven digits upstream, two others downstream
    python -m experiments.transfer --preset weights_cpu --downstream images/{cifar10,eurosat_64}

A larger image keeps the patch size: a longer sequence, whose position embeddings are interpolated in two dimensions or,
as the control, drawn anew; probes with zeros as positions say whether there is anything to lose. What is fine-tuned on
1,000 images a set at the resolution of pre-training is a small VTAB-1k (arXiv 1910.04867).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.phrases import UNSAID, leads
from vitlab.report.families import family
from vitlab.runs.run import Data, Run
from vitlab.study.plan import grid
from vitlab.study.settings import data_of
from vitlab.study.study import Study, main
from vitlab.study.upstream import Upstream, fine_tuned, folder, with_mean
from vitlab.tasks.settings import LinearProbe
from .recipes import UPSTREAM

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.evidence import Evidence

FRESH, WORTH = ", fresh positions", 0.02  # accuracy that positions must be worth for it to matter what they become
SIZE = Claim("transfer.size", "3.2", "higher resolution helps in fine-tuning", says=leads("on {data} "), paper=UNSAID)
INTERPOLATE = replace(SIZE, id="transfer.interpolate", statement="interpolated positions beat fresh ones")


@dataclass(frozen=True)
class Transfer(Upstream):
    """Settings of the study."""

    resolutions: tuple[float, ...] = (1.0, 1.5, 2.0)
    """Image sizes of fine-tuning, as multiples of that of pre-training."""
    resolution_sets: tuple[str, ...] = ()
    """Names of the sets that are fine-tuned at all resolutions; by default all of --downstream."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if low := [f"{factor:g}" for factor in self.resolutions if not factor >= 1]:
            raise ValueError(f"--resolutions has {', '.join(low)}; give multiples from 1 on: higher ones are compared.")


DIGITS = {"downstream": ("digits@3,5,8", "digits"), "resolution_sets": ("digits@3,5,8",), "resolutions": (1.0, 1.5)}
TINY = {"models": ("ViT", "ResNet"), "resolution_sets": ("eurosat",)}
VTAB = {"downstream": ("cifar10", "cifar100", "pets", "flowers102", "eurosat", "caltech101"), "finetune_size": 1000}
PRESETS = {
    "quick": Transfer(**UPSTREAM["quick"] | DIGITS),
    "tiny_imagenet": Transfer(**UPSTREAM["tiny_imagenet"] | {"finetune_size": 1000}),
    "tiny_imagenet_cpu": Transfer(**UPSTREAM["tiny_imagenet_cpu"] | TINY),
    "weights_cpu": Transfer(**UPSTREAM["weights_cpu"], resolution_sets=("eurosat", "cifar10"), resolutions=(1.0, 1.5)),
    "paper": Transfer(**UPSTREAM["paper"] | VTAB | {"resolutions": (1.0, 12 / 7)}),
}


def plan(settings: Transfer) -> list[Run]:
    """For each seed and model: every set at the resolution of pre-training, some at higher ones too."""
    several, found = resolution_sets(settings), []
    for start in settings.starts():
        for source, data in settings.sets().items():
            found += settings.fine_tunings(start, data)
            found += higher(settings, start, data) if source in several else []
    return found


def higher(settings: Transfer, start: Run, native: Data) -> list[Run]:
    """Fine-tunings of larger images, with both kinds of positions where there are any, and probes of their worth."""
    sizes = {round((native.image_size or 0) * factor) for factor in settings.resolutions}
    kinds = ("interpolate",) if family(start.model) == "ResNet" else ("interpolate", "fresh")
    axes = {"data.image_size": sorted(sizes - {native.image_size}), "task.positions": kinds}
    found = grid(settings.fine_tunings(start, native), axes)
    probes = [replace(settings.on_subset(start, native), task=LinearProbe(kind)) for kind in ("interpolate", "zero")]
    return found + probes if found and len(kinds) > 1 else found


def resolution_sets(settings: Transfer) -> set[str]:
    """The sets that are fine-tuned at all resolutions, by name or their card's; ValueError for an unknown one.

    Those of a preset count where --downstream still has them, and not where it names other sets.
    """
    described = [(source, *data_of(source)) for source in settings.downstream]
    names = {info.card.name: source for source, data, info in described if info.card and not data.classes}
    names |= {name: source for source, data, _ in described for name in (data.name, source)}
    ours = {name for preset in PRESETS.values() for name in preset.resolution_sets}
    asked = [name for name in settings.resolution_sets if name in names or name not in ours]
    if unknown := [name for name in asked if name not in names]:
        raise ValueError(f"--resolution_sets has {', '.join(unknown)}; the downstream sets are {', '.join(names)}.")
    return {names[name] for name in asked} or set(settings.downstream)


def draw(rows: pd.DataFrame, settings: Transfer) -> Evidence:
    """Accuracy against resolution, with positions interpolated and fresh, and the means of the groups of mini-VTAB."""
    from vitlab.data.cards import group_of
    from vitlab.report.build import bars, curves, pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table
    from vitlab.report.families import in_order

    tuned = fine_tuned(rows).query("split == 'test'")
    if tuned.empty:
        return Evidence(summary="Nothing has been fine-tuned yet.")
    curve = tuned["model"] + tuned["task.positions"].map({"interpolate": "", "fresh": FRESH})
    tuned = tuned.assign(curve=curve, arm=curve + tuned["image_size"].map(" at {:.0f} px".format))
    native = tuned[tuned["image_size"] == tuned["image_size"].min()]
    groups = with_mean(with_mean(native.assign(group=native["data.name"].map(group_of))), group="all")
    several = tuned[tuned.groupby(["title", "model"])["image_size"].transform("nunique") > 1]
    caption = f"Test accuracy in %, mean over seeds [95% interval]; rates chosen on validation. {describe(tuned)}."
    tables = [Table("vtab", pivot(groups, ["group", "title"], "model"), f"Mini-VTAB. {caption}")]
    axes: dict[str, Any] = {"ylabel": "test accuracy (%)", "title": "Fine-tuning from few images"}
    figures = {"vtab": bars(with_mean(native), category="title", series="model", **axes)}
    if len(several):
        tables.insert(0, Table("resolution", pivot(several, ["title", "curve"], "image_size"), f"By pixels. {caption}"))
        axes |= {"title": "Fine-tuning at higher resolution", "xlabel": "image size of fine-tuning (pixels)"}
        names = in_order(several["curve"])
        lines = curves(several, x="image_size", panel="title", series="curve", names=names, **axes)
        figures = {"figure": lines, **figures}
    return Evidence(verdicts(several, worth(rows)), tuple(tables), figures)


def worth(rows: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """What a probe of each model's pre-trained weights loses without positions on a set, where it is too little."""
    probes = rows.query("`task.kind` == 'linear_probe' and split == 'test'")
    means = probes.groupby(["model", "title", "task.positions"])["score"].mean().unstack()
    lost = means.reindex(columns=["interpolate", "zero"]) @ [1, -1]
    few = "positions of {} are worth {:.1f} points, not 2"
    return {key: [few.format(key[0], 100 * x)] * (x < WORTH) for key, x in lost.dropna().items()}


def verdicts(several: pd.DataFrame, positions: dict[tuple[str, str], list[str]]) -> tuple[Verdict, ...]:
    """Whether the highest resolution helps, and interpolation at it, for each model on each set."""
    from vitlab.claims.compare import compare

    found = []
    for (model, title), rows in several.groupby(["model", "title"]):
        low, high = (f" at {size:.0f} px" for size in (rows["image_size"].min(), rows["image_size"].max()))
        found.append(compare(SIZE, rows, model + high, model + low, by="arm"))
        doubts = positions.get((model, title), ["what positions are worth was not measured"])
        found.append(compare(INTERPOLATE, rows, model + high, model + FRESH + high, by="arm", doubts=doubts))
    return tuple(verdict for verdict in found if verdict)


STUDY = Study(
    name="transfer",
    section="3.2",
    question="What does fine-tuning at a higher resolution bring, and how well do the models transfer from few images?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(SIZE, INTERPOLATE),
    folder=folder,
)

if __name__ == "__main__":
    main(STUDY)
