"""Few-shot linear accuracy by regularised least squares in closed form (ViT paper, section 4.1, arXiv 2010.11929).

The mathematics, for N images with D features and K classes. Each feature is standardised on the N train images
(biased deviation + 1e-5), which gives Z (N, D) with columns that sum to zero. A constant column of c = 100 is appended;
it is so large that its weight, the bias, is hardly regularised. Targets T (N, K) are +1 for the image's class, else -1.

    minimise  ||[Z, c 1] [W; b] - T||^2 + l2 (||W||^2 + ||b||^2)

The columns of Z sum to zero, so the constant column is orthogonal to all of them and the problem falls apart:

    b = c sum_n T_n / (c^2 N + l2)                                      (one number per class)
    W = (Z'Z + l2 I)^-1 Z'T = V (S + l2)^-1 V' Z'T,    Z'Z = V S V'     when D <= N
    W = Z' (ZZ' + l2 I)^-1 T = Z' V (S + l2)^-1 V' T,  ZZ' = V S V'     when D > N

Taking the bias out first keeps c^2 N, by far the largest eigenvalue, away from the decomposition, which is done once,
of the smaller matrix, and serves every l2. Everything up to the scores is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import torch
from scipy import linalg
from torch import Tensor

from vitlab.evaluation.draws import draw_seed, draw_shots, draws_needed, folds_of
from vitlab.evaluation.inputs import check_dimensions, check_features, class_index

BIAS_COLUMN = 100.0
STD_FLOOR = 1e-5
L2 = 2.0**10
SHOTS = (1, 5, 10, 25)
_SCORED_AT_ONCE = 1024

Row = dict[str, int | float | str]


@dataclass(frozen=True)
class LinearFit:
    """Least-squares classifiers for L values of l2, as they act on raw (not standardised) features; all float64.

    The standardisation is folded in, so that a large test set need not be standardised anew for every draw:
    `weights` (L, D, K) is W / std, and `bias` (L, K) is 100 b - mean W / std.
    """

    weights: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return the scores (L, N, K) of `features` (N, D)."""
        stacked = self.weights.transpose(0, 1).flatten(1)  # (D, L K): one product for every l2
        return (features.to(stacked) @ stacked).unflatten(1, self.bias.shape).transpose(0, 1) + self.bias[:, None]


def fit_least_squares(features: Tensor, targets: Tensor, l2s: Sequence[float]) -> LinearFit:
    """Solve the problem of this module's docstring for `features` (N, D) and `targets` (N, K), for each of `l2s`.

    Raises ValueError unless every l2 is positive: with l2 = 0 the closed form divides by zero eigenvalues.
    """
    if not l2s or min(l2s) <= 0:
        raise ValueError(f"l2 must be positive, not {list(l2s)}; the paper's evaluator uses {L2:g}.")
    x, y = features.double(), targets.double()
    mean, std = x.mean(0), x.std(0, correction=0) + STD_FLOOR
    z = (x - mean) / std  # (N, D)
    dual = len(z) < z.shape[1]
    eigenvalues, vectors = _decompose_gram(z, dual)
    projected = vectors.T @ (y if dual else z.T @ y)  # (min(N, D), K)
    l2 = torch.tensor(l2s, dtype=x.dtype, device=x.device)[:, None]  # (L, 1)
    shrunk = projected / (eigenvalues + l2)[..., None]  # (L, min(N, D), K)
    solved = (vectors @ shrunk.permute(1, 0, 2).flatten(1)).unflatten(1, (len(l2s), -1))  # (min(N, D), L, K)
    weights = (torch.tensordot(z.T, solved, 1) if dual else solved).transpose(0, 1) / std[:, None]  # (L, D, K)
    bias = BIAS_COLUMN**2 * y.sum(0) / (BIAS_COLUMN**2 * len(z) + l2)  # (L, K)
    return LinearFit(weights, bias - mean @ weights)


