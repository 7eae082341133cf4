from __future__ import annotations

import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import resample_abs_pos_embed

from vitlab.models.positions import Learned2D, resize_grid, resize_table, sincos2d

sides = st.integers(1, 9)


@given(sides, sides, sides, sides)
@settings(max_examples=40)
def test_corners_is_what_the_authors_do(h, w, new_h, new_w):
    """`scipy.ndimage.zoom` of order 1, as in vit_jax/checkpoint.py; a side of one patch is constant."""
    table = torch.randn(h, w, 2)
    got = resize_grid(table, (new_h, new_w))
    assert got.shape == (new_h, new_w, 2)
    if min(h, w) > 1 and min(new_h, new_w) > 1:
        expected = scipy.ndimage.zoom(table.numpy(), (new_h / h, new_w / w, 1), order=1)
        assert torch.allclose(got, torch.from_numpy(expected), atol=1e-5)


@given(sides, sides, st.integers(0, 2), st.sampled_from(["corners", "bilinear", "bicubic", "bicubic_antialias"]))
@settings(max_examples=25)
def test_the_same_grid_is_the_identity_to_the_bit(h, w, prefix, how):
    table = torch.randn(1, prefix + h * w, 3)
    assert resize_table(table, (h, w), (h, w), prefix=prefix, how=how) is table
    larger = resize_table(table, (h, w), (h + 3, w + 1), prefix=prefix, how=how)
    assert torch.equal(larger[:, :prefix], table[:, :prefix])


@pytest.mark.parametrize("new", [(24, 24), (7, 10), (15, 13)])
def test_bicubic_antialias_is_timms(new):
    table = torch.randn(1, 1 + 14 * 14, 8)
    expected = resample_abs_pos_embed(table, new_size=list(new), num_prefix_tokens=1)
    assert torch.allclose(resize_table(table, (14, 14), new, prefix=1, how="bicubic_antialias"), expected, atol=1e-5)


def test_length_and_method_are_checked():
    with pytest.raises(ValueError, match="source_grid"):
        resize_table(torch.zeros(1, 9, 2), (3, 3), (4, 4), prefix=1)
    with pytest.raises(ValueError, match="Did you mean 'bicubic'"):
        resize_grid(torch.zeros(2, 2, 2), (3, 3), how="bicubik")


def test_two_dimensional_positions_share_rows_and_columns():
    made = Learned2D((3, 5), 8, prefix=1)
    table = made()
    grid = table[0, 1:].view(3, 5, 8)
    assert table.shape == (1, 16, 8)
    assert torch.equal(grid[:, 2, :4], grid[:1, 2, :4].expand(3, 4))  # the first half depends on the column only
    assert torch.equal(grid[1, :, 4:], grid[1, :1, 4:].expand(5, 4))  # the second on the row only


def test_sines_and_cosines():
    table = sincos2d((3, 5), 8, prefix=1)
    assert torch.equal(table[0, 0], torch.zeros(8))
    row, column = torch.tensor(2.0), torch.tensor(4.0)
    last = table[0, -1]
    expected = [f(place * w) for place in (column, row) for f in (torch.sin, torch.cos) for w in (1.0, 1e-4)]
    assert torch.allclose(last, torch.stack(expected), atol=1e-6)
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos2d((2, 2), 6)
