"""Named recipes, and the peak rates that trials on the validation split chose: what the studies train with.

A rate belongs to a family on a data set at a length of training; each family had as many trials as the others. The
trials are evidence of `experiments.tuning`, and a test holds these rates against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vitlab.report.families import family
from vitlab.tasks.settings import FewShot, Recipe

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Trials:
    """Peak rates by family: the one chosen, all that were tried, and where the trials are (folders of results/)."""

    data: str
    evidence: tuple[str, ...]
    chosen: Mapping[str, float]
    tried: Mapping[str, tuple[float, ...]]

    def doubt(self, model: str, rate: float) -> str:
        """Why the rate of a model is not a tuned one, in words; empty where it is."""
        tried = self.tried.get(family(model), ())
        if rate not in tried:
            return f"the rate of {model}, {rate:g}, is none of those that were tried"
        if len(tried) > 1 and rate in (min(tried), max(tried)):
            return f"the rate of {model}, {rate:g}, is at the edge of those that were tried"
        return ""


FIVE = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FAMILIES = ("ViT", "HybridViT", "ResNet")
DIGITS = Trials(
    "digits",
    ("tuning/digits_100_800",),
    {"ViT": 1e-2, "HybridViT": 1e-2, "ResNet": 3e-3},
    dict.fromkeys(FAMILIES, (1e-3, 3e-3, 1e-2, 3e-2)),
)
CIFAR10_SHORT = Trials(
    "cifar10",
    ("tuning/cifar10_2000", "tuning/cifar10_49000"),
    {"ViT": 1e-3, "HybridViT": 1e-3, "ResNet": 1e-2},
    dict.fromkeys(FAMILIES, FIVE),
)
TINY_SHORT = Trials(
    "tiny_imagenet_32",
    ("tuning/tiny_imagenet_32_95000",),
    {"ViT": 1e-3, "HybridViT": 3e-4, "ResNet": 1e-2},
    dict.fromkeys(FAMILIES, FIVE),
)
TRIALS = (DIGITS, CIFAR10_SHORT, TINY_SHORT)
UNTUNED = dict.fromkeys(FAMILIES, 1e-3)  # the GPU presets' rates: nobody has tried others yet


def rate_doubts(rows: pd.DataFrame, data: str = "data.name") -> list[str]:
    """Why models cannot be compared: a rate that was not tuned on what they were trained on (column `data`), or lies
    at the edge of those that were tried.
    """
    doubts = []
    for name, model, rate in rows[[data, "model", "recipe.lr"]].drop_duplicates().itertuples(index=False):
        words = [trials.doubt(model, rate) for trials in TRIALS if trials.data == name.partition("@")[0]]
        if not words:
            doubts.append(f"no rates were tried on {name}")
        elif all(words):
            doubts.append(words[-1])
    return list(dict.fromkeys(doubts))


DIGITS_RECIPE = Recipe(steps=300, batch_size=64, warmup_steps=30, evaluations=10)
CIFAR_SHORT = Recipe(
    steps=800, batch_size=64, warmup_steps=80, evaluations=6, augment=("crop", "flip"), precision="bf16"
)
CIFAR_LONG = replace(CIFAR_SHORT, steps=24_000, warmup_steps=300, evaluations=20)
CIFAR_GPU = Recipe(
    steps=20_000,
    batch_size=512,
    warmup_steps=1000,
    evaluations=20,
    augment=("crop", "flip"),
    precision="bf16",
    compile=True,
)
# Fine-tuning as in Table 4; on two cores for a thousand images.
SGD = Recipe(steps=500, batch_size=512, optimizer="sgd", weight_decay=0.0, warmup_steps=0, grad_clip=1.0)
SGD_CPU = replace(SGD, steps=100, batch_size=64, evaluations=1, precision="bf16")
SGD_DIGITS = replace(SGD, steps=100, batch_size=64, evaluations=3)
SGD_RATES, SGD_RATES_CPU = (0.001, 0.003, 0.01, 0.03), (0.01, 0.03)
# Pre-training on ImageNet-21k as in Table 3.
IMAGENET21K = Recipe(
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
)
FIVE_SHOT = FewShot(shots=(5,), draws=10, l2=(1.0, 32.0, 1024.0))
DOWNSTREAM = ("cifar10", "caltech101", "eurosat", "flowers89")
