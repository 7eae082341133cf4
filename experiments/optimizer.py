"""Adam or SGD for pre-training the ResNet (appendix D.1, Table 7): the authors chose Adam; does it transfer better?

    python -m experiments.optimizer                                         # seven digits upstream, no network
    python -m experiments.optimizer --preset cifar10_cpu --data images/cifar10 \
        --downstream images/{eurosat_64,caltech101_64,flowers89_64}

The ResNet is pre-trained on --data with Adam (decoupled decay, as in the authors' code) and with SGD (momentum 0.9,
decay 1e-4 as in BiT), each at equally many rates; the rate with the best mean validation accuracy upstream counts.
Downstream accuracy is 5-shot linear accuracy of the frozen weights, where the paper fine-tunes.
`quick` takes 2 minutes on two cores, `cifar10_cpu` (ResNet-Pico, 8 times 8,000 steps) 1.1 core-hours a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vitlab.claims.claim import Claim
from vitlab.claims.phrases import not_worse
from vitlab.report.families import family
from vitlab.runs.run import Run
from vitlab.study.arms import ARM, Ablation, at_own_rate, each_model, rate_table
from vitlab.study.plan import RATE, grid
from vitlab.study.settings import data_of
from vitlab.study.study import Study, main
from vitlab.tasks.settings import Recipe
from . import peak_rates, recipes

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.claims.claim import Verdict
    from vitlab.report.evidence import Evidence

TOLD = (ARM, RATE, "tried", "at_edge", "steps", "best_step", "late_gain")  # of a pre-training, beside its probes
ARMS: dict[str, dict[str, Any]] = {
    "Adam": {"recipe.optimizer": "adamw"},
    "SGD": {"recipe.optimizer": "sgd", "recipe.weight_decay": 1e-4},
}
ADAM = Claim(
    "d1.adam", "D.1, Table 7", "Adam is not worse than SGD for pre-training ResNets", bound=-0.005,
    says=not_worse("downstream "), paper="Adam and SGD, mean of five sets: R50 89.33 and 88.79, R152x2 94.01 and 93.72",
)  # fmt: skip


@dataclass(frozen=True)
class Optimizer(Ablation):
    """Settings of the study."""

    models: tuple[str, ...] = ("ResNet",)
    """Models to pre-train."""
    downstream: tuple[str, ...] = ()
    """Sets on which few-shot accuracy counts, written as --data is."""
    sgd_rates: tuple[float, ...] = ()
    """Peak rates of SGD, as many as --rates has for Adam."""

    def rates_of(self, arm: str) -> tuple[float, ...]:
        """Each optimiser's own rates; ValueError where one has more trials."""
        if len(self.rates) != len(self.sgd_rates):
            raise ValueError("Give --rates (those of Adam) and --sgd_rates as many rates, for as many trials.")
        return self.sgd_rates if arm == "SGD" else self.rates


MEAN, FAR = "mean of the sets", ("eurosat", "caltech101", "flowers102")
CIFAR = Optimizer("cifar10", seeds=3, downstream=FAR, rates=(1e-3, 3e-3, 1e-2, 3e-2), sgd_rates=(3e-2, 0.1, 0.3, 1.0))
PRESETS = {
    "quick": Optimizer(
        "digits@0,1,2,4,6,7,9", train_size=140, downstream=("digits@3,5,8", "digits"), recipe=recipes.DIGITS_RECIPE,
        rates=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1), sgd_rates=(1e-2, 3e-2, 1e-1, 3e-1, 1.0),
    ),
    "cifar10_cpu": replace(CIFAR, train_size=8000, recipe=replace(recipes.CIFAR_LONG, steps=8000)),
    "cifar10": replace(CIFAR, sizes=("Small",), recipe=recipes.CIFAR_GPU),
    "paper": Optimizer(
        "imagenet21k", models=("R50x1", "R152x2"), image_size=224, recipe=recipes.IMAGENET21K, rates=(3e-4, 1e-3, 3e-3),
        sgd_rates=(0.1, 0.3, 1.0), downstream=("imagenet", "cifar10", "cifar100", "pets", "flowers102"),
    ),
}  # fmt: skip


