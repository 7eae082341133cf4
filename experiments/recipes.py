"""Named recipes: what the studies train with. Their peak rates are those of `experiments.peak_rates`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

from vitlab.report.families import SIZES
from vitlab.study.own_data import Photographs
from vitlab.tasks.settings import TARGETS, Classify, FewShot, Recipe
from .peak_rates import CIFAR10_LONG, CIFAR10_SHORT, DIGITS, EUROSAT_SHORT, TINY_SHORT, UNTUNED

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
SGD_DIGITS = replace(SGD, steps=100, batch_size=64, evaluations=5)
SGD_CPU = replace(SGD_DIGITS, precision="bf16")
SGD_GPU = replace(SGD, steps=2500, augment=("crop", "flip"), precision="bf16")
SGD_WEIGHTS = replace(SGD_GPU, steps=600, batch_size=64, warmup_steps=60, evaluations=20)
SGD_OWN = replace(SGD_WEIGHTS, evaluations=6)
# For images that nobody has studied yet. In long trainings the rate that is best for ViT-Pico/4 is far too high for
# ViT-Micro/4 (tuning/cifar10_vit_micro), so that larger ViTs take that of the largest one that was tried. ViT-Nano's is
# from EuroSAT.
LONG_RATES = {
    **CIFAR10_LONG.chosen,
    "ViT-Nano": EUROSAT_SHORT.chosen["ViT-Nano"],
    **{f"ViT-{size}": CIFAR10_LONG.chosen["ViT-Micro"] for size in SIZES[SIZES.index("Micro") :]},
}
PHOTOGRAPHS = Photographs(CIFAR_SHORT, CIFAR10_SHORT.chosen, LONG_RATES, SGD_OWN, {"ViT": (0.03,), "ResNet": (0.3,)})
SGD_RATES_CPU = (0.01, 0.03, 0.1, 0.3)  # 100 steps ask for more than the paper's rates
# Pre-training on ImageNet-21k as in Table 3, but for its dropout of 0.1; the authors' Adam decays weights apart from
# the gradient, as AdamW does.
IMAGENET21K = Recipe(
    epochs=90,
    batch_size=4096,
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.03,
    decay="kernels",
    schedule="linear",
    warmup_steps=10_000,
    grad_clip=0.0,
    augment=("crop", "flip"),
    precision="bf16",
    compile=True,
)
FIVE_SHOT = FewShot(shots=(5,), draws=10, l2=(1.0, 32.0, 1024.0))
DOWNSTREAM = ("cifar10", "caltech101", "eurosat", "flowers89")
# What the studies of transfer share at each scale: settings of `vitlab.study.upstream.Upstream` by preset.
UPSTREAM: dict[str, dict[str, Any]] = {
    "quick": {
        "data": "digits@0,1,2,4,6,7,9",
        "recipe": DIGITS_RECIPE,
        "learning_rates": DIGITS.chosen,
        "finetune": SGD_DIGITS,
        "rates": (0.03, 0.1, 0.3, 1.0),
        "finetune_size": 100,
    },
    "tiny_imagenet": {
        "data": "tiny_imagenet_32",
        "downstream": DOWNSTREAM,
        "sizes": ("Micro", "Small"),
        "patch": 4,
        "recipe": replace(CIFAR_GPU, steps=40_000, weight_decay=0.1, warmup_steps=2000),
        "learning_rates": UNTUNED,
        "finetune": SGD_GPU,
    },
    "tiny_imagenet_cpu": {
        "data": "tiny_imagenet_32",
        "downstream": DOWNSTREAM,
        "sizes": ("Nano",),
        "patch": 4,
        "recipe": replace(CIFAR_SHORT, steps=1200, warmup_steps=120, evaluations=4),
        "learning_rates": TINY_SHORT.chosen,
        "finetune": SGD_CPU,
        "rates": SGD_RATES_CPU,
        "finetune_size": 1000,
    },
    "weights_cpu": {
        "checkpoint": "vitlab/vit_pico_4.tiny_imagenet_32",
        "models": ("ViT-Pico/4",),
        "patch": 4,
        "image_size": 32,
        "downstream": DOWNSTREAM,
        "finetune": SGD_WEIGHTS,
        "rates": (0.003, 0.01, 0.03, 0.1, 0.3),  # of three from 0.03 on, 0.03 was the best on most sets
        "finetune_size": 1000,
    },
    "paper": {
        "data": "imagenet21k",
        "downstream": ("imagenet", "cifar10", "cifar100", "pets", "flowers102"),
        "models": ("ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16", "R50x1", "R152x2"),
        "image_size": 224,
        "recipe": IMAGENET21K,
        "pretrain": Classify(loss="sigmoid"),
        "head": "tanh",
        "finetune": replace(SGD_GPU, steps=10_000),
    },
}
# Satellite photographs at 32 px, which are learnt in fewer steps than CIFAR-10.
SATELLITE = replace(CIFAR_LONG, steps=2500, warmup_steps=100)
EUROSAT: dict[str, Any] = {"data": "eurosat", "image_size": 32, "patch": 4, "recipe": SATELLITE}
EUROSAT_PAIR = EUROSAT | {"models": ("ViT", "ResNet"), "learning_rates": EUROSAT_SHORT.chosen}
# 2,500 steps cut most of the ResNet's trainings on 4,000 images short, and 4,000 were too few for 16,000 images.
EUROSAT_SIZES = EUROSAT_PAIR | {
    "train_sizes": (250, 1000, 4000, 16_000),
    "steps_by_size": {250: 1000, 1000: 1500, 4000: 4000, 16_000: 8000},
}
# ... and for the ablations, which take many trainings: data scaling's on 1,000 images, which end before they do.
# With 2,000 images and as many steps most of them still gained at the end, so that no claim could be tested.
EUROSAT_FEW = EUROSAT | {"train_size": 1000, "seeds": 3, "recipe": replace(SATELLITE, steps=1500)}
# Data scaling: settings of the study by preset.
SCALED: dict[str, Any] = {"data": "cifar10", "patch": 4}
FIGURE_4: dict[str, Any] = {"data": "tiny_imagenet_32", "patch": 4, "measure": "few_shot", "downstream": DOWNSTREAM}
DATA_SCALING: dict[str, dict[str, Any]] = {
    "quick": {
        "train_sizes": (50, 100, 200, 400, 800, 1149),
        "recipe": DIGITS_RECIPE,
        "learning_rates": DIGITS.chosen,
    },
    "cifar10": SCALED
    | {
        "sizes": ("Micro", "Small"),
        "train_sizes": (500, 1000, 2000, 5000, 10_000, 20_000, 49_000),
        "seeds": 5,
        "recipe": CIFAR_GPU,
        "learning_rates": UNTUNED,
    },
    "cifar10_cpu": SCALED
    | {
        "models": ("ViT-Pico/4", "ViT-Micro/4", "ResNet-Pico"),
        "train_sizes": (500, 2000, 8000, 49_000),
        "steps_by_size": {500: 3000, 2000: 6000, 8000: 12_000, 49_000: 24_000},
        "recipe": CIFAR_LONG,
        "learning_rates": CIFAR10_LONG.chosen,
    },
    "eurosat_cpu": EUROSAT_SIZES
    | {
        "models": ("ViT-Pico/4", "ViT-Nano/4", "ResNet-Pico"),
        "train_sizes": (250, 1000, 2000, 4000, 16_000),
        "steps_by_size": EUROSAT_SIZES["steps_by_size"] | {2000: 3000},
    },
    "tiny_imagenet": FIGURE_4
    | {
        "sizes": ("Micro", "Small"),
        "train_sizes": (1000, 3000, 10_000, 30_000, 95_000),
        "recipe": CIFAR_GPU,
        "learning_rates": UNTUNED,
    },
    "tiny_imagenet_cpu": FIGURE_4
    | {
        "sizes": ("Pico", "Nano"),
        "train_sizes": (2000, 10_000, 95_000),
        "steps_by_size": {2000: 6000, 10_000: 10_000, 95_000: 24_000},
        "recipe": CIFAR_LONG,
        "learning_rates": TINY_SHORT.chosen,
    },
}
# Masked patch prediction: settings of the study by preset.
MASKED = replace(CIFAR_SHORT, steps=2079, batch_size=128, lr=1.6e-2, warmup_steps=200, evaluations=9)
MASKED_GPU = replace(MASKED, steps=40_000, batch_size=512, lr=1e-3, warmup_steps=2000, compile=True)
Ablation = Literal["ratio", "target", "mae", "steps", "rate"]
MASKED_CHANGES: dict[str, dict[str, Any]] = {  # of masked patch prediction; mae: the task of arXiv 2111.06377
    "mae": {"task.ratio": 0.75, "task.swap": 0.0, "task.mask": 1.0, "task.target": "pixels"},
    **{f"ratio {ratio:g}": {"task.ratio": ratio} for ratio in (0.15, 0.5, 0.75)},
    **{f"target {target}": {"task.target": target} for target in TARGETS},
}


def masked_changes(own: Recipe, ablations: Collection[Ablation]) -> dict[str, dict[str, Any]]:
    """What `ablations`, the first words of their names, change in masked patch prediction, whose recipe is `own`."""
    found = dict(MASKED_CHANGES)
    for n in (10, 4, 2):
        found[f"steps / {n}"] = {"recipe.steps": own.steps // n, "recipe.warmup_steps": own.warmup_steps // n}
    return {name: change for name, change in found.items() if name.split()[0] in ablations}


ON_CIFAR: dict[str, Any] = {
    "data": "cifar10",
    "unlabelled": "cifar10",
    "upstream": "tiny_imagenet_32",
    "models": ("ViT",),
    "patch": 4,
    "rates": (3e-4, 1e-3, 3e-3),
    "supervised_rate": 1e-3,
}
MASKED_PATCH: dict[str, dict[str, Any]] = {
    "quick": {
        "data": "digits@3,5,7,8,9",
        "unlabelled": "digits",
        "upstream": "digits@0,1,2,4,6",
        "models": ("ViT",),
        "pretrain": Recipe(steps=400, lr=3e-3, warmup_steps=40, evaluations=5),
        "recipe": Recipe(steps=100, batch_size=32, warmup_steps=10, evaluations=5),
        "supervised_rate": 3e-3,
        "label_shares": (0.05, 1.0),
    },
    "cifar10": ON_CIFAR
    | {
        "sizes": ("Small",),
        "seeds": 5,
        "pretrain": MASKED_GPU,
        "recipe": replace(MASKED_GPU, steps=5000, batch_size=128, warmup_steps=500, evaluations=10),
        "ablation_seeds": 3,
    },
    # The rates of pre-training: the best of trials a factor of two apart, seed 0 (results/masked_patch/cifar10_pico).
    "cifar10_cpu": ON_CIFAR
    | {
        "sizes": ("Pico",),
        "label_shares": (0.05, 1.0),
        "rates": (3e-4, 1e-3, 3e-3, 1e-2),
        "pretrain": MASKED,
        "supervised_rate": 4e-3,
        "recipe": replace(CIFAR_SHORT, evaluations=10),
        "ablations": ("rate",),
        "rate_factors": (0.25, 0.5, 2.0),
    },
}
