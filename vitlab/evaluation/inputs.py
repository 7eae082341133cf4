"""What every evaluator asks of the features and labels that it is given."""

from __future__ import annotations

import torch
from torch import Tensor


def check_features(name: str, features: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless `features` is a finite, non-empty (N, F) float tensor and `labels` an integer (N,) one.

    `name` is the split that the message speaks of ("train", "test").
    """
    if features.ndim != 2 or not features.is_floating_point() or features.numel() == 0:
        raise ValueError(
            f"{name} features must be a non-empty (images, features) float tensor, "
            f"not {tuple(features.shape)} of {features.dtype}."
        )
    if labels.ndim != 1 or labels.is_floating_point() or len(labels) != len(features):
        raise ValueError(
            f"{name} labels must be {len(features)} integers, one per row of the features, "
            f"not {tuple(labels.shape)} of {labels.dtype}."
        )
    if not torch.isfinite(features).all():
        bad = int((~torch.isfinite(features).all(dim=1)).sum())
        raise ValueError(
            f"{name} features of {bad} of {len(features)} images are not finite: did the training diverge?"
        )


def class_index(labels: Tensor, classes: Tensor, name: str) -> Tensor:
    """Return the position (N,) of each label within the sorted `classes` (K,).

    Labels therefore need not be 0..K-1. A label outside `classes` raises ValueError: no classifier trained on `classes`
    can ever answer it, and an accuracy that silently counts it as wrong usually hides a mix-up of splits.
    """
    unseen = sorted(set(labels.tolist()) - set(classes.tolist()))
    if unseen:
        raise ValueError(
            f"{name} labels {unseen[:5]} do not occur among the {len(classes)} classes of the train set; "
            "evaluate on the classes that were trained, or check that both splits come from the same data set."
        )
    return torch.searchsorted(classes, labels.to(classes))


def check_dimensions(**features: Tensor) -> None:
    """Raise ValueError unless all named (N, F) tensors have the same F."""
    widths = {name: tensor.shape[1] for name, tensor in features.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"Features of one model have one width, not {widths}; extract all splits with the same model.")
