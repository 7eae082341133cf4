"""Position embeddings (appendix D.4): does a ViT need them, and does it matter which, and where they are added?

    python -m experiments.position                                          # 1,149 digits, no network
    python -m experiments.position --preset cifar10_cpu --data images/cifar10

None, 1-D (in raster order, the paper's choice), 2-D (half of the vector for the column, half for the row) and relative
ones (by offset, in every layer's attention); 1-D and 2-D are added to the tokens at the stem, or before every layer
with weights of their own or shared. As in the paper all arms have one recipe and one rate, that which trials chose for
1-D; `--rates` gives every arm a choice. What counts is test accuracy, where the paper has 5-shot accuracy on ImageNet.

`quick` takes 2 minutes on two cores; `cifar10_cpu` (ViT-Pico/4, 8 arms of 12,000 steps on 8,000 images) 1.2 core-hours
a seed, `eurosat_cpu` 10 minutes.
A difference that the margin of one point has to hold takes a large test split: digits have 360 images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import alike
from vitlab.report.families import in_order
from vitlab.runs.run import Run
from vitlab.study.arms import ARM, Ablation, at_own_rate, each_model
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Chart, Evidence

KINDS = {"1-D": None, "2-D": "2d"}
WHERE = {"the stem": None, "every layer": "every_layer", "all layers, shared": "every_layer_shared"}
ARMS: dict[str, dict[str, Any]] = {
    "none": {"options.positions": "none"},
    **{
        f"{kind} at {where}": {"options.positions": KINDS[kind], "options.positions_at": WHERE[where]}
        for kind in KINDS
        for where in WHERE
    },
    "relative": {"options.positions": "relative"},
}
BASE, LAYERS, SHARED, TWO_D = *list(ARMS)[1:4], "2-D at the stem"

SOME = Claim(
    "d4.some", "D.4", "positions matter", paper="5-shot: 1-D 64.2, none 61.4",
    says={
        "holds": "position embeddings are worth {amount}",
        "does not hold": "without position embeddings a ViT is {amount} better",
        "undecided": "a ViT with position embeddings and one without are not told apart",
    },
)  # fmt: skip
KIND = Claim(
    "d4.kind", "D.4", "the kind of positions does not matter", "alike", says=alike(),
    paper="5-shot: 1-D 64.2, 2-D 64.0, relative 64.0",
)  # fmt: skip
ADDED = Claim(
    "d4.place", "D.4", "where positions are added does not matter", "alike", says=alike(),
    paper="5-shot, 1-D: stem 64.2, every layer 64.0, every layer shared 64.3",
)  # fmt: skip
COMPARED = ((SOME, "none"), (KIND, TWO_D), (KIND, "relative"), (ADDED, LAYERS), (ADDED, SHARED))

CIFAR = Ablation("cifar10", patch=4, seeds=3, train_size=8000)
PRESETS = {
    "quick": Ablation(recipe=recipes.DIGITS_RECIPE, learning_rates=peak_rates.DIGITS.chosen),
    "cifar10_cpu": replace(
        CIFAR, recipe=replace(recipes.CIFAR_LONG, steps=12_000), learning_rates=peak_rates.CIFAR10_LONG.chosen
    ),
    "eurosat_cpu": Ablation(**recipes.EUROSAT_FEW, learning_rates=peak_rates.EUROSAT_SHORT.chosen),
    "cifar10": replace(
        CIFAR, sizes=("Small",), train_size=None, recipe=recipes.CIFAR_GPU, learning_rates=peak_rates.UNTUNED
    ),
    "paper": Ablation("imagenet21k", models=("ViT-B/16",), image_size=224, seeds=3, recipe=recipes.IMAGENET21K),
}


def plan(settings: Ablation) -> list[Run]:
    """All arms with every seed."""
    return settings.trainings(ARMS)


def draw(rows: pd.DataFrame, settings: Ablation) -> Evidence:
    """The paper's table of kinds and where they are added, what each loses against 1-D at the stem, the verdicts."""
    from vitlab.report.build import pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    test = at_own_rate(settings.named(rows, ARMS)).query("split == 'test'")
    if test.empty:
        return Evidence()
    words = test[ARM].str.split(" at ")
    test = test.assign(positions=words.str[0], where=words.str[1].fillna("the stem"))
    caption = (
        f"Test accuracy on {test['title'].iloc[0]} in % by kind of position embedding (rows) and where they are added "
        f"(columns); mean over seeds [95% interval]. {describe(test)}."
    )
    table = Table("positions", pivot(test, ["model", "positions"], "where"), caption, digits=2)
    return Evidence(verdicts(test), (table,), figures(test))


def figures(test: pd.DataFrame) -> dict[str, Chart]:
    """The difference of each arm from 1-D positions at the stem, seed by seed."""
    from vitlab.report.averaging import gap_points
    from vitlab.report.captions import seeds_line
    from vitlab.report.evidence import Chart, Panel, Series

    panels = []
    for model in in_order(test["model"]):
        own = test[test["model"] == model]
        others = [arm for arm in ARMS if arm != BASE and {arm, BASE} <= set(own[ARM])]
        gaps = {arm: gap_points(own, arm, BASE, "split", "score", by=ARM) for arm in others}
        bars = tuple(replace(point, x=arm) for arm, points in gaps.items() for point in points)
        panels += [Panel((Series("", bars),), model)] if bars else []
    if not panels:
        return {}
    title, words = f"What position embeddings are worth on {test['title'].iloc[0]}", seeds_line(test, dots=False)
    ylabel = f"difference from {BASE} (points)"
    return {"figure": Chart(title, (tuple(panels),), kind="bar", ylabel=ylabel, subtitle=words)}


def verdicts(test: pd.DataFrame) -> tuple[Verdict, ...]:
    """Each claim on each model, doubted where the one rate of all arms is not a tuned one."""
    from vitlab.claims.compare import compare

    def judge(own: pd.DataFrame) -> list[Verdict | None]:
        doubts = peak_rates.rate_doubts(own)
        return [compare(claim, own, BASE, other, by=ARM, doubts=doubts) for claim, other in COMPARED]

    return each_model(test, judge)


STUDY = Study(
    name="position",
    section="D.4",
    question="Does a ViT need position embeddings, and does it matter which and where?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(SOME, KIND, ADDED),
)

if __name__ == "__main__":
    main(STUDY)