def _decompose_gram(z: Tensor, dual: bool) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues (R,) and eigenvectors (R, R) of ZZ' if `dual`, else of Z'Z.

    The decomposition is most of the work. BLAS's symmetric product (half the multiplications) and LAPACK's
    divide-and-conquer driver, both through SciPy, take 1.1 s for 2,048 features where torch takes 1.6 s (two cores).
    """
    columns = z.cpu().numpy().T  # (D, N), as Fortran stores it: no copy
    gram = linalg.blas.dsyrk(1.0, columns, trans=int(dual), lower=1)
    eigenvalues, vectors = linalg.eigh(gram, driver="evd", lower=True, overwrite_a=True, check_finite=False)
    # Rounding makes zero eigenvalues slightly negative.
    return torch.from_numpy(eigenvalues).to(z.device).clamp_min(0), torch.from_numpy(vectors).to(z.device)


def few_shot_accuracy(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor, *, l2: float = L2
) -> float:
    """Return the test accuracy, in [0, 1], of the least-squares classifier trained on *all* the train images given.

    Features are (N, D) and (M, D) floats, labels (N,) and (M,) integers of any values; see the module's docstring for
    the closed form. Raises ValueError for features that are not finite, and for a test label that train lacks.
    """
    train, test = _check(train_features, train_labels, test_features, test_labels)
    return _accuracies(train_features, train, test_features, test, [l2])[0]


def few_shot_grid(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    shots: Sequence[int] = SHOTS,
    draws: int | Mapping[int, int] = 3,
    l2s: Sequence[float] = (L2,),
    seed: int = 0,
    choose_l2: bool = False,
    interval_width: float | None = None,
    most_draws: int = 200,
) -> list[Row]:
    """Return one row for each of shots x draws x l2: the test accuracy after training on that draw of the train set.

    Row: `shots`, `draw` (0, 1, ...), `seed`, `l2`, `l2_choice`, `score` in [0, 1]. Draw d of every number of shots is
    from the same permutation, so smaller shots are nested in larger. `draws` is one number or one per shots.

    With `choose_l2`, each draw has one more row whose `l2_choice` is "held-out shots": its l2 was the best of `l2s`
    in a cross-validation over the draw's own shots, the test set unseen (`choose_l2_on_shots`). At one shot nothing
    can be held out and it says "default". All other rows say "fixed".

    With `interval_width` (in accuracy: 0.02 is two points), draws are added at each shots until the 95% interval of the
    mean over draws is narrower, for every l2, or `most_draws` are done; `draws` is then the number to start with.

    Raises ValueError for a class with fewer images than shots, and as `few_shot_accuracy`.
    """
    train, test = _check(train_features, train_labels, test_features, test_labels)

    def drawn(k: int, number: int) -> list[Row]:
        chosen = draw_shots(train, k, draw_seed(seed, number)).to(train_features.device)
        found = _one_draw(train_features[chosen], train[chosen], test_features, test, l2s, choose_l2)
        return [{"shots": k, "draw": number, "seed": seed, **row} for row in found]

    rows: list[Row] = []
    for k in shots:
        first = draws if isinstance(draws, int) else draws[k]
        rows += _until_narrow(partial(drawn, k), first, interval_width, most_draws)
    return rows


def _until_narrow(drawn: Callable[[int], list[Row]], wanted: int, width: float | None, most: int) -> list[Row]:
    """The rows of as many draws as are wanted, and of more until the interval is narrow enough for every l2."""
    done: list[list[Row]] = []
    while len(done) < wanted:
        done.append(drawn(len(done)))
        if width is not None and len(done) == wanted:
            columns = [[float(row["score"]) for row in column] for column in zip(*done, strict=True)]
            wanted = max(draws_needed(column, width=width, most=most) for column in columns)
    return list(chain.from_iterable(done))


def _one_draw(
    support: Tensor, classes: Tensor, test: Tensor, test_classes: Tensor, l2s: Sequence[float], choose_l2: bool
) -> list[Row]:
    """Return the part of a row that one draw decides, for each of `l2s` and for the chosen one."""
    by_l2 = dict(zip(l2s, _accuracies(support, classes, test, test_classes, l2s), strict=True))
    rows: list[Row] = [{"l2": l2, "l2_choice": "fixed", "score": accuracy} for l2, accuracy in by_l2.items()]
    if choose_l2:
        best = choose_l2_on_shots(support, classes, l2s)
        choice = "held-out shots" if int(classes.bincount().min()) > 1 else "default"
        rows.append({"l2": best, "l2_choice": choice, "score": by_l2[best]})
    return rows


def choose_l2_on_shots(features: Tensor, labels: Tensor, l2s: Sequence[float], *, folds: int = 5) -> float:
    """Return the l2 of `l2s` with the best accuracy in a cross-validation over the shots of `features` (N, D).

    Fold f holds out a part of the shots of every class; with s shots there are min(folds, s) folds. Ties go to the
    value nearest to 2^10. With one shot nothing can be held out, and the value nearest to 2^10 is returned.
    """
    parts = folds_of(labels, folds)
    correct = torch.zeros(len(l2s), dtype=torch.float64)
    for held_out in parts:
        kept = ~held_out
        found = _accuracies(features[kept], labels[kept], features[held_out], labels[held_out], l2s)
        correct += torch.tensor(found, dtype=torch.float64) * int(held_out.sum())
    distance = (torch.tensor(l2s, dtype=torch.float64) / L2).log().abs()
    return min(zip((-correct).tolist(), distance.tolist(), l2s, strict=True))[2]


def _check(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return train and test labels as 0..K-1, on the device of the train features."""
    check_features("train", train_features, train_labels)
    check_features("test", test_features, test_labels)
    check_dimensions(train=train_features, test=test_features)
    classes = train_labels.unique()
    train, test = class_index(train_labels, classes, "train"), class_index(test_labels, classes, "test")
    return train.to(train_features.device), test.to(train_features.device)


def _accuracies(
    train: Tensor, train_classes: Tensor, test: Tensor, test_classes: Tensor, l2s: Sequence[float]
) -> list[float]:
    """Return the accuracy on `test` for each l2; classes are 0..K-1."""
    targets = 2.0 * torch.nn.functional.one_hot(train_classes) - 1.0
    fit = fit_least_squares(train, targets, l2s)
    correct = torch.zeros(len(l2s), dtype=torch.long, device=train.device)
    for features, classes in zip(test.split(_SCORED_AT_ONCE), test_classes.split(_SCORED_AT_ONCE), strict=True):
        correct += (fit.scores(features).argmax(-1) == classes).sum(1)
    return (correct.double() / len(test)).tolist()
