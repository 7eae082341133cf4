"""What position embeddings have learned: their similarity, and how much geometry explains (Figures 7 and 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from torch import Tensor
from torch.nn.functional import normalize

from vitlab.inspection.patches import grid_distances


def position_similarity(positions: Tensor, *, grid: tuple[int, int], prefix: int) -> Tensor:
    """Return the cosine similarity of each patch's position embedding with all others: (h, w, h, w).

    `positions` is (T, D) or (1, T, D) with T = prefix + h w; the `prefix` rows (CLS) are left out. Entry [i, j] is
    the map of the patch in row i and column j. An embedding of length zero has similarity 0 with all, itself
    included. Raises ValueError when T does not fit the grid.
    """
    patches = positions.detach().double().flatten(0, -2)[prefix:]
    if len(patches) != grid[0] * grid[1]:
        raise ValueError(
            f"{len(patches) + prefix} positions do not fit a grid of {grid[0]} x {grid[1]} patches and {prefix} prefix "
            f"tokens, which needs {prefix + grid[0] * grid[1]}; pass the grid that they were made for."
        )
    unit = normalize(patches, dim=1)
    return (unit @ unit.T).view(*grid, *grid)


@dataclass(frozen=True)
class PositionStructure:
    """How much of the similarity of pairs of different positions geometry explains.

    distance_r2: R^2, in [0, 1], of the best function of Euclidean distance that never rises: nearer is more alike. Were
        it free to rise, it would mean little: most whole-number distances on a grid occur along rows and columns only,
        so that distance alone nearly tells who shares a row or a column.
    distance_spearman: rank correlation of similarity and distance; -1 when nearer always means more alike.
    row_column_r2: R^2 of the best sum of a function of the rows apart and one of the columns apart, f(|dr|) + g(|dc|).
        A pattern in which patches of one row, or of one column, are alike is such a sum.

    All three are near 0 for random embeddings and NaN when all similarities are equal. Neither R^2 contains the other:
    they may add up to more than 1, as a smooth function of the position is both.
    """

    distance_r2: float
    distance_spearman: float
    row_column_r2: float


def position_structure(similarity: Tensor) -> PositionStructure:
    """Summarise `similarity` (h, w, h, w), from `position_similarity`, by three numbers over all pairs q != k."""
    h, w = similarity.shape[:2]
    row, column = np.divmod(np.arange(h * w), w)
    first, second = np.triu_indices(h * w, k=1)  # similarity is symmetric: each pair once
    values = similarity.reshape(h * w, h * w).cpu().double().numpy()[first, second]
    if values.size < 2 or np.ptp(values) < 1e-9:
        return PositionStructure(float("nan"), float("nan"), float("nan"))
    rows_apart, columns_apart = abs(row[first] - row[second]), abs(column[first] - column[second])
    distance = grid_distances((h, w)).numpy()[first, second]
    return PositionStructure(
        distance_r2=_explained_by_decrease(rows_apart**2 + columns_apart**2, values),
        distance_spearman=float(stats.spearmanr(distance, values).statistic),
        row_column_r2=_explained_by_sum(rows_apart, columns_apart, values),
    )


def _explained_by_decrease(distance: np.ndarray, values: np.ndarray) -> float:
    """Return R^2 of the least-squares fit of `values` by a function that never rises with `distance`."""
    apart, group, counts = np.unique(distance, return_inverse=True, return_counts=True)
    means = np.bincount(group, weights=values) / counts
    fitted = IsotonicRegression(increasing=False).fit_transform(apart, means, sample_weight=counts)
    return float((counts * (fitted - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def _explained_by_sum(rows_apart: np.ndarray, columns_apart: np.ndarray, values: np.ndarray) -> float:
    """Return R^2 of the least-squares fit f(rows apart) + g(columns apart).

    All pairs with one offset have the same prediction, so that it suffices to fit the mean of each offset, weighted
    by its number of pairs.
    """
    width = columns_apart.max() + 1
    offsets, cell, counts = np.unique(rows_apart * width + columns_apart, return_inverse=True, return_counts=True)
    means = np.bincount(cell, weights=values) / counts
    rows, columns = np.divmod(offsets, width)
    design = np.concatenate([np.eye(rows.max() + 1)[rows], np.eye(width)[columns]], axis=1)  # (offsets, h + w)
    weight = np.sqrt(counts)
    solution = np.linalg.lstsq(design * weight[:, None], means * weight, rcond=None)[0]
    explained = (counts * (design @ solution - values.mean()) ** 2).sum()
    return float(explained / ((values - values.mean()) ** 2).sum())