def plan(settings: Optimizer) -> list[Run]:
    """Pre-training with both optimisers at every rate with every seed, and what each is worth on every set."""
    if not settings.downstream:
        raise ValueError("Give --downstream: the data sets on which few-shot accuracy counts.")
    size = settings.image_size or data_of(settings.data)[1].image_size
    targets = [data_of(source, image_size=size)[0] for source in settings.downstream]
    untrained = grid(settings.bare(), {"seed": range(settings.seeds)})
    starts = [replace(run, init=run) for run in settings.trainings(ARMS)] + untrained
    probes = [replace(run, recipe=Recipe(), task=recipes.FIVE_SHOT) for run in starts]
    return [replace(probe, data=data) for probe in probes for data in targets]


def draw(rows: pd.DataFrame, settings: Optimizer) -> Evidence:
    """The paper's table of sets and optimisers, downstream accuracy against the rate, and the verdicts."""
    from vitlab.report.build import curves, pivot
    from vitlab.report.captions import describe
    from vitlab.report.evidence import Evidence, Table

    trained = settings.named(rows, ARMS)
    every = probed(rows, trained)
    if every.empty:
        return Evidence()
    own, upstream = probed(rows, at_own_rate(trained)), trained["title"].iloc[0]
    words = f"mean over seeds [95% interval]. {describe(trained)}."
    tables = [rate_table("rates", trained, caption=f"Test accuracy on {upstream} in % at each peak rate; {words}")]
    if len(own):
        caption = f"5-shot accuracy in % of weights pre-trained on {upstream}, at each optimiser's own rate; {words}"
        tables.insert(0, Table("downstream", pivot(own, ["title", "model"], ARM), caption))
    axes: dict[str, Any] = {"xlabel": "peak learning rate of pre-training (log scale)", "ylabel": "5-shot accuracy (%)"}
    title = f"5-shot accuracy after pre-training on {upstream}"
    figure = curves(every, x=RATE, series="weights", panel="title", first=MEAN, title=title, log_x=True, **axes)
    return Evidence(verdicts(rows, own), tuple(tables), {"figure": figure})


def probed(rows: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """The few-shot rows of some pre-trainings' weights, with what is told of these; several sets once more as one."""
    import pandas as pd

    told = [name for name in TOLD if name in trained.columns]
    of_run = trained.drop_duplicates("run").set_index("run")[told]
    few = rows[(rows["task.kind"] == "few_shot") & rows["init"].notna()]
    found = few.drop(columns=told, errors="ignore").join(of_run, on="init", how="inner")
    found = found.assign(run=found["init"])  # a pre-training that is probed on several sets is one
    found = found.assign(weights=found[ARM] + (", " + found["model"] if found["model"].nunique() > 1 else ""))
    return pd.concat([found, found.assign(title=MEAN)]) if found["title"].nunique() > 1 else found


def verdicts(rows: pd.DataFrame, own: pd.DataFrame) -> tuple[Verdict, ...]:
    """The claim for each ResNet, held against the few-shot accuracy of untrained weights too."""
    import pandas as pd

    from vitlab.claims.compare import compare

    random = rows[(rows["task.kind"] == "few_shot") & rows["init"].isna()]
    floor, sets = pd.concat([random.assign(**{ARM: name}) for name in ARMS]), own[own["title"] != MEAN]
    sets = sets[sets["model"].map(family) == "ResNet"]

    def judge(of: pd.DataFrame) -> list[Verdict | None]:
        untrained = floor[floor["model"].isin(of["model"])]
        doubts = peak_rates.rate_doubts(of, "init.data.name")
        at = {"model": of["model"].iloc[0]}
        return [compare(ADAM, of, *ARMS, by=ARM, at=at, untrained=untrained, doubts=doubts)]

    return each_model(sets, judge)


STUDY = Study(
    name="optimizer",
    section="D.1, Table 7",
    question="Adam or SGD for pre-training a ResNet, each at its own rate?",
    protocol=__doc__,
    presets=PRESETS,
    plan=plan,
    draw=draw,
    claims=(ADAM,),
)

if __name__ == "__main__":
    main(STUDY)
