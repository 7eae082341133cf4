import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.inspection import position_similarity, position_structure


def sincos(grid: tuple[int, int], frequencies: tuple[float, ...] = (0.3, 0.05)) -> torch.Tensor:
    """2-D sin-cos positions (h w, 8): half of the channels for the row, half for the column."""

    def waves(places: torch.Tensor) -> torch.Tensor:
        return torch.cat([f(places[:, None] * torch.tensor(frequencies)) for f in (torch.sin, torch.cos)], dim=1)

    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.cat([waves(rows.flatten()), waves(columns.flatten())], dim=1)


@pytest.mark.parametrize("grid", [(4, 4), (3, 6)])
@pytest.mark.parametrize("prefix", [0, 1])
def test_sin_cos_positions_have_the_similarity_of_their_offsets(grid, prefix):
    # sin a sin b + cos a cos b = cos(a - b), so similarity is the mean of cos(w dr) and cos(w dc) over frequencies.
    positions = torch.cat([torch.full((prefix, 8), 9.0), sincos(grid)])[None]
    similarity = position_similarity(positions, grid=grid, prefix=prefix)
    assert similarity.shape == (*grid, *grid)
    for row, column in [(0, 0), (1, 2), (grid[0] - 1, grid[1] - 1)]:
        for other_row, other_column in [(0, 0), (2, 3)]:
            offsets = (row - other_row, column - other_column)
            expected = sum(math.cos(f * offset) for f in (0.3, 0.05) for offset in offsets) / 4
            assert similarity[row, column, other_row, other_column].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("grid", [(6, 6), (3, 8), (1, 9)])
def test_sin_cos_similarity_is_a_sum_over_rows_and_columns(grid):
    structure = position_structure(position_similarity(sincos(grid), grid=grid, prefix=0))
    assert structure.row_column_r2 == pytest.approx(1, abs=1e-9)
    assert structure.distance_spearman < -0.95
    assert structure.distance_r2 > 0.9


def test_one_hot_rows_and_columns_are_explained_by_row_and_column_far_better_than_by_distance():
    grid = (8, 8)
    rows, columns = torch.arange(8).repeat_interleave(8), torch.arange(8).repeat(8)
    positions = torch.cat([torch.eye(8)[rows], torch.eye(8)[columns]], dim=1)
    similarity = position_similarity(positions, grid=grid, prefix=0)
    assert similarity[2, 3, 2, 7].item() == pytest.approx(0.5)
    assert similarity[2, 3, 4, 7].item() == pytest.approx(0)
    structure = position_structure(similarity)
    assert structure.row_column_r2 == pytest.approx(1, abs=1e-9)
    assert structure.distance_r2 < 0.4


def test_similarity_that_falls_with_distance_is_explained_by_distance():
    row, column = torch.arange(48).div(8, rounding_mode="floor").double(), (torch.arange(48) % 8).double()
    apart = ((row[:, None] - row) ** 2 + (column[:, None] - column) ** 2).sqrt()
    structure = position_structure(torch.exp(-apart / 1.5).view(6, 8, 6, 8))
    assert structure.distance_r2 == pytest.approx(1, abs=1e-9)
    assert structure.distance_spearman == pytest.approx(-1, abs=1e-9)
    assert structure.row_column_r2 < 0.95


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_random_positions_have_no_structure(seed):
    positions = torch.randn(101, 64, generator=torch.Generator().manual_seed(seed))
    structure = position_structure(position_similarity(positions, grid=(10, 10), prefix=1))
    assert structure.distance_r2 < 0.06 and structure.row_column_r2 < 0.06
    assert abs(structure.distance_spearman) < 0.1


def test_positions_of_zero_have_no_similarity_and_no_structure():
    similarity = position_similarity(torch.zeros(1, 10, 4), grid=(3, 3), prefix=1)
    assert similarity.abs().max() == 0
    assert math.isnan(position_structure(similarity).distance_r2)


def test_a_grid_that_does_not_fit_is_explained():
    with pytest.raises(ValueError, match=r"10 positions do not fit a grid of 3 x 4 patches and 1 prefix tokens"):
        position_similarity(torch.zeros(1, 10, 4), grid=(3, 4), prefix=1)
