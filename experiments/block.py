"""The Transformer's block (course deck): norms after each sum and ReLU, or norms before each branch and GELU (eq. 2-3)?

    python -m experiments.block                                             # 200 digits, no network
    python -m experiments.block --preset cifar10_cpu --data images/cifar10

The deck writes z' = z + MSA(z), z'' = LN(z') and an MLP with ReLU, as the original Transformer does; the ViT has LN in
front of MSA and MLP, and GELU. Both are trained at the same rates with few and with many layers: does
each train (5 points above chance), how far does it come at its own rate, and how narrow is the choice of rates?

`quick` takes 4 minutes on two cores; `cifar10_cpu` (ViT-Pico/4 with 2 and 6 layers, 16 trainings of 6,000 steps on
2,000 images) 2.1 core-hours a seed, `eurosat_cpu` 40 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import not_worse
from vitlab.claims.preconditions import LEAST
from vitlab.runs.run import Run
from vitlab.study.arms import ARM, Ablation, at_own_rate, rate_table
from vitlab.study.plan import RATE
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence, Table

PRE, POST, DEPTH, LAYERS = "pre-norm, GELU", "post-norm, ReLU", "options.depth", "layers"
BY = ("model", LAYERS, ARM)
ARMS: dict[str, dict[str, Any]] = {PRE: {}, POST: {"options.norm": "post", "options.activation": "relu"}}

BLOCK = Claim(
    "block.pre", "deck", "pre-norm with GELU is not worse than post-norm with ReLU", bound=-0.01,
    paper="the course deck's: no number",
    says=not_worse("with {layers} layers "),
)  # fmt: skip


@dataclass(frozen=True)
class Block(Ablation):
    """Settings of the study."""

    depths: tuple[int, ...] = (2, 6)
    """Numbers of layers."""


CIFAR = Block("cifar10", patch=4, seeds=3, rates=(1e-4, 3e-4, 1e-3, 3e-3))
PRESETS = {
    "quick": Block(
        train_size=200, seeds=4, recipe=replace(recipes.DIGITS_RECIPE, batch_size=32), rates=(3e-4, 1e-3, 3e-3, 1e-2)
    ),
    "cifar10_cpu": replace(CIFAR, train_size=2000, recipe=replace(recipes.CIFAR_LONG, steps=6000)),
    "eurosat_cpu": Block(**recipes.EUROSAT_FEW, rates=(3e-4, 1e-3, 3e-3, 1e-2)),
    "cifar10": replace(CIFAR, sizes=("Small",), depths=(6, 12, 24), recipe=recipes.CIFAR_GPU),
}


def plan(settings: Block) -> list[Run]:
    """Both blocks, of every depth, at every rate with every seed."""
    return settings.trainings(ARMS, {DEPTH: settings.depths})


def draw(rows: pd.DataFrame, settings: Block) -> Evidence:
    """Accuracy of both blocks against the rate at each depth, how many runs train at all, and the verdicts."""
    from vitlab.report.build import curves
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence

    trained = settings.named(rows, ARMS, aside=(DEPTH,))
    if not trained["split"].eq("test").any():
        return Evidence()
    trained = trained.assign(layers=trained[DEPTH].astype(int)).sort_values(["model", LAYERS], kind="stable")
    test = trained[trained["split"] == "test"]
    where = test["title"].iloc[0]
    caption = (
        f"Test accuracy on {where} in % at each peak rate; the own rate is that of the best mean validation accuracy; "
        f"mean over seeds [95% interval]. {describe(test)}."
    )
    figure = curves(
        test.assign(panel=test["model"] + test[LAYERS].map(", {} layers".format)),
        x=RATE,
        series=ARM,
        panel="panel",
        references={"chance": 1 / test["classes"].iloc[0]},
        title=f"Post-norm with ReLU and pre-norm with GELU on {where}",
        xlabel="peak learning rate (log scale)",
        ylabel="test accuracy (%)",
        log_x=True,
        same_y=True,
    )
    tables = (rate_table("rates", trained, by=BY, caption=caption), trains(trained))
    return Evidence(verdicts(trained), tables, {"figure": figure})


def trains(trained: pd.DataFrame) -> Table:
    """How many runs of each block learn anything at each rate; those that diverged have no score and do not."""
    from vitlab.report.evidence import Table

    runs = trained[trained["split"].ne("validation")]
    learned = runs.assign(learned=runs["score"] - 1 / runs["classes"] >= LEAST)
    counts = learned.groupby([*BY, RATE], sort=False)["learned"].agg(["sum", "count"])
    cells = counts.apply("{0[sum]} of {0[count]}".format, axis=1).unstack(RATE).sort_index(axis=1).fillna("–")
    caption = f"Runs that train: test accuracy {100 * LEAST:.0f} points above chance or more."
    return Table("trains", cells.rename(columns="rate {:g}".format), caption)


def verdicts(trained: pd.DataFrame) -> tuple[Verdict, ...]:
    """The claim at each depth of each model, every block at its own rate."""
    from vitlab.claims.compare import compare

    own, found = at_own_rate(trained, BY).query("split == 'test'"), []
    several = own["model"].nunique() > 1
    for (model, layers), rows in own.groupby(["model", LAYERS], sort=False):
        point, doubts = {"model": model, LAYERS: int(layers)}, peak_rates.rate_doubts(rows)
        about = {"first": f"{PRE} ({model})"} if several else {}
        one = compare(BLOCK, rows, PRE, POST, by=ARM, at=point, doubts=doubts, about=about)
        found += [replace(one, subject=f"{one.subject}, {model}, {layers:g} layers")] if one else []
    return tuple(found)


STUDY = Study(
    name="block",
    section="deck",
    question="Post-norm with ReLU or pre-norm with GELU: does it train, and how far?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(BLOCK,),
    diverged=True,
)

if __name__ == "__main__":
    main(STUDY)
