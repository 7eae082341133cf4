"""k-nearest-neighbour accuracy of frozen features, by cosine similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vitlab.evaluation.inputs import check_dimensions, check_features, class_index

_SIMILARITIES_AT_ONCE = 2**26  # 256 MB of float32


def knn_accuracy(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor, *, k: int = 20
) -> float:
    """Return the accuracy, in [0, 1], of the majority among the `k` train images most alike by cosine.

    Classes with equally many votes are told apart by the sum of their similarities. Features are (N, F) and (M, F),
    labels any integers; only `k` x M neighbours and a slice of the similarities are held at once. Raises ValueError
    for k outside 1..N, features that are not finite, and a test label that train lacks.
    """
    check_features("train", train_features, train_labels)
    check_features("test", test_features, test_labels)
    check_dimensions(train=train_features, test=test_features)
    if not 1 <= k <= len(train_features):
        raise ValueError(f"k must be from 1 to {len(train_features)}, the number of train images, not {k}.")
    classes = train_labels.unique()
    train = class_index(train_labels, classes, "train").to(train_features.device)
    test = class_index(test_labels, classes, "test").to(train_features.device)
    keys = normalize(train_features.float(), dim=1)
    step = max(1, _SIMILARITIES_AT_ONCE // len(keys))
    correct = 0
    for features, wanted in zip(test_features.split(step), test.split(step), strict=True):
        similarity, nearest = (normalize(features.to(keys), dim=1) @ keys.T).topk(k, dim=1)  # (m, k)
        # Similarities lie in [-1, 1], so that a share of at most 1/2 of a vote only ever decides ties.
        weight = 1 + (similarity + 1) / (4 * k)
        votes = torch.zeros(len(features), len(classes), device=keys.device).scatter_add_(1, train[nearest], weight)
        correct += int((votes.argmax(1) == wanted).sum())
    return correct / len(test)
