"""Axial attention (appendix D.6, Figure 13): a row and then a column, in place of all tokens at once?

    python -m experiments.axial                                             # 200 digits, no network
    python -m experiments.axial --preset cifar10_cpu --data images/cifar10

An axial layer is two blocks, attention along the rows of the token grid and then along its columns, each with an MLP of
its own. So as many layers take twice the compute, and half as many take the same. The paper finds axial models ahead
at the cost of more compute; whether that is the attention or the compute, only equal compute can tell. All arms
pool by the mean, since a class token has no place on the grid. Each tries the same rates and is judged at the one with
the best mean validation accuracy; a best rate at the end of those tried decides nothing: widen `--rates`.

`quick` takes 3 minutes on two cores; `cifar10_cpu` (ViT-Pico/4 with 4 layers, 9 trainings of 6,000 steps on 8,000
images) 2.2 core-hours a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import OURS, leads
from vitlab.runs.run import Run
from vitlab.study.arms import ARM, Ablation, Arms, at_own_rate, each_model, rate_table
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence

PLAIN, HALF, FULL = "plain attention", "axial, half the layers", "axial, as many layers"
MORE = Claim(
    "d6.axial", "D.6", "axial attention is ahead at more compute", says=leads("at {times} times the compute "),
    paper="qualitative: better at more compute",
)  # fmt: skip
EQUAL = replace(
    MORE, id="d6.equal", section="D.6 (ours)", statement="... and at equal compute", primary=False, paper=OURS,
)  # fmt: skip


@dataclass(frozen=True)
class Axial(Ablation):
    """Settings of the study."""

    depth: int = 2
    """Layers of the plain ViT, an even number."""

    def arms(self) -> Arms:
        """The plain ViT, and axial ones of half and of all its layers.

        Raises:
            ValueError: for an odd number of layers.
        """
        if self.depth < 2 or self.depth % 2:
            raise ValueError(f"--depth is {self.depth}; half of it must be a number of layers: give 2, 4, 6 ...")
        base = {"options.pooling": "gap", "options.depth": self.depth}
        axial = base | {"options.attention": "axial"}
        return {PLAIN: base, HALF: axial | {"options.depth": self.depth // 2}, FULL: axial}


CIFAR = Axial("cifar10", patch=4, seeds=3, depth=4, train_size=8000, rates=(3e-4, 1e-3, 3e-3))
PRESETS = {
    "quick": Axial(
        train_size=200,
        recipe=replace(recipes.DIGITS_RECIPE, steps=250, batch_size=32),
        rates=(1e-3, 3e-3, 1e-2, 3e-2),
    ),
    "cifar10_cpu": replace(CIFAR, recipe=replace(recipes.CIFAR_LONG, steps=6000)),
    "cifar10": replace(CIFAR, sizes=("Small",), depth=6, train_size=None, recipe=recipes.CIFAR_GPU),
    "paper": Axial(
        "imagenet21k", models=("ViT-B/32", "ViT-B/16"), image_size=224, seeds=1, depth=12,
        recipe=recipes.IMAGENET21K, rates=(5e-4, 1e-3, 2e-3),
    ),
}  # fmt: skip


def plan(settings: Axial) -> list[Run]:
    """The three arms at every rate with every seed."""
    return settings.trainings(settings.arms())


def draw(rows: pd.DataFrame, settings: Axial) -> Evidence:
    """Accuracy of each arm, at its own rate, against its compute; all trials; and the verdicts."""
    from vitlab.report.build import curves
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence

    trained = settings.named(rows, settings.arms())
    if trained.empty:
        return Evidence()
    where = trained["title"].iloc[0]
    caption = (
        f"Test accuracy on {where} in % at each peak rate; the own rate is that of the best mean validation accuracy; "
        f"mean over seeds [95% interval]. {describe(trained[trained['split'] == 'test'])}."
    )
    table, own = rate_table("rates", trained, caption=caption), at_own_rate(trained).query("split == 'test'")
    if own.empty:
        return Evidence((), (table,))
    shown = own.assign(
        mflops=(own["train_flops_per_image"] / 1e6).round(1),
        kind=own[ARM].str.partition(",")[0].replace(PLAIN, "plain"),
    )
    figure = curves(
        shown,
        x="mflops",
        series="kind",
        panel="model",
        title=f"Axial and plain attention on {where}, each at its own rate",
        xlabel="training compute (MFLOPs an image)",
        ylabel="test accuracy (%)",
    )
    return Evidence(verdicts(own), (table,), {"figure": figure})


def verdicts(own: pd.DataFrame) -> tuple[Verdict, ...]:
    """Both claims on each model."""
    from vitlab.claims.compare import compare

    def judge(arms: pd.DataFrame) -> list[Verdict | None]:
        cost, found = arms.groupby(ARM)["train_flops_per_image"].first(), []
        for claim, axial in ((MORE, FULL), (EQUAL, HALF)):
            times = f"{cost.get(axial, 0) / cost.get(PLAIN, 1):.2g}"
            about = {"times": times, "first": "axial attention"}
            found += [compare(claim, arms, axial, PLAIN, by=ARM, about=about, doubts=peak_rates.rate_doubts(arms))]
        return found

    return each_model(own, judge)


STUDY = Study(
    name="axial",
    section="D.6, Figure 13",
    question="Is axial attention better than plain attention, at more and at equal compute?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(MORE, EQUAL),
    protocol=__doc__,
)

if __name__ == "__main__":
    main(STUDY)
