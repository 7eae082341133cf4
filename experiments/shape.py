"""The shape of a ViT (appendix D.2, Figure 8): more layers, wider ones, wider MLPs, smaller patches, or all together?

    python -m experiments.shape                                             # 200 digits, no network
    python -m experiments.shape --preset cifar10_cpu --data images/cifar10

From one base every dimension is scaled by itself, and all of them at once. In the paper (base: 8 layers, width 1024,
MLP 2048, patches of 32 px) depth helps most up to 64 layers, less after 16, then smaller patches, which cost no
parameters; width helps least, and compute says more about accuracy than parameters do. Here the worth of a dimension is
the slope of its accuracies over log2 of FLOPs, base included. All shapes have one rate, which trials chose for another
shape; `--rates` gives each a choice.

`quick` (digits at 16 px) takes 2.5 minutes on two cores; `cifar10_cpu` (14 shapes, 6,000 steps on 8,000 images) 3
core-hours a seed, most of them for the finest patches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import gains_more
from vitlab.report.families import family
from vitlab.runs.run import Run
from vitlab.study.arms import ARM, Ablation, Arms, at_own_rate
from vitlab.study.study import Study, main
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence

BASE, VARIED, FLOPS = "base", "varied", "train_flops_per_image"
ALL = ("depth", "width", "mlp_width", "patch")
DIMENSIONS = {
    "depth": ALL[:1], "width": ALL[1:2], "MLP width": ALL[2:3], "smaller patches": ALL[3:], "all together": ALL,
}  # fmt: skip
DEPTH = Claim(
    "d2.depth", "D.2, Figure 8", "depth helps more than width",
    unit="points per doubling of FLOPs", digits=2, says=gains_more("as the ViT grows"),
    paper="Figure 8, qualitative: depth most (slower after 16 layers), width least",
)  # fmt: skip
PATCH = replace(
    DEPTH, id="d2.patch", statement="smaller patches help at no parameters",
    paper="Figure 8, qualitative: most after depth",
    says={"holds": "smaller patches gain {amount}", "does not hold": "smaller patches lose {amount}"},
)  # fmt: skip


@dataclass(frozen=True)
class Shape(Ablation):
    """Settings of the study; --patch is the base's."""

    depth: int = 2
    """Layers of the base."""
    width: int = 32
    """Its width."""
    heads: int = 2
    """Heads of every shape."""
    mlp_width: int = 64
    """Its MLP width."""
    factors: tuple[float, ...] = (0.5, 2, 4)
    """What depth, width and MLP width are multiplied by, each alone."""
    finer: tuple[float, ...] = (0.5, 2)
    """What the patch size is divided by, alone and when all is scaled."""

    def arms(self) -> Arms:
        """The base, and each dimension scaled."""
        shape = {name: getattr(self, name) for name in (*ALL, "heads")}
        shapes = {BASE: shape}
        for dimension, names in DIMENSIONS.items():
            for factor in self.finer if "patch" in names else self.factors:
                scaled = {name: shape[name] / factor if name == "patch" else shape[name] * factor for name in names}
                own = shape | {name: int(value) for name, value in scaled.items()}
                shapes |= {f"{dimension} x {factor:g}": own} if own not in shapes.values() else {}
        return {name: {f"options.{part}": value for part, value in own.items()} for name, own in shapes.items()}


CIFAR = Shape("cifar10", patch=4, seeds=3, width=64, mlp_width=128, train_size=8000)
PRESETS = {
    "quick": Shape(
        image_size=16, patch=4, train_size=200, learning_rates=peak_rates.DIGITS.chosen,
        recipe=replace(recipes.DIGITS_RECIPE, batch_size=32),
    ),
    "cifar10_cpu": replace(
        CIFAR, recipe=replace(recipes.CIFAR_LONG, steps=6000), learning_rates=peak_rates.CIFAR10_LONG.chosen,
    ),
    "cifar10": replace(CIFAR, depth=4, width=128, mlp_width=256, train_size=None, recipe=recipes.CIFAR_GPU),
    "paper": Shape(
        "imagenet21k", models=("ViT-L/32",), image_size=224, patch=32, seeds=1, depth=8, width=1024, heads=16,
        mlp_width=2048, factors=(0.5, 2, 4, 8), recipe=recipes.IMAGENET21K,
    ),
}  # fmt: skip


def plan(settings: Shape) -> list[Run]:
    """Every shape with every seed; ValueError for another model than one ViT, of whose shape nothing is left."""
    names = settings.model_names()
    if len(names) != 1 or family(names[0]) != "ViT":
        raise ValueError(
            f"The shapes are those of one plain ViT, and asked for are {', '.join(names) or 'none'}; leave --models at "
            "ViT with one of --sizes, and give --depth, --width, --heads, --mlp_width and --patch."
        )
    return settings.trainings(settings.arms())


def draw(rows: pd.DataFrame, settings: Shape) -> Evidence:
    """Accuracy of all shapes against compute and against parameters, what a doubling gains, and the verdicts."""
    import pandas as pd

    from vitlab.report.build import curves, pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    test = at_own_rate(settings.named(rows, settings.arms())).query("split == 'test'")
    if test.empty:
        return Evidence()
    where, size = test["title"].iloc[0], test.groupby(ARM, sort=False)[["parameters", FLOPS]].first() / 1e6
    frame = size.set_axis(["parameters (M)", "train MFLOPs/image"], axis=1)
    frame["accuracy"] = pivot(test, ARM, "split")["test"]
    caption = f"Test accuracy on {where} in %; mean over seeds [95% interval]. {describe(test)}."
    parts = [test[test[ARM].str.startswith((BASE, f"{name} x"))].assign(**{VARIED: name}) for name in DIMENSIONS]
    drawn = pd.concat([part for part in parts if part[ARM].nunique() > 1] or [test.assign(**{VARIED: BASE})])
    against = {"compute (training MFLOPs an image)": FLOPS, "parameters (M)": "parameters"}
    shown = [drawn.assign(measure=title, millions=(drawn[x] / 1e6).round(4)) for title, x in against.items()]
    about: dict[str, Any] = {
        "title": f"The shape of a ViT on {where}: one dimension of one base at a time",
        "xlabel": "millions (log scale)", "ylabel": "test accuracy (%)", "log_x": True, "same_y": True,
    }  # fmt: skip
    figure = curves(pd.concat(shown), x="millions", series=VARIED, panel="measure", **about)
    return Evidence(verdicts(drawn), (Table("shapes", frame, caption),), {"figure": figure})


def verdicts(drawn: pd.DataFrame) -> tuple[Verdict, ...]:
    """What depth gains over width for each doubling of FLOPs, and what smaller patches gain."""
    from vitlab.claims.compare import per_doubling

    about: dict[str, Any] = {"x": FLOPS, "by": VARIED, "doubts": peak_rates.rate_doubts(drawn)}
    depth = per_doubling(DEPTH, drawn, "depth", "width", **about)
    return tuple(filter(None, (depth, per_doubling(PATCH, drawn, "smaller patches", **about))))


STUDY = Study(
    name="shape",
    section="D.2, Figure 8",
    question="Which dimension of a ViT is worth its compute: depth, width, MLP width or patch size?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(DEPTH, PATCH),
    protocol=__doc__,
)

if __name__ == "__main__":
    main(STUDY)
