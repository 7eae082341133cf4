import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from vitlab.evaluation import (
    choose_l2_on_shots,
    draw_seed,
    draw_shots,
    few_shot_accuracy,
    few_shot_grid,
    fit_least_squares,
)

L2S = (1.0, 2.0**10, 2.0**20)


def extended(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Standardise by `reference` and append the constant column, as the paper's evaluator does."""
    standard = (features - reference.mean(0)) / (reference.std(0) + 1e-5)
    return np.concatenate([standard, np.full((len(features), 1), 100.0)], axis=1)


def problem(images: int, width: int, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(99))
    return centres[labels] + 1.5 * torch.randn(images, width, generator=generator) + 3, labels


def variants() -> dict[str, torch.Tensor]:
    made = {f"N {sign} D": problem(40, width)[0] for sign, width in {"<": 90, "=": 40, ">": 12}.items()}
    made["duplicated features"] = made["N > D"].repeat(1, 3)
    made["a constant feature"] = torch.cat([made["N > D"], torch.full((40, 1), 0.3)], dim=1)
    return made


@pytest.mark.parametrize("name", variants())
def test_scores_equal_an_independent_solve_and_scikit_learns_ridge(name):
    train, labels = variants()[name], problem(40, 3)[1]
    test = train.flip(0) * 0.9 + 0.2
    targets = 2.0 * torch.nn.functional.one_hot(labels) - 1.0
    scores = fit_least_squares(train, targets, L2S).scores(test).numpy()
    x, z = (
        extended(train.double().numpy(), train.double().numpy()),
        extended(test.double().numpy(), train.double().numpy()),
    )
    for l2, found in zip(L2S, scores, strict=True):
        # Ridge without an intercept has the very objective: ||XW - T||^2 + l2 ||W||^2, the constant column among X.
        ridge = Ridge(alpha=l2, fit_intercept=False, solver="svd").fit(x, targets.numpy())
        np.testing.assert_allclose(found, ridge.predict(z), atol=1e-6, rtol=1e-6)
        stacked = np.concatenate([x, np.sqrt(l2) * np.eye(x.shape[1])])
        solved = np.linalg.lstsq(stacked, np.concatenate([targets.numpy(), np.zeros((x.shape[1], 4))]), rcond=None)[0]
        np.testing.assert_allclose(found, z @ solved, atol=1e-6, rtol=1e-6)


def score_is_that_of_the_references_argmax():
    (train, labels), (test, wanted) = problem(24, 50), problem(400, 50, seed=1)
    x, z = (extended(split.double().numpy(), train.double().numpy()) for split in (train, test))
    ridge = Ridge(alpha=2.0**10, fit_intercept=False, solver="svd").fit(x, 2.0 * np.eye(4)[labels] - 1)
    expected = (ridge.predict(z).argmax(1) == wanted.numpy()).mean()
    assert 0.5 < expected < 1
    assert few_shot_accuracy(train, labels, test, wanted) == pytest.approx(expected, abs=1e-12)


def test_labels_need_not_be_0_to_k():
    (train, labels), (test, wanted) = problem(40, 8), problem(100, 8, seed=1)
    names = torch.tensor([-3, 70, 12, 5])
    plain = few_shot_accuracy(train, labels, test, wanted)
    assert 0.4 < plain < 1
    assert few_shot_accuracy(train, names[labels], test, names[wanted]) == pytest.approx(plain)


def test_test_labels_that_train_lacks_are_an_error():
    train, labels = problem(40, 8)
    with pytest.raises(ValueError, match=r"test labels \[9\] do not occur among the 4 classes"):
        few_shot_accuracy(train, labels, train, torch.where(labels == 3, 9, labels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x.index_fill(0, torch.tensor([1]), torch.nan), y), "1 of 40 images are not finite"),
        (lambda x, y: (x, y[:-1]), "must be 40 integers"),
        (lambda x, y: (x[:0], y[:0]), "non-empty"),
        (lambda x, y: (x[:, :5], y), "one width"),
    ],
)
def test_bad_input_is_named(change, message):
    train, labels = problem(40, 8)
    with pytest.raises(ValueError, match=message):
        few_shot_accuracy(*change(train, labels), train, labels)


