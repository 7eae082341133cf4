import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from vitlab.evaluation import linear_probe


def split(images: int, seed: int, noise: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 3
    centres = torch.randn(3, 10, generator=torch.Generator().manual_seed(5))
    return centres[labels] + noise * torch.randn(images, 10, generator=generator), labels + 4


def test_it_equals_scikit_learns_regression_on_standardised_features():
    train, validation, test = split(150, 0), split(90, 1), split(300, 2)
    found = linear_probe(train, validation, test, l2s=[0.01])
    mean, std = train[0].mean(0), train[0].std(0, correction=0)
    reference = LogisticRegression(C=1 / (0.01 * 150), tol=1e-6, max_iter=5000).fit((train[0] - mean) / std, train[1])
    assert found.converged
    assert found.test_accuracy == pytest.approx(reference.score((test[0] - mean) / std, test[1]), abs=0.005)
    assert found.validation_accuracy == pytest.approx(
        reference.score((validation[0] - mean) / std, validation[1]), abs=0.02
    )


def test_two_classes_have_the_objective_that_is_stated():
    """Minimised directly over both rows of W; half the penalty on their difference is another boundary."""
    parts = split(60, 0, noise=3.0), split(9000, 1, noise=3.0)
    (x, labels), test = ((features[labels < 6], labels[labels < 6]) for features, labels in parts)
    mean, std, l2 = x.mean(0), x.std(0, correction=0), 0.3
    x, x_test = ((part - mean) / std for part in (x, test[0]))
    weights, bias = torch.zeros(2, 10, requires_grad=True), torch.zeros(2, requires_grad=True)
    solver = torch.optim.LBFGS([weights, bias], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = F.cross_entropy(x @ weights.T + bias, labels - 4) + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    solver.step(loss)
    expected = float(((x_test @ weights.T + bias).argmax(1) == test[1] - 4).float().mean())
    found = linear_probe((x, labels), (x, labels), (x_test, test[1]), l2s=[l2])
    other = linear_probe((x, labels), (x, labels), (x_test, test[1]), l2s=[2 * l2])
    assert found.test_accuracy == pytest.approx(expected, abs=2e-4) and abs(other.test_accuracy - expected) > 5e-4


def test_l2_is_chosen_on_validation_and_not_on_test():
    train, validation = split(30, 0, noise=2), split(600, 1, noise=2)
    results = {l2: linear_probe(train, validation, validation, l2s=[l2]) for l2 in (10.0, 0.1, 1e-6)}
    best = max(results, key=lambda l2: results[l2].validation_accuracy)
    assert len({result.validation_accuracy for result in results.values()}) > 1
    random_test = (validation[0], validation[1][torch.randperm(600, generator=torch.Generator().manual_seed(0))])
    assert linear_probe(train, validation, random_test, l2s=tuple(results)).l2 == best


def test_of_decays_that_validation_cannot_tell_apart_the_strongest_counts():
    parts = [split(60, seed, noise=0.01) for seed in range(3)]
    found = linear_probe(*parts, l2s=(0.001, 0.1, 0.01))
    assert (found.validation_accuracy, found.l2) == (1.0, 0.1)


def test_a_constant_feature_and_offsets_do_no_harm():
    def spoiled(part):
        features = torch.cat([1000 + part[0], torch.full((len(part[0]), 1), 0.1)], dim=1)
        return features, part[1]

    parts = [split(150, 0), split(90, 1), split(300, 2)]
    plain, changed = (linear_probe(*chosen, l2s=[0.01]) for chosen in (parts, [spoiled(part) for part in parts]))
    assert changed.test_accuracy == pytest.approx(plain.test_accuracy, abs=0.01)
    assert np.isfinite(changed.validation_accuracy)


def test_labels_unknown_to_train_and_a_single_class_are_errors():
    train, other = split(30, 0), split(30, 1)
    with pytest.raises(ValueError, match=r"validation labels \[0\]"):
        linear_probe(train, (other[0], other[1] * 0), other)
    with pytest.raises(ValueError, match="at least 2 classes"):
        linear_probe((train[0], train[1] * 0), other, other)
