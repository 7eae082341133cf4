"""Verdicts and claims that tests make their own of."""

from collections.abc import Callable

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