def test_l2_must_be_positive():
    train, labels = problem(40, 8)
    with pytest.raises(ValueError, match="l2 must be positive"):
        few_shot_accuracy(train, labels, train, labels, l2=0)


def test_the_grid_holds_every_setting_and_each_row_can_be_had_alone():
    (train, labels), (test, wanted) = problem(120, 20), problem(200, 20, seed=1)
    rows = few_shot_grid(train, labels, test, wanted, shots=(1, 5), draws={1: 4, 5: 2}, l2s=L2S, seed=7)
    assert {(row["shots"], row["draw"], row["l2"]) for row in rows} == {
        (k, draw, l2) for k, draws in {1: 4, 5: 2}.items() for draw in range(draws) for l2 in L2S
    }
    for row in rows[::4]:
        chosen = draw_shots(labels, row["shots"], draw_seed(7, row["draw"]))
        alone = few_shot_accuracy(train[chosen], labels[chosen], test, wanted, l2=row["l2"])
        assert row["score"] == pytest.approx(alone)


def test_draws_are_added_until_the_interval_is_narrow():
    (train, labels), (test, wanted) = problem(400, 6), problem(500, 6, seed=1)
    rows = few_shot_grid(train, labels, test, wanted, shots=(1, 25), interval_width=0.06, most_draws=500)
    one, many = ([row["score"] for row in rows if row["shots"] == k] for k in (1, 25))
    assert len(one) > len(many) >= 3
    assert 2 * 2.0 * np.std(one, ddof=1) / np.sqrt(len(one)) < 0.062


def test_a_class_with_fewer_images_than_shots_is_an_error():
    train, labels = problem(40, 8)
    labels[labels == 2] = torch.tensor([2] + [1] * 9)
    with pytest.raises(ValueError, match="Class 2 has 1 train images, fewer than the 5 shots"):
        few_shot_grid(train, labels, train, labels, shots=(1, 5))


def test_l2_is_chosen_on_shots_of_the_train_set_alone():
    train, labels = problem(100, 40)
    few = draw_shots(labels, 5, 0)
    rows = few_shot_grid(train, labels, *problem(300, 40, seed=1), shots=(1, 5), draws=1, l2s=L2S, choose_l2=True)
    by_choice = {(row["shots"], row["l2_choice"]): row for row in rows}
    assert by_choice[1, "default"]["l2"] == 2.0**10
    assert by_choice[5, "held-out shots"]["l2"] == choose_l2_on_shots(train[few], labels[few], L2S)


def test_held_out_shots_prefer_strong_decay_where_the_features_are_noise_beyond_one():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    features = torch.randn(60, 40, generator=generator)
    features[:, :20] += 0.6 * (2.0 * labels[:, None] - 1)
    assert choose_l2_on_shots(features, labels, (1e-6, 30.0)) == 30.0


def test_of_decays_that_held_out_shots_cannot_tell_apart_the_papers_counts():
    labels = torch.arange(40) % 2
    features = 2.0 * labels[:, None] - 1 + 0.01 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    assert choose_l2_on_shots(features, labels, (1.0, 2.0**9, 2.0**12)) == 2.0**9


@settings(max_examples=25)
@given(st.integers(2, 6), st.integers(1, 9), st.integers(0, 10**6))
def test_the_score_is_invariant_to_the_scale_and_order_of_features(classes, width, seed):
    train, labels = problem(30, width, classes, seed % 1000)
    targets = 2.0 * torch.nn.functional.one_hot(labels) - 1.0
    order = torch.randperm(width, generator=torch.Generator().manual_seed(seed))
    plain = fit_least_squares(train, targets, [64.0]).scores(train)
    moved = fit_least_squares(8 * train[:, order] - 5, targets, [64.0]).scores(8 * train[:, order] - 5)
    torch.testing.assert_close(plain, moved, atol=1e-4, rtol=0)  # not exact: 1e-5 is added to the deviation
