"""Targets of masked patch prediction against closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitlab.tasks.patch_targets import (
    class_color,
    color_class,
    make_target,
    neighbour_colors,
    patches_of,
)
from vitlab.tasks.settings import TARGETS

MEAN = torch.tensor([0.2, 0.5, 0.6])


def constant(color, size=8):
    return torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, size, size)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_constant_image_has_its_own_color_in_every_patch(levels):
    image = constant([level / 255 for level in levels])
    red, green, blue = (min(7, level * 8 // 255) for level in levels)
    expected = 64 * red + 8 * green + blue
    for name in ("mean_color", "downsized"):
        truth = make_target(name, 4, MEAN).truth(patches_of(image, (2, 2), 4))
        assert truth.shape == (1, 4, {"mean_color": 1, "downsized": 16}[name])
        assert (truth == expected).all()


def test_a_gradient_has_the_colors_of_its_steps():
    """Columns of brightness 1/16, 3/16, ... 15/16 in red: column x is level x."""
    image = torch.zeros(1, 3, 8, 8)
    image[:, 0] = (torch.arange(8) + 0.5) / 8
    cut = patches_of(image, (2, 2), 4)
    # The means, 0.25 and 0.75, are exactly the lower borders of levels 2 and 6.
    assert make_target("mean_color", 4, MEAN).truth(cut)[0, :, 0].tolist() == [2 * 64, 6 * 64] * 2
    assert make_target("downsized", 4, MEAN).truth(cut)[0, 1].tolist() == [64 * level for level in (4, 5, 6, 7)] * 4
    assert torch.equal(make_target("pixels", 4, MEAN).truth(cut)[0, 0, :4], image[0, 0, 0, :4])


def test_rounding_moves_no_color_over_a_border():
    """Means of four bytes, normalised and back in float32 as a training does it, keep the level that integers give."""
    for mean, std in ((0.4914, 0.2470), (0.3053, 0.3761), (0.449, 0.226)):
        pixels = torch.arange(0, 255 * 4 + 1) / (255 * 4)
        back = ((pixels - mean) / std) * std + mean
        levels = torch.tensor([min(7, quarters * 8 // (255 * 4)) for quarters in range(255 * 4 + 1)])
        for values in (pixels, back):
            assert torch.equal(color_class(values[:, None].expand(-1, 3)), levels * 73)


def test_classes_and_colors_are_inverse():
    classes = torch.arange(512)
    assert torch.equal(color_class(class_color(classes)), classes)


@pytest.mark.parametrize("name", TARGETS)
def test_a_right_guess_scores_one_and_paints_the_patch(name):
    target = make_target(name, 4, MEAN)
    cut = patches_of(torch.rand(3, 3, 8, 8), (2, 2), 4).flatten(0, 1)
    truth = target.truth(cut)
    good, whole = target.good(truth, truth)
    assert good == whole
    error = (target.paint(truth).mean((2, 3)) - cut.mean((2, 3))).abs().max()
    assert error <= 1 / 16 + 1e-3, "a color is known to half a level"


def test_each_target_is_its_own_and_an_unknown_one_is_none_of_them():
    outputs = {name: make_target(name, 8, MEAN).outputs for name in TARGETS}
    assert outputs == {"mean_color": 512, "downsized": 16 * 512, "pixels": 3 * 64}
    assert make_target("downsized", 2, MEAN).outputs == 4 * 512
    with pytest.raises(ValueError, match="no target 'down_sized'.*mean_color, downsized, pixels.*'downsized'"):
        make_target("down_sized", 8, MEAN)


def test_pixels_score_is_r_squared_against_the_mean_color():
    target = make_target("pixels", 2, MEAN)
    truth = target.truth(torch.rand(50, 3, 2, 2))
    constant_guess = target.of_color(MEAN.expand(50, 3))
    assert target.good(constant_guess, truth)[0].item() == pytest.approx(0)
    half = (truth + constant_guess) / 2
    good, whole = target.good(half, truth)
    assert (good / whole).item() == pytest.approx(0.75)


def test_patches_come_row_by_row_and_edges_are_filled():
    image = torch.arange(36.0).view(1, 1, 6, 6).expand(1, 3, 6, 6)
    cut = patches_of(image, (2, 2), 4)
    assert cut.shape == (1, 4, 3, 4, 4)
    assert cut[0, 1, 0, 0].tolist() == [4, 5, 5, 5] and cut[0, 3, 0, 3].tolist() == [34, 35, 35, 35]


def test_neighbours_are_averaged_where_visible():
    colors = torch.arange(9.0).view(1, 9, 1).expand(1, 9, 3)
    visible = torch.tensor([[False, True, True, False, False, False, False, False, True]])
    found = neighbour_colors(colors, visible, (3, 3))[0, :, 0]
    assert found[0] == 1  # of 1, 3 and 4 only 1 is visible
    assert found[4] == pytest.approx((1 + 2 + 8) / 3)  # never itself
    assert found[6] == pytest.approx((1 + 2 + 8) / 3)  # 3, 4 and 7 are hidden: the mean of all that is visible
    assert (neighbour_colors(colors, torch.zeros(1, 9, dtype=torch.bool), (3, 3)) == 0.5).all()
