"""The losses of classification against their definitions."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from vitlab.tasks.classification import Classification
from vitlab.tasks.settings import Classify, Recipe

CLASSES = 4


def loss(logits: torch.Tensor, targets: torch.Tensor, **task) -> float:
    made = Classification(torch.nn.Identity(), Classify(**task), Recipe(), num_classes=CLASSES, steps=1, seed=0)
    return float(made.loss(logits, targets))


@pytest.fixture
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, CLASSES, generator=generator), torch.tensor([0, 3, 1, 1, 2, 0])


def smoothed(targets: torch.Tensor, share: float) -> np.ndarray:
    """A share of each target spread over all classes, its own among them (Szegedy et al. 2016)."""
    return (1 - share) * np.eye(CLASSES)[targets] + share / CLASSES


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_softmax_is_the_cross_entropy_with_the_smoothed_targets(answers, share):
    logits, targets = answers
    expected = -(smoothed(targets, share) * logits.log_softmax(-1).numpy()).sum(-1).mean()
    assert loss(logits, targets, label_smoothing=share) == pytest.approx(expected, rel=1e-5)
    soft = torch.from_numpy(smoothed(targets, 0.3)).float()
    mixed = -(smoothed(targets, 0.3) * logits.log_softmax(-1).numpy()).sum(-1).mean()
    assert loss(logits, soft) == pytest.approx(mixed, rel=1e-5), "as mixup gives them"


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_sigmoid_sums_over_the_classes_and_averages_over_the_images(answers, share):
    logits, targets = answers
    chance, wanted = logits.sigmoid().numpy().astype(float), smoothed(targets, share)
    expected = -(wanted * np.log(chance) + (1 - wanted) * np.log(1 - chance)).sum(-1).mean()
    assert loss(logits, targets, loss="sigmoid", label_smoothing=share) == pytest.approx(expected, rel=1e-5)
    assert loss(logits, torch.from_numpy(wanted).float(), loss="sigmoid") == pytest.approx(expected, rel=1e-5)
    half = logits.bfloat16()
    assert loss(half, targets, loss="sigmoid", label_smoothing=share) == pytest.approx(
        loss(half, torch.from_numpy(wanted).float(), loss="sigmoid"), rel=1e-6
    ), "targets are not rounded"
    if not share:
        each = [log_loss(np.eye(CLASSES)[targets][:, k], chance[:, k]) for k in range(CLASSES)]
        assert expected == pytest.approx(sum(each)), "a sum of binary losses"
