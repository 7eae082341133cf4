"""Claims, verdicts and rows that tests make their own of."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.rule import judge


@pytest.fixture
def above() -> Claim:
    return Claim("data.few", "4.3", "with few images the CNN is ahead", paper="Figure 3")


@pytest.fixture
def alike() -> Claim:
    return Claim("d3.head", "D.3", "class token and mean pooling are alike", test="alike", margin=0.01)


@pytest.fixture
def judged() -> Callable[..., Verdict]:
    def make(claim: Claim, values, **settings) -> Verdict:
        return judge(claim, dict(enumerate(values)), **({"data": "digits", "subject": "Pico"} | settings))

    return make


@pytest.fixture
def scaling() -> pd.DataFrame:
    """Rows of two models at six sizes by three seeds.

    In log-odds the ResNet gains 0.5 a doubling and the ViT 0.7, from 1.1 below it: the ViT needs 3 times as many images
    at some accuracy, and the curves cross at 500 x 2**5.5 images. A seed shifts both alike.
    """
    rows = []
    for seed, shift in enumerate([-0.1, 0.0, 0.1]):
        for doublings in range(0, 12, 2):
            for model, start, slope in (("ResNet", -1.0, 0.5), ("ViT", -2.1, 0.7)):
                odds = start + shift + slope * doublings
                run = {"model": model, "seed": seed, "train_images": 500 * 2**doublings, "split": "test"}
                rows.append(run | {"score": 1 / (1 + np.exp(-odds)), "images": 10_000, "classes": 10})
    return pd.DataFrame(rows)
