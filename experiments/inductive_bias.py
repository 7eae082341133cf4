"""Inductive bias (section 3.1, and ours): how much of the CNN's lead is its knowledge that neighbours belong together?

    python -m experiments.inductive_bias                                        # digits, no network
    python -m experiments.inductive_bias --preset cifar10_cpu --data images/cifar10

"Vision Transformer has much less image-specific inductive bias than CNNs" (section 3.1): locality is built into every
convolution, and a ViT has to learn where its patches lie. So the reason is taken away: one permutation of the patches,
the same for all images of all splits and after augmentation, leaves each image's content and destroys its layout. A ViT
with patches of that size has no means to notice; a convolution sees other neighbours. Permuted single pixels take the
inside of the patches too. What counts is accuracy lost, of each family, at each train size, with the same recipe.

`quick` (digits at 16 px) takes 3 minutes on two cores. `cifar10_cpu` takes 1.7 core-hours a seed, `eurosat_cpu` 2.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import OURS
from vitlab.report.families import in_order, matched_pairs
from vitlab.runs.run import Run
from vitlab.study.plan import SEED, grid
from vitlab.study.settings import Sized
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence

AT, HOW, PLAIN, PIXELS = "train_images", "arrangement", "as they are", "single pixels permuted"
LOCALITY = Claim(
    "bias.locality", "3.1 (ours)", "the CNN's lead is its inductive bias", paper=OURS,
    says={
        "holds": "with {after} {first} loses {amount} more than {second}",
        "does not hold": "with {after} {second} loses {amount} more than {first}",
        "undecided": "with {after} it is not decided whether {first} loses more than {second}",
    },
)  # fmt: skip
BLIND = Claim(
    "bias.blind", "3.1 (ours)", "a ViT does not care where its patches lie", test="alike", paper=OURS,
    says={
        "holds": "with {after} {first} is as good as before",
        "does not hold": "with {after} the accuracy of {first} is another one by {amount}",
        "undecided": "with {after} it is not decided whether {first} is as good as before",
    },
)  # fmt: skip


@dataclass(frozen=True)
class InductiveBias(Sized):
    """Settings of the study."""

    sides: tuple[int, ...] = (4, 1)
    """Sides, in pixels, of the squares that are permuted."""


CIFAR = InductiveBias("cifar10", patch=4, train_sizes=(2000, 10_000, 49_000), seeds=5, recipe=recipes.CIFAR_LONG)
PRESETS = {
    "quick": InductiveBias(
        patch=4, image_size=16, train_sizes=(50, 100, 200), steps_by_size={50: 100, 100: 140, 200: 200}, seeds=5,
        recipe=replace(recipes.DIGITS_RECIPE, batch_size=32, warmup_steps=15, evaluations=5),
        learning_rates=peak_rates.DIGITS.chosen,
    ),
    "cifar10_cpu": replace(
        CIFAR, steps_by_size={2000: 1500, 10_000: 3000, 49_000: 6000}, learning_rates=peak_rates.CIFAR10_LONG.chosen
    ),
    "eurosat_cpu": InductiveBias(**recipes.EUROSAT_SIZES),
    "cifar10": replace(CIFAR, sizes=("Micro",), recipe=recipes.CIFAR_GPU, learning_rates=peak_rates.UNTUNED),
}  # fmt: skip


def plan(settings: InductiveBias) -> list[Run]:
    """Seed by seed: every model at every size, on images as they are and permuted."""
    axes = {SEED: range(settings.seeds), "data.train_size": settings.checked_sizes()}
    runs = grid(settings.templates(), {**axes, "data.shuffle": (None, *settings.sides)})
    return [settings.at_size(run) for run in runs]


def draw(rows: pd.DataFrame, settings: InductiveBias) -> Evidence:
    """Accuracy, what each permutation takes from it, and the verdicts."""
    import pandas as pd

    from vitlab.report.averaging import gap_points
    from vitlab.report.build import pivot
    from vitlab.report.captions import describe, lengths, seeds_line
    from vitlab.report.evidence import Chart, Evidence, Panel, Series, Table

    words = {side: f"patches of {side} px permuted" if side > 1 else PIXELS for side in settings.sides}
    test = rows[rows["split"] == "test"].assign(**{HOW: rows["data.shuffle"].map(words).fillna(PLAIN)})
    test = test.sort_values("data.shuffle", ascending=False, na_position="first", kind="stable")
    if test.empty:
        return Evidence()
    caption = f"Test accuracy in %; mean over seeds [95% interval]. {lengths(test, AT)}. {describe(test)}."
    tables = [Table("accuracy", pivot(test, ["model", HOW], AT), caption)]
    lost = {}
    for model, how in itertools.product(in_order(test["model"]), words.values()):
        own = test[test["model"] == model]
        if {PLAIN, how} <= set(own[HOW]) and (found := gap_points(own, PLAIN, how, AT, "score", by=HOW)):
            lost[model, how] = found
    if not lost:
        return Evidence((), tuple(tables))
    cells = {key: {point.x: point.interval for point in found} for key, found in lost.items()}
    frame = pd.DataFrame.from_dict(cells, orient="index").rename_axis(["model", "with"]).sort_index(axis=1)
    caption = "Points of test accuracy lost against images as they are, mean over seeds [95% interval]."
    tables.append(Table("lost", frame.astype(object).fillna("–"), caption, sign=True))
    panels = [Panel(tuple(Series(m, lost[m, h]) for m, h in lost if h == how), how) for how in words.values()]
    figure = Chart(
        "What one fixed permutation of all images takes from each family", (tuple(p for p in panels if p.series),),
        xlabel=f"images of {test['title'].iloc[0]} (log scale)", ylabel="accuracy lost (points)",
        subtitle=seeds_line(test), log_x=True, same_y=True,
    )  # fmt: skip
    return Evidence(_verdicts(test, words), tuple(tables), {"figure": figure})


def _verdicts(test: pd.DataFrame, words: Mapping[int, str]) -> tuple[Verdict, ...]:
    """The claims on every matched pair, as means over the train sizes; the first, with patches permuted, is primary.

    Squares that the ViT's patches do not tile take the inside of these too, as single pixels do: nothing is asked of a
    ViT then, which has to care.
    """
    from vitlab.claims.compare import losses
    from vitlab.claims.statistics import whole_seeds

    rows, found = whole_seeds(test, ["model", HOW, AT]), []
    for i, (vit, cnn) in enumerate(matched_pairs(rows["model"])):
        doubts = peak_rates.rate_doubts(rows[rows["model"].isin((vit, cnn))])
        for side, how in words.items():
            tiled = side % int(vit.partition("/")[2]) == 0
            about: dict[str, Any] = {"by": HOW, "before": PLAIN, "after": how, "doubts": doubts}
            found += [losses(replace(LOCALITY, primary=i == 0 and tiled), rows, cnn, vit, **about)]
            found += [losses(replace(BLIND, primary=i == 0), rows, vit, **about)] if tiled else []
    return tuple(replace(one, subject=f"{one.subject}, {one.about['after']}") for one in found if one)


STUDY = Study(
    name="inductive_bias",
    section="3.1 (ours)",
    question="How much does a CNN owe to the layout of images, and a ViT?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(LOCALITY, BLIND),
)

if __name__ == "__main__":
    main(STUDY)
