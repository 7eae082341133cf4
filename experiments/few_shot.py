"""Few-shot linear accuracy of pre-trained representations (section 4.1), and whether it predicts fine-tuning.

    python -m experiments.few_shot                                    # seven digits upstream, three others downstream
    python -m experiments.few_shot --preset tiny_imagenet_cpu --upstream images/tiny_imagenet_32 \
        --downstream images/{cifar10,caltech101_64,eurosat_64,flowers89_64}
    python -m experiments.few_shot --checkpoint weights.npz --models ViT-B/16 --image_size 224 --downstream pets

Each model is pre-trained upstream and frozen. On each downstream set, a regularised least-squares classifier is solved
in closed form on 1, 5, 10 and 25 images a class. The same weights are then fine-tuned by the paper's recipe (SGD, no
weight decay, zero head, the rate chosen on the validation split), and the two are ranked against each other.

`quick` (3 seeds, 2 x AMD EPYC, 11 minutes of one core): 5-shot accuracy, mean of three sets of digits, ViT 62.9 [56.8,
71.0], HybridViT 68.7 [64.8, 71.8], ResNet 71.2 [64.7, 76.4] %; rank correlation with fine-tuning 0.80, 0.77 and 0.58.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from experiments.data_scaling import PRESETS as TUNED
from experiments.data_scaling import model_names
from experiments.upstream import (
    RATES_CPU,
    SGD,
    SGD_CPU,
    Upstream,
    fine_tuned,
    fine_tunings,
    native_size,
    some_classes,
    starts,
)
from vitlab.runs.run import Run
from vitlab.study import Evidence, Study, main
from vitlab.tasks.settings import FewShot, Recipe

if TYPE_CHECKING:
    import pandas as pd

    from vitlab.report.intervals import Interval
    from vitlab.report.tables import Table

MEAN = "mean of the sets"


@dataclass(frozen=True)
class FewShotStudy(Upstream):
    """Settings of the study."""

    shots: tuple[int, ...] = (1, 5, 10, 25)
    """Training images of each class."""
    proxy: int = 5
    """The number of shots that is compared with fine-tuning."""
    draws: int = 10
    """Random draws of these images for each seed; at one shot more, until the 95% interval is under two points."""
    l2: tuple[float, ...] = (1.0, 32.0, 1024.0)
    """Regularisers; with several, one is chosen for each draw on held-out shots (at one shot, the one nearest 1024)."""
    finetune_size: int | None = None
    """Number of fine-tuning images; by default all."""


ADAM = Recipe(steps=300, batch_size=64, lr=0.0, warmup_steps=30)
TINY_CPU = Recipe(
    steps=1200,
    batch_size=64,
    lr=0.0,
    warmup_steps=120,
    augment=("crop", "flip"),
    evaluations=4,
    precision="bf16",
)
FOUR = ("cifar10", "caltech101", "eurosat", "flowers89")
PRESETS = {
    "quick": FewShotStudy(
        pretrain=ADAM,
        learning_rates=TUNED["quick"].learning_rates,
        finetune=replace(SGD, steps=100, batch_size=64, evaluations=3),
        finetune_size=100,
    ),
    "tiny_imagenet": FewShotStudy(
        upstream="tiny_imagenet_32",
        downstream=FOUR,
        sizes=("Micro", "Small"),
        patch=4,
        shots=(1, 5, 10),
        pretrain=Recipe(
            steps=40_000,
            batch_size=512,
            lr=0.0,
            weight_decay=0.1,
            warmup_steps=2000,
            augment=("crop", "flip"),
            evaluations=20,
            precision="bf16",
            compile=True,
        ),
        learning_rates=TUNED["cifar10"].learning_rates,
        finetune=replace(SGD, steps=2500, augment=("crop", "flip"), precision="bf16"),
    ),
    "tiny_imagenet_cpu": FewShotStudy(
        upstream="tiny_imagenet_32",
        downstream=FOUR,
        sizes=("Nano",),
        patch=4,
        shots=(1, 5, 10),
        pretrain=TINY_CPU,
        learning_rates=TUNED["tiny_imagenet_cpu"].learning_rates,
        finetune=SGD_CPU,
        rates=RATES_CPU,
        finetune_size=1000,
    ),
    "paper": FewShotStudy(
        upstream="imagenet21k",
        downstream=("imagenet", "cifar10", "cifar100", "pets", "flowers102"),
        models=("ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16", "R50x1", "R152x2"),
        image_size=224,
        l2=(1024.0,),
        pretrain=Recipe(
            epochs=90,
            batch_size=4096,
            optimizer="adam",
            lr=1e-3,
            weight_decay=0.03,
            schedule="linear",
            warmup_steps=10_000,
            augment=("crop", "flip"),
            precision="bf16",
            compile=True,
        ),
        finetune=replace(SGD, steps=10_000, augment=("crop", "flip"), precision="bf16"),
    ),
}


def plan(settings: FewShotStudy) -> list[Run]:
    """For each seed and model: the few-shot evaluations of its weights, then their fine-tunings."""
    size = native_size(settings)
    sets = [some_classes(source, image_size=size)[0] for source in settings.downstream]
    task = FewShot(shots=settings.shots, draws=settings.draws, l2=settings.l2)
    found: list[Run] = []
    for start in starts(settings, model_names(settings)):
        found += [Run(start.model, data, task=task, seed=start.seed, init=start.init) for data in sets]
        for data in sets:
            some = replace(data, train_size=settings.finetune_size, subset_seed=start.seed)
            found += fine_tunings(settings, start, some)
    return found


def draw(rows: pd.DataFrame, settings: FewShotStudy) -> Evidence:
    """Accuracy against shots, what fine-tuning gives, and the rank correlation of the two."""
    from vitlab.report.panels import curve_panels, dot_panels
    from vitlab.report.tables import to_markdown

    done = rows[rows["status"] == "finished"]
    shots, tuned = done[done["task"] == "few_shot"], fine_tuned(done)
    pairs = both_measures(shots, tuned, settings.proxy)
    figures = {
        "figure": curve_panels(
            with_mean(shots),
            panel="data",
            x="shots",
            y="test_accuracy",
            unit=("seed",),
            log_x=True,
            xlabel="images a class\ndots: seeds, band: 95% interval over seeds",
            ylabel="test accuracy (%)",
            title=f"Few-shot linear accuracy, {_upstream(shots)}",
            first=MEAN,
        )
    }
    if len(pairs):
        figures["correlation"] = dot_panels(
            pairs,
            panel="data",
            x="few_shot",
            y="fine_tuned",
            xlabel=f"{settings.proxy}-shot linear accuracy (%)",
            ylabel="fine-tuned accuracy (%)",
            title=f"Does {settings.proxy}-shot accuracy predict fine-tuning? A dot for each model and seed",
        )
    said = sentences(shots, pairs, settings)
    tables = [to_markdown(accuracy_table(shots, tuned)), to_markdown(correlation_table(pairs, settings.proxy))]
    return Evidence(" ".join(said), "\n".join(tables), figures)


def _upstream(rows: pd.DataFrame) -> str:
    names = rows["upstream"].dropna().unique()
    return f"pre-trained on {', '.join(names)}" if len(names) else f"weights of {', '.join(rows['init'].unique())}"


def with_mean(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, and all of them once more as a set called `MEAN` if there are several sets.

    Each set's draws are averaged first, so that a set with more draws has no more weight than another.
    """
    if rows["data"].nunique() < 2:
        return rows
    import pandas as pd

    means = rows.groupby(["model", "data", "shots", "seed"])["test_accuracy"].mean().reset_index()
    return pd.concat([rows, means.assign(data=MEAN)])


