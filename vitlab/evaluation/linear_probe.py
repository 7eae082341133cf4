"""Linear probe: multinomial logistic regression on all features, its weight decay chosen on validation images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from vitlab.evaluation.inputs import check_dimensions, check_features, class_index

PROBE_L2S = tuple(10.0**power for power in range(0, -7, -1))


@dataclass(frozen=True)
class LinearProbe:
    """Accuracies in [0, 1] of the probe with the best validation accuracy, its l2, and whether L-BFGS converged."""

    test_accuracy: float
    validation_accuracy: float
    l2: float
    converged: bool


def linear_probe(
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    l2s: Sequence[float] = PROBE_L2S,
    max_iterations: int = 500,
) -> LinearProbe:
    """Train on `train`, choose l2 on `validation`, and score once on `test`; each is (features (N, F), labels (N,)).

    The objective is mean cross-entropy + l2 / 2 ||W||^2 (the bias is free), minimised by L-BFGS, on features
    standardised by the train set (constant features become zero). l2 runs from the largest to the smallest, each
    starting where the last ended; ties on validation go to the larger. Raises ValueError for features that are not
    finite and for a validation or test label that train lacks.
    """
    for name, (features, labels) in {"train": train, "validation": validation, "test": test}.items():
        check_features(name, features, labels)
    check_dimensions(train=train[0], validation=validation[0], test=test[0])
    classes = train[1].unique()
    if len(classes) < 2:
        raise ValueError("A linear probe needs train images of at least 2 classes; all of these have the same label.")
    targets = {
        name: class_index(labels, classes, name).cpu().numpy()
        for name, (_, labels) in {"train": train, "validation": validation, "test": test}.items()
    }
    x, x_validation, x_test = _standardised(train[0], validation[0], test[0])
    best: tuple[float, float, bool, float] | None = None
    regression = LogisticRegression(warm_start=True, max_iter=max_iterations)
    # Of two classes it fits the difference of the rows of W, whose square is twice theirs.
    weight = len(x) / 2 if len(classes) == 2 else len(x)
    for l2 in sorted(l2s, reverse=True):
        converged = _fit(regression.set_params(C=1 / (l2 * weight)), x, targets["train"])
        accuracy = float((regression.predict(x_validation) == targets["validation"]).mean())
        if best is None or accuracy > best[0]:
            best = (accuracy, l2, converged, float((regression.predict(x_test) == targets["test"]).mean()))
    if best is None:
        raise ValueError("linear_probe was given no l2 to choose from.")
    return LinearProbe(test_accuracy=best[3], validation_accuracy=best[0], l2=best[1], converged=best[2])


def _fit(regression: LogisticRegression, features: np.ndarray, targets: np.ndarray) -> bool:
    """Fit in place and return whether the solver converged within its iterations (reported, so not also warned of)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(features, targets)
    return bool(regression.n_iter_[0] < regression.max_iter)


def _standardised(train: Tensor, *others: Tensor) -> list[np.ndarray]:
    """Return all features (N, F) as float32 arrays, with the mean and deviation of each feature on `train` removed."""
    mean, std = train.double().mean(0), train.double().std(0, correction=0)
    scale = std.clamp_min(1e-8 * (1 + mean.abs()))
    return [((split.double() - mean) / scale).float().cpu().numpy() for split in (train, *others)]
