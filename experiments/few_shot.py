"""Few-shot linear accuracy of pre-trained representations (section 4.1), and whether it predicts fine-tuning.

    python -m experiments.few_shot                                    # seven digits upstream, three others downstream
    python -m experiments.few_shot --preset tiny_imagenet_cpu --upstream images/tiny_imagenet_32 \
        --downstream images/{cifar10,caltech101_64,eurosat_64,flowers89_64}
    python -m experiments.few_shot --checkpoint weights.npz --models ViT-B/16 --image_size 224 --downstream pets

Each model is pre-trained upstream and frozen. On each downstream set, a regularised least-squares classifier is solved
in closed form on 1, 5, 10 and 25 images a class. The same weights are then fine-tuned by the paper's recipe (SGD, no
weight decay, zero head, the rate chosen on the validation split), and the two are ranked against each other.

`quick` (3 seeds, 2 x Intel Xeon with AMX, 3 minutes): 5-shot accuracy, mean of three sets of digits, ViT 64.1 [55.6,
77.3], HybridViT 69.3 [59.9, 74.4], ResNet 71.6 [67.1, 75.0] %; rank correlation with fine-tuning 0.92, 0.75 and 0.31.
`tiny_imagenet_cpu` (3 seeds, 2 x Intel Xeon with AMX, 36 minutes): mean of four sets, ViT 27.8 [27.3, 29.0], HybridViT
22.9 [19.7, 26.1], ResNet 21.6 [21.3, 22.1] %: 1,200 steps of pre-training are few for 200 classes, fewest for a ResNet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from experiments import few_shot_evidence as evidence
from experiments.data_scaling import PRESETS as TUNED
from experiments.data_scaling import model_names
from experiments.upstream import (
    RATES_CPU,
    SGD,
    SGD_CPU,
    Upstream,
    evidence_folder,
    fine_tunings,
    native_size,
    some_classes,
    starts,
)
from vitlab.runs.run import Run
from vitlab.study import Evidence, Study, main, titled
from vitlab.tasks.settings import FewShot, Recipe

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FewShotStudy(Upstream):
    """Settings of the study."""

    shots: tuple[int, ...] = (1, 5, 10, 25)
    """Training images of each class."""
    proxy: int = 5
    """The number of shots that is compared with fine-tuning."""
    draws: int = 10
    """Random draws of these images for each seed; at one shot more, until the 95% interval is under two points."""
    max_draws: int = 100
    """The most draws at one shot; sets of a few classes need several hundred."""
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
        max_draws=1000,
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
    task = FewShot(shots=settings.shots, draws=settings.draws, max_draws=settings.max_draws, l2=settings.l2)
    found: list[Run] = []
    for start in starts(settings, model_names(settings)):
        found += [Run(start.model, data, task=task, seed=start.seed, init=start.init) for data in sets]
        for data in sets:
            some = replace(data, train_size=settings.finetune_size, subset_seed=start.seed)
            found += fine_tunings(settings, start, some)
    return found


def draw(rows: pd.DataFrame, settings: FewShotStudy) -> Evidence:
    """Accuracy against shots, what fine-tuning gives, and the rank correlation of the two."""
    whole = [source for source in (settings.upstream, *settings.downstream) if "@" not in source]
    return evidence.draw(titled(rows[rows["status"] == "finished"], *whole), settings.proxy)


STUDY = Study(
    name="few_shot",
    question="How good are representations after a few images a class, and does that predict fine-tuning?",
    presets=PRESETS,
    plan=plan,
    draw=draw,
    folder=evidence_folder,
)

if __name__ == "__main__":
    main(STUDY)