def both_measures(shots: pd.DataFrame, tuned: pd.DataFrame, proxy: int) -> pd.DataFrame:
    """A row for each model, seed and set with the mean few-shot and the fine-tuned accuracy, both in [0, 1]."""
    keys = ["data", "model", "seed"]
    few = shots[shots["shots"] == proxy].groupby(keys)["test_accuracy"].mean().rename("few_shot")
    return tuned.set_index(keys)["test_best"].rename("fine_tuned").to_frame().join(few, how="inner").reset_index()


def accuracy_table(shots: pd.DataFrame, tuned: pd.DataFrame) -> Table:
    """Accuracy in % of each model on each set, at each number of shots and after fine-tuning."""
    import pandas as pd

    from vitlab.report.tables import ACCURACY, describe, interval_table, pivot

    after = tuned.rename(columns={"test_best": "value"}).assign(column="fine-tuned")
    few = shots.rename(columns={"test_accuracy": "value"})
    few = few.assign(column=few["shots"].map("{:>3.0f}-shot".format))
    columns = ["data", "model", "column", "seed", "value"]
    cells = pivot(
        pd.concat([few[columns], after[columns]]), ["data", "model"], "column", "value", unit=("seed",), bounds=ACCURACY
    )
    rates = ", ".join(f"{model} {rate:g}" for model, rate in tuned.groupby("model")["lr"].median().items())
    caption = (
        f"Test accuracy in %: linear classifier on frozen features, {_upstream(shots)}; mean over seeds [95% "
        f"interval], draws of a seed averaged. {_l2(shots)} Fine-tuned: {_sizes(tuned)} images, "
        f"median rate {rates or 'none'}, chosen on validation. {describe(shots)}."
    )
    return interval_table(cells, caption=caption)


