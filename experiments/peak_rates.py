"""The peak rates that trials on the validation split chose, and what speaks against a rate that was not chosen so.

A rate belongs to a family on a data set at a length of training, and to a size that had trials of its own; each had
as many trials as the others. The trials are evidence of `experiments.tuning`, and a test holds these rates against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitlab.report.families import called, family

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Trials:
    """Peak rates of families, and of sizes that had trials of their own: the one chosen, all that were tried, on which
    data set (by all of its names), where the trials are (folders of results/), and the steps of the longest of them.
    """

    data: tuple[str, ...]
    evidence: tuple[str, ...]
    longest: int
    chosen: Mapping[str, float]
    tried: Mapping[str, tuple[float, ...]]

    def doubt(self, model: str, rate: float, steps: float = 0) -> str:
        """Why the rate of a model is not a tuned one for so many steps, in words; empty where it is."""
        own = next((name for name in called(model) if name in self.chosen), "")
        tried, best = self.tried.get(own, ()), self.chosen.get(own)
        if rate not in tried:
            return f"the rate of {model}, {rate:g}, is none of those that were tried"
        if rate != best:
            return f"the rate of {model}, {rate:g}, is not {best:g}, the best of those that were tried"
        if len(tried) > 1 and rate in (min(tried), max(tried)):
            return f"the rate of {model}, {rate:g}, is at the edge of those that were tried"
        if steps > LONGER * self.longest:
            return f"the rate of {model}, {rate:g}, was tried for {self.longest:,} steps at most, not for {steps:,.0f}"
        return ""


LONGER = 8  # times the steps of the trials, for which their rate still counts: three doublings
FIVE = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FAMILIES = ("ViT", "HybridViT", "ResNet")
DIGITS = Trials(
    ("digits",),
    ("tuning/digits_100_800",),
    300,
    {"ViT": 1e-2, "HybridViT": 1e-2, "ResNet": 3e-3},
    dict.fromkeys(FAMILIES, (1e-3, 3e-3, 1e-2, 3e-2)),
)
CIFAR10_SHORT = Trials(
    ("cifar10",),
    ("tuning/cifar10_2000", "tuning/cifar10_49000"),
    600,
    {"ViT": 1e-3, "HybridViT": 1e-3, "ResNet": 1e-2},
    dict.fromkeys(FAMILIES, FIVE),
)
# Thousands of steps: 3,000 on 500 images and 6,000 on 49,000.
CIFAR10_LONG = Trials(
    ("cifar10",),
    ("tuning/cifar10_500_49000", "tuning/cifar10_vit_micro"),
    6000,
    {"ViT": 3e-3, "ViT-Micro": 3e-4, "HybridViT": 3e-3, "ResNet": 3e-2},
    {
        **dict.fromkeys(FAMILIES[:2], (3e-4, 1e-3, 3e-3, 1e-2)),
        "ViT-Micro": (1e-4, 3e-4, 1e-3, 3e-3),  # of the ViT's four the lowest was the best
        "ResNet": (3e-3, 1e-2, 3e-2, 1e-1),
    },
)
# 1,000 steps on 200 images and 2,500 on 16,000, at 32 px.
EUROSAT_SHORT = Trials(
    ("eurosat_64", "eurosat"),  # a local copy's name and the card's
    (
        "tuning/eurosat_64_200_16000",
        "tuning/eurosat_64_vit_nano",
        "tuning/eurosat_64_hybrid",
        "tuning/eurosat_64_resnet_nano",
    ),
    2500,
    {"ViT": 3e-3, "ViT-Nano": 1e-3, "HybridViT": 3e-3, "ResNet": 1e-2, "ResNet-Nano": 3e-2},
    {name: CIFAR10_LONG.tried[family(name)] for name in ("ViT", "ViT-Nano", "HybridViT", "ResNet", "ResNet-Nano")},
)
TINY_SHORT = Trials(
    ("tiny_imagenet_32",),
    ("tuning/tiny_imagenet_32_95000",),
    798,
    {"ViT": 1e-3, "HybridViT": 3e-4, "ResNet": 1e-2},
    dict.fromkeys(FAMILIES, FIVE),
)
TRIALS = (DIGITS, CIFAR10_SHORT, CIFAR10_LONG, EUROSAT_SHORT, TINY_SHORT)
UNTUNED = dict.fromkeys(FAMILIES, 1e-3)  # the GPU presets' rates: nobody has tried others yet


def rate_doubts(rows: pd.DataFrame, data: str = "data.name") -> list[str]:
    """Why models cannot be compared: a rate that was not tuned on what they were trained on (column `data`), or lies
    at the edge of those that were tried. Nothing where several were `tried` for the rows themselves.
    """
    doubts, rows = [], rows[~(rows["tried"] > 1)] if "tried" in rows.columns else rows
    runs = rows.groupby([data, "model", "recipe.lr"], sort=False)
    longest = runs["steps"].max() if "steps" in rows.columns else runs.size() * 0
    for (name, model, rate), steps in longest.items():
        words = [trials.doubt(model, rate, steps) for trials in TRIALS if name.partition("@")[0] in trials.data]
        if not words:
            doubts.append(f"no rates were tried on {name}")
        elif all(words):
            doubts.append(words[-1])
    return list(dict.fromkeys(doubts))
