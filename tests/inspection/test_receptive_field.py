import numpy as np
import pytest
import torch
from torch import nn

from vitlab.inspection import effective_receptive_field, field_size


def ones_network(layers: int) -> nn.Sequential:
    """A linear network of 3 x 3 convolutions with all weights one."""
    network = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(layers)))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    return network


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_convolutions_of_ones_have_a_trinomial_field(layers):
    line = np.array([1.0])
    for _ in range(layers):
        line = np.convolve(line, [1, 1, 1])
    expected = np.zeros((15, 15))
    expected[7 - layers : 8 + layers, 7 - layers : 8 + layers] = np.outer(line, line) / line.sum() ** 2
    field = effective_receptive_field(ones_network(layers), [torch.randn(3, 1, 15, 15), torch.randn(1, 1, 15, 15)])
    np.testing.assert_allclose(field, expected, atol=1e-12)
    # A step of -1, 0 or 1 has variance 2/3, and steps add up.
    assert field_size(field).two_deviations == pytest.approx(2 * (2 / 3 * layers) ** 0.5)


def test_colours_are_summed_and_images_averaged():
    def first_pixel_or_centre(images: torch.Tensor) -> torch.Tensor:
        chosen = torch.where(images[:, :1, :1, :1] > 0, images[:, :, :1, :1], -images[:, :, 1:2, 2:3])
        return chosen.sum(1, keepdim=True)

    images = torch.ones(4, 3, 3, 5)
    images[0] = -1
    expected = torch.zeros(3, 5).double()
    expected[1, 2], expected[0, 0] = 0.25, 0.75
    torch.testing.assert_close(effective_receptive_field(first_pixel_or_centre, images.split(3)), expected)


def test_the_weights_receive_no_gradient_and_no_grad_around_it_does_no_harm():
    network = ones_network(1)
    with torch.no_grad():
        field = effective_receptive_field(network, [torch.zeros(1, 1, 9, 9)])
    assert field.sum().item() == pytest.approx(1)
    assert network[0].weight.grad is None


def test_sizes_of_known_fields():
    point = torch.zeros(7, 9)
    point[2, 3] = 5
    size = field_size(point)
    assert (size.mean_distance, size.radius_95, size.two_deviations) == (0, 0, 0)
    ring = torch.zeros(7, 9)
    ring[3, 1] = ring[3, 7] = ring[0, 4] = ring[6, 4] = 2
    size = field_size(ring)
    assert (size.mean_distance, size.radius_95) == (3, 3)
    assert size.two_deviations == pytest.approx(2 * (9 / 2) ** 0.5)


def test_a_gaussian_has_its_known_radius():
    axis = torch.arange(101).double() - 50
    field = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 8.0**2))
    size = field_size(field)
    assert size.two_deviations == pytest.approx(16, rel=1e-3)
    assert size.mean_distance == pytest.approx(8 * (np.pi / 2) ** 0.5, rel=1e-3)  # Rayleigh's mean
    assert size.radius_95 == pytest.approx(8 * (-2 * np.log(0.05)) ** 0.5, rel=0.02)


def test_no_images_and_no_gradient_are_errors():
    with pytest.raises(ValueError, match="No images"):
        effective_receptive_field(ones_network(1), [])
    with pytest.raises(ValueError, match="No gradient reaches"):
        effective_receptive_field(lambda images: images * 0, [torch.ones(1, 1, 3, 3)])