def _l2(shots: pd.DataFrame) -> str:
    values = ", ".join(f"{value:g}" for value in sorted(shots["l2"].unique()))
    fixed = set(shots["l2_choice"]) == {"fixed"}
    return (
        f"l2 = {values}, fixed." if fixed else f"l2 of {values}, chosen on held-out shots (one shot: the usual 1024)."
    )


def _sizes(tuned: pd.DataFrame) -> str:
    return " / ".join(f"{int(size):,}" for size in sorted(tuned["train_size"].unique())) or "no"


def correlations(pairs: pd.DataFrame) -> dict[str, Interval]:
    """Spearman's rank correlation of the two measures over models and seeds, for each set."""
    from vitlab.report.intervals import rank_correlation

    return {name: rank_correlation(of["few_shot"], of["fine_tuned"]) for name, of in pairs.groupby("data")}


def correlation_table(pairs: pd.DataFrame, proxy: int) -> Table:
    """The rank correlation on each set, with its interval."""
    from vitlab.report.tables import Table

    cells = [(name, str(found.n), found.format(digits=2, scale=1.0)) for name, found in correlations(pairs).items()]
    caption = (
        f"Spearman's rank correlation of {proxy}-shot and fine-tuned accuracy over models and seeds [95%, Fisher]."
    )
    return Table(("set", "weights", "rank correlation"), tuple(cells), caption)


def sentences(shots: pd.DataFrame, pairs: pd.DataFrame, settings: FewShotStudy) -> list[str]:
    """The answer: which representation is best after a few shots, and whether that predicts fine-tuning."""
    from vitlab.report.names import in_order
    from vitlab.report.tables import ACCURACY, pivot

    at = with_mean(shots)
    at = at[(at["shots"] == settings.proxy) & ((at["data"] == MEAN) | (shots["data"].nunique() == 1))]
    if at.empty:
        return []
    cells = pivot(at, ["model"], "shots", "test_accuracy", unit=("seed",), bounds=ACCURACY)[settings.proxy]
    means = ", ".join(f"{name} {cells[name].format()}" for name in in_order(cells.index))
    said = [f"{settings.proxy}-shot linear accuracy, mean of {shots['data'].nunique()} sets: {means} %."]
    return said + proxy_sentence(correlations(pairs), settings.proxy)


def proxy_sentence(found: dict[str, Interval], proxy: int) -> list[str]:
    """Whether the rank correlation is positive on the sets, and on how many that is certain."""
    known = {name: cell for name, cell in found.items() if cell.mean == cell.mean}
    if not known:
        return []
    sure = sum(cell.low > 0 for cell in known.values())
    mean = sum(cell.mean for cell in known.values()) / len(known)
    each = ", ".join(f"{name} {cell.mean:.2f}" for name, cell in known.items())
    return [
        f"Rank correlation of {proxy}-shot with fine-tuned accuracy: {mean:.2f} on average ({each}); certainly "
        f"positive on {sure} of {len(known)} sets."
    ]


STUDY = Study(
    name="few_shot",
    question="How good are representations after a few images a class, and does that predict fine-tuning?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=lambda settings: (
        "checkpoint" if settings.checkpoint else some_classes(settings.upstream)[0].name.partition("@")[0]
    ),
)

if __name__ == "__main__":
    main(STUDY)
