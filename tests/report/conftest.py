"""Rows as studies write them, from a formula."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

SIZES = (500, 1000, 2000, 5000, 10_000)
MODELS = {
    "ViT-Micro/4": (1_201_034, 0.33, 0.16),
    "HybridViT-Micro/4": (1_220_000, 0.42, 0.22),
    "ResNet-Micro": (1_250_000, 0.48, 0.26),
}
SMALL = {
    "ViT-Nano/4": (350_000, 0.3, 0.14),
    "HybridViT-Nano/4": (355_000, 0.38, 0.18),
    "ResNet-Nano": (360_000, 0.44, 0.23),
}


def make_rows(
    seeds: int = 3, models: dict[str, tuple[int, float, float]] = MODELS, noise: float = 0.008
) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "run": f"{len(model)}e{seed}{size}",
            "study": "data_scaling",
            "model": model,
            "parameters": parameters,
            "train_flops_per_image": 5.1e8,
            "data.name": "cifar10",
            "train_images": size,
            "seed": seed,
            "images": 10_000,
            "steps": 1000,
            "epochs": None,
            "score": 1 - (1 - start) * (size / SIZES[0]) ** -power + noise * generator.normal(),
            "wall_s": 1.5,
            "hardware": "2 x AMD EPYC, 24 GiB",
            "torch": "2.10",
            "commit": "1234567",
        }
        for model, (parameters, start, power) in models.items()
        for seed in range(seeds)
        for size in SIZES
    )


@pytest.fixture(scope="session")
def rows() -> Callable[..., pd.DataFrame]:
    """`rows(seeds=3, models=MODELS, noise=0.008)`: one row per model, seed and train size."""
    return make_rows


@pytest.fixture(scope="session")
def two_sizes() -> dict[str, tuple[int, float, float]]:
    """Three families in two sizes, for `rows(models=two_sizes)`."""
    return SMALL | MODELS
