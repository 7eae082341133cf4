"""Transfer by fine-tuning: at the resolution of pre-training and at higher ones (section 3.2), and a mini-VTAB.

    python -m experiments.transfer                                    # seven digits upstream, three others downstream
    python -m experiments.transfer --preset tiny_imagenet_cpu --upstream images/tiny_imagenet_32 \
        --downstream images/{cifar10,caltech101_64,eurosat_64,flowers89_64}

A larger image keeps the patch size, so that the sequence becomes longer; the position embeddings are interpolated in
two dimensions, or, as the control, drawn anew. The fine-tunings at the resolution of pre-training, from 1,000 training
images each, are a small version of VTAB-1k (arXiv 1910.04867): sets by group, mean of each group. The 200 validation
images of VTAB-1k are the set's own validation split here.

`quick` (3 seeds, 2 x Intel Xeon with AMX, 2 minutes): images of 8 px hold no more at 12 px, and nothing is gained;
interpolation against fresh positions: +4.9 [-10.8, +16.6] points (ViT), -1.9 [-4.3, +0.6] (HybridViT): undecided.
`tiny_imagenet_cpu` (3 seeds, 2 x Intel Xeon with AMX, 23 minutes after `few_shot`, most of them on one core): the ViT
gains 3.0 [2.6, 3.6] points on EuroSAT from 32 to 64 px, and as much with fresh positions as with interpolated ones;
mini-VTAB: ViT 40.5 [39.2, 42.1], ResNet 27.0 [19.6, 32.8] %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from vitlab.report.names import family

from experiments.data_scaling import PRESETS as TUNED
from experiments.data_scaling import model_names
from experiments.few_shot import ADAM, FOUR
from experiments.few_shot import PRESETS as FEW_SHOT
from experiments.upstream import (
    RATES_CPU,
    SGD,
    SGD_CPU,
    Upstream,
    evidence_folder,
    fine_tuned,
    fine_tunings,
    native_size,
    some_classes,
    starts,
)
from vitlab.runs.run import Run
from vitlab.study import Evidence, Study, main, titled
from vitlab.tasks.settings import Positions

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.tables import Table

POSITIONS: tuple[Positions, ...] = get_args(Positions)


@dataclass(frozen=True)
class Transfer(Upstream):
    """Settings of the study."""

    train_size: int = 1000
    """Fine-tuning images of each set."""
    resolutions: tuple[float, ...] = (1.0, 1.5, 2.0)
    """Image sizes of fine-tuning, as multiples of that of pre-training."""
    resolution_sets: tuple[str, ...] = ()
    """Names of the sets that are fine-tuned at all resolutions; by default all of `downstream`."""


PRESETS = {
    "quick": Transfer(
        pretrain=ADAM,
        learning_rates=TUNED["quick"].learning_rates,
        finetune=replace(SGD, steps=100, batch_size=64, evaluations=3),
        rates=(0.003, 0.01, 0.03),
        train_size=100,
        downstream=("digits@3,5,8", "digits"),
        resolutions=(1.0, 1.5),
        resolution_sets=("digits@3,5,8",),
    ),
    "tiny_imagenet": Transfer(
        upstream="tiny_imagenet_32",
        downstream=FOUR,
        sizes=("Micro", "Small"),
        patch=4,
        pretrain=FEW_SHOT["tiny_imagenet"].pretrain,
        learning_rates=TUNED["cifar10"].learning_rates,
        finetune=replace(SGD, steps=2500, precision="bf16"),
    ),
    "tiny_imagenet_cpu": Transfer(
        upstream="tiny_imagenet_32",
        downstream=FOUR,
        models=("ViT", "ResNet"),
        sizes=("Nano",),
        patch=4,
        pretrain=FEW_SHOT["tiny_imagenet_cpu"].pretrain,
        learning_rates=TUNED["tiny_imagenet_cpu"].learning_rates,
        finetune=SGD_CPU,
        rates=RATES_CPU,
        resolution_sets=("eurosat",),
    ),
    "paper": Transfer(
        upstream="imagenet21k",
        downstream=("cifar10", "cifar100", "pets", "flowers102", "eurosat", "caltech101"),
        models=("ViT-B/32", "ViT-B/16", "ViT-L/16", "R50x1", "R152x2"),
        image_size=224,
        pretrain=FEW_SHOT["paper"].pretrain,
        finetune=replace(SGD, steps=2500, precision="bf16"),
        resolutions=(1.0, 12 / 7),
    ),
}


def plan(settings: Transfer) -> list[Run]:
    """For each seed and model: every set at the resolution of pre-training, then some at the higher ones."""
    found: list[Run] = []
    for start in starts(settings, model_names(settings)):
        for source, size, positions in conditions(settings, start.model):
            data, _ = some_classes(source, image_size=size, train_size=settings.train_size, subset_seed=start.seed)
            found += fine_tunings(settings, start, data, positions)
    return found


def conditions(settings: Transfer, model: str) -> list[tuple[str, int, Positions]]:
    """(set, image size in pixels, what becomes of positions) of each fine-tuning; a ResNet has no positions to lose.

    Raises:
        ValueError: if a set of `resolution_sets` is not among the downstream ones.
    """
    native = native_size(settings)
    names = set_names(settings)
    unknown = [name for name in settings.resolution_sets if name not in names]
    if unknown:
        raise ValueError(f"--resolution_sets has {', '.join(unknown)}; the downstream sets are {', '.join(names)}.")
    found: list[tuple[str, int, Positions]] = [(source, native, "interpolate") for source in settings.downstream]
    for source in [names[name] for name in settings.resolution_sets] or settings.downstream:
        for size in (round(native * factor) for factor in settings.resolutions):
            kinds = POSITIONS if family(model) != "ResNet" else POSITIONS[:1]
            found += [(source, size, kind) for kind in kinds if size != native]
    return found


def set_names(settings: Transfer) -> dict[str, str]:
    """The downstream sets by name; a local copy such as `eurosat_64` goes by the name of its card too."""
    described = [(source, *some_classes(source)) for source in settings.downstream]
    by_name = {data.name: source for source, data, _ in described}
    return {info.card.name: source for source, data, info in described if info.card and not data.classes} | by_name


def draw(rows: pd.DataFrame, settings: Transfer) -> Evidence:
    """Accuracy against resolution, with and without interpolation, and the means of the groups of mini-VTAB."""
    from vitlab.report.charts import bars
    from vitlab.report.panels import curve_panels

    from vitlab.report.tables import to_markdown

    tuned = fine_tuned(rows[rows["status"] == "finished"])
    whole = [source for source in settings.downstream if "@" not in source]
    tuned = titled(tuned.assign(group=tuned["data"].map(group_of)), *whole)
    native = tuned[tuned["image_size"] == tuned["image_size"].min()]
    curves = resolution_curves(tuned)
    figures = {}
    if len(curves):
        figures["figure"] = curve_panels(
            curves,
            panel="data",
            x="image_size",
            y="test_best",
            series="curve",
            xlabel="image size of fine-tuning (pixels)\ndots: seeds, band: 95% interval over seeds",
            ylabel="test accuracy (%)",
            title=f"Fine-tuning at {native['image_size'].min():g} px, as in pre-training, and above",
        )
    figures["vtab" if figures else "figure"] = bars(
        native.assign(test_best=100 * native["test_best"]),
        category="group",
        value="test_best",
        series="model",
        unit=("seed",),
        digits=1,
        xlabel="test accuracy (%), mean of the group's sets",
        title=f"Fine-tuning from {settings.train_size:,} images a set, by group of VTAB",
        bounds=(0.0, 100.0),
    )
    said = sentences(tuned, curves)
    tables = [to_markdown(resolution_table(curves))] if len(curves) else []
    tables.append(to_markdown(group_table(native, settings.train_size)))
    return Evidence(" ".join(said), "\n".join(tables), figures)


def group_of(name: str) -> str:
    """The VTAB group on the card of a set (or of a local copy, or of some of its classes); "other" without a card."""
    from vitlab.data.cards import matching_card

    card = matching_card(name.partition("@")[0])
    return card.group if card else "other"


def resolution_curves(tuned: pd.DataFrame) -> pd.DataFrame:
    """Fine-tunings of the sets with several resolutions, in the curves `model, interpolated` and `model, re-drawn`.

    The point at the resolution of pre-training belongs to both: there is nothing to interpolate yet.
    """
    import pandas as pd

    sizes = tuned.groupby("data")["image_size"].transform("nunique")
    some = tuned[sizes > 1]
    has_fresh = set(some.loc[some["positions"] == "fresh", "model"])
    native = some[(some["image_size"] == some["image_size"].min()) & some["model"].isin(has_fresh)]
    some = pd.concat([some, native.assign(positions="fresh")])
    words = some["positions"].map({"interpolate": "interpolated", "fresh": "re-drawn"})
    return some.assign(curve=some["model"].where(~some["model"].isin(has_fresh), some["model"] + ", " + words))


def resolution_table(curves: pd.DataFrame) -> Table:
    """Accuracy in % of each curve on each set at each image size, with intervals over seeds."""
    from vitlab.report.tables import ACCURACY, describe, interval_table, pivot

    cells = pivot(curves, ["data", "curve"], "image_size", "test_best", bounds=ACCURACY)
    caption = (
        f"Test accuracy in % against the image size of fine-tuning; positions interpolated or re-drawn; mean over "
        f"seeds [95% interval]; rates chosen on validation. {describe(curves)}."
    )
    at_sizes = cells.rename(columns=lambda size: f"{size} px")
    return interval_table(at_sizes, caption=caption, titles=("set", "model, positions"))


def group_table(native: pd.DataFrame, size: int) -> Table:
    """Accuracy in % of each model on each set and in the mean of each group."""
    import pandas as pd

    from vitlab.report.tables import ACCURACY, describe, interval_table, pivot

    means = native.assign(data="mean of the group")
    overall = native.assign(data="mean of all sets", group="all")
    cells = pivot(
        pd.concat([native, means, overall]), ["group", "data"], "model", "test_best", unit=("seed",), bounds=ACCURACY
    )
    caption = (
        f"Mini-VTAB: test accuracy in % after fine-tuning on {size:,} images; mean over seeds [95% interval]; rates "
        f"chosen on validation. {describe(native)}."
    )
    return interval_table(cells.sort_index(level=0, sort_remaining=False), caption=caption, titles=("group", "set"))


def sentences(tuned: pd.DataFrame, curves: pd.DataFrame) -> list[str]:
    """The answer: what resolution brings, what interpolation brings, and which model transfers best."""
    from vitlab.report.intervals import bootstrap_mean, paired_gap
    from vitlab.report.names import in_order

    said = []
    if len(curves):
        low, high = curves["image_size"].min(), curves["image_size"].max()
        for model in in_order(curves["model"]):
            runs = curves[curves["model"] == model].groupby(["positions", "image_size", "seed"])["test_best"].mean()
            of = {key: seeds.droplevel([0, 1]).to_dict() for key, seeds in runs.groupby(level=[0, 1])}
            gain = paired_gap(of["interpolate", high], of["interpolate", low]).format(sign=True)
            said.append(f"{model}: {gain} points from {low:g} to {high:g} px.")
            if ("fresh", high) in of:
                kept = paired_gap(of["interpolate", high], of["fresh", high]).format(sign=True)
                said.append(f"Interpolated rather than fresh positions give it {kept} points at {high:g} px.")
    native = tuned[tuned["image_size"] == tuned["image_size"].min()]
    by_seed = native.groupby(["model", "data", "seed"])["test_best"].mean().groupby(["model", "seed"]).mean()
    means = {model: bootstrap_mean(list(of), bounds=(0.0, 1.0)) for model, of in by_seed.groupby("model")}
    each = ", ".join(f"{m} {v.format()}" for m, v in sorted(means.items(), key=lambda item: -item[1].mean))
    said.append(f"Mini-VTAB, mean of the sets: {each} %.")
    return said


STUDY = Study(
    name="transfer",
    question="What does fine-tuning at a higher resolution bring, and how well do the models transfer from few images?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=evidence_folder,
)

if __name__ == "__main__":
    main(STUDY)
