"""Class token or global average pooling (appendix D.3, Figure 9): alike, once each has its own learning rate?

    python -m experiments.head                                              # 400 digits, no network
    python -m experiments.head --preset cifar10_cpu --data images/cifar10

The authors first found mean pooling much worse, and then that it only wants another rate: 8e-4 suits the class token,
3e-4 the mean. Here both heads are trained at the same rates; each is judged at the one with the best mean validation
accuracy over seeds, and each seed says by how much the best rates differ (a grid of powers of two resolves one
doubling). Where a best rate lies at the end of those tried, nothing is decided: widen `--rates`.

`quick` takes 3 minutes on two cores; `cifar10_cpu` (ViT-Pico/4, 10 trainings of 12,000 steps on 8,000 images) 1.5
core-hours a seed, `eurosat_cpu` 10 minutes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import alike
from vitlab.runs.run import Run
from vitlab.study.arms import ARM, Ablation, at_own_rate, each_model, rate_table
from vitlab.study.plan import RATE
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence

CLS, GAP = "class token", "mean pooling"
ARMS: dict[str, dict[str, Any]] = {CLS: {}, GAP: {"options.pooling": "gap"}}

HEAD = Claim(
    "d3.head", "D.3, Figure 9", "class token and mean pooling are alike, each at its own rate", "alike", says=alike(),
    paper="Figure 9, qualitative: alike at 8e-4 and 3e-4",
)  # fmt: skip
OWN_RATE = Claim(
    "d3.rate", "D.3, Figure 9", "the class token wants a higher rate than mean pooling",
    unit="doublings", scale=1.0, paper="8e-4 and 3e-4: 1.4 doublings",
    says={
        "holds": "{first} wants a rate {amount} above that of {second}",
        "does not hold": "{first} wants a rate {amount} below that of {second}",
        "undecided": "whether {first} wants a higher rate than {second} is not decided ({effect} {unit})",
    },
)  # fmt: skip

CIFAR = Ablation("cifar10", patch=4, seeds=3, train_size=8000, rates=(2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3))
PRESETS = {
    "quick": Ablation(train_size=400, recipe=recipes.DIGITS_RECIPE, rates=(1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)),
    "cifar10_cpu": replace(CIFAR, recipe=replace(recipes.CIFAR_LONG, steps=12_000)),
    "eurosat_cpu": Ablation(**recipes.EUROSAT_FEW, rates=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3)),
    "cifar10": replace(CIFAR, sizes=("Small",), train_size=None, recipe=recipes.CIFAR_GPU),
    "paper": Ablation(
        "imagenet21k", models=("ViT-B/16",), image_size=224, recipe=recipes.IMAGENET21K, rates=(1e-4, 3e-4, 8e-4, 2e-3)
    ),
}


def plan(settings: Ablation) -> list[Run]:
    """Both heads at every rate with every seed."""
    return settings.trainings(ARMS)


def draw(rows: pd.DataFrame, settings: Ablation) -> Evidence:
    """Accuracy of both heads against the rate, and the verdicts."""
    from vitlab.report.build import curves
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence

    trained = settings.named(rows, ARMS)
    if trained.empty:
        return Evidence()
    test = trained[trained["split"] == "test"]
    where = test["title"].iloc[0]
    caption = (
        f"Test accuracy on {where} in % at each peak rate; the own rate is that of the best mean validation accuracy; "
        f"mean over seeds [95% interval]. {describe(test)}."
    )
    figure = curves(
        test,
        x=RATE,
        series=ARM,
        panel="model",
        title=f"Class token and mean pooling on {where}: the same rates for both",
        xlabel="peak learning rate (log scale)",
        ylabel="test accuracy (%)",
        log_x=True,
    )
    return Evidence(verdicts(trained), (rate_table("rates", trained, caption=caption),), {"figure": figure})


def verdicts(trained: pd.DataFrame) -> tuple[Verdict, ...]:
    """Both claims on each model: accuracies at the heads' own rates, and these rates seed by seed."""
    from vitlab.claims.compare import compare

    def judge(rows: pd.DataFrame) -> list[Verdict | None]:
        own = at_own_rate(rows).query("split == 'test'")
        return [compare(HEAD, own, CLS, GAP, by=ARM, doubts=peak_rates.rate_doubts(own)), rate_verdict(rows)]

    return each_model(trained, judge)


def rate_verdict(trained: pd.DataFrame) -> Verdict | None:
    """How many doublings the best rate of the class token is above that of mean pooling, in each seed."""
    import numpy as np

    from vitlab.claims.compare import judged
    from vitlab.claims.statistics import gap

    best = at_own_rate(trained, (ARM, "seed")).query("split == 'validation'")
    if set(best[ARM]) < set(ARMS) or trained[RATE].nunique() < 2:
        return None
    values = gap(best.assign(doublings=np.log2(best[RATE])), CLS, GAP, by=ARM, value="doublings")
    arms = [best[best[ARM] == name] for name in ARMS]
    return judged(OWN_RATE, values, arms, by=ARM, about={"first": CLS, "second": GAP})


STUDY = Study(
    name="head",
    section="D.3, Figure 9",
    question="Class token or mean pooling, each at its own learning rate?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(HEAD, OWN_RATE),
)

if __name__ == "__main__":
    main(STUDY)
