import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from vitlab.inspection import principal_filters


def filters(width: int = 100, channels: int = 3, patch: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scale = torch.linspace(0.1, 3, channels * patch * patch).view(channels, patch, patch)
    return 0.3 + scale * torch.randn(width, channels, patch, patch, generator=generator)


@pytest.mark.parametrize(("width", "channels"), [(100, 3), (20, 3), (64, 1)])
def test_components_are_scikit_learns(width, channels):
    weight = filters(width, channels)
    count = min(10, width)
    reference = PCA(count, svd_solver="full").fit(weight.flatten(1).double().numpy())
    found = principal_filters(weight, components=count)
    np.testing.assert_allclose(found.explained, reference.explained_variance_ratio_, rtol=1e-5)
    for tile, axis in zip(found.tiles.numpy(), reference.components_, strict=True):
        axis = axis.reshape(channels, 4, 4).transpose(1, 2, 0)
        expected = np.broadcast_to(0.5 + 0.5 * axis / axis.flat[np.abs(axis).argmax()], (4, 4, 3))
        np.testing.assert_allclose(tile, expected, atol=1e-5)


def test_filters_made_of_two_patterns_have_two_components():
    generator = torch.Generator().manual_seed(1)
    red = torch.zeros(3, 2, 2).index_fill(0, torch.tensor([0]), 1.0)
    edge = torch.tensor([[1.0, -1.0]]).expand(3, 2, 2)
    amounts = torch.randn(500, 2, generator=generator)
    amounts -= amounts.mean(0)
    amounts[:, 1] -= amounts[:, 0] * (amounts[:, 0] @ amounts[:, 1]) / amounts[:, 0].square().sum()
    found = principal_filters(9 * amounts[:, :1, None, None] * red + amounts[:, 1:, None, None] * edge)
    assert found.tiles.shape == (12, 2, 2, 3)
    np.testing.assert_allclose(found.explained[2:], 0, atol=1e-6)
    red_tile = torch.tensor([1, 0.5, 0.5]).expand(2, 2, 3)
    torch.testing.assert_close(found.tiles[0], red_tile, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.tiles[1][..., 1].sort().values, torch.tensor([[0.0, 1]] * 2), atol=1e-4, rtol=0)


def test_tiles_are_colours_and_no_more_than_28():
    found = principal_filters(filters(200, 3, 8))
    assert found.tiles.shape == (28, 8, 8, 3) and found.explained.shape == (28,)
    assert 0 <= found.tiles.min() and found.tiles.max() == 1
    assert (found.explained.diff() <= 0).all() and found.explained.sum() < 1


def test_equal_filters_explain_nothing():
    assert principal_filters(torch.ones(8, 3, 2, 2)).explained.tolist() == [0] * 8


def test_the_projection_of_a_hybrid_is_explained():
    with pytest.raises(ValueError, match="first convolution of its CNN stem"):
        principal_filters(torch.zeros(64, 1024, 1, 1))
