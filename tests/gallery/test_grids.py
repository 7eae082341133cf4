"""Grids of images and maps, and the arithmetic of overlays."""

import numpy as np
import pytest

from vitlab.gallery.grids import image_grid, map_grid, mask_by, overlay, resized
from vitlab.report.style import render


def test_grids_of_images_and_maps() -> None:
    image = np.random.default_rng(0).integers(0, 255, (12, 8, 3), dtype=np.uint8)
    figure = image_grid(
        [[image, None], [image, image]], title="Images", columns=["a", "b"], rows=["r", "s"], captions=[["x", "y"]]
    )
    assert (
        figure.axes[0].get_title() == "a" and figure.axes[2].get_ylabel() == "s" and figure.axes[1].get_xlabel() == "y"
    )
    with pytest.raises(ValueError, match="uint8, not float64"):
        image_grid([[image / 255]], title="")
    with pytest.raises(ValueError, match="no images"):
        image_grid([], title="")
    maps = map_grid(
        np.random.default_rng(0).normal(size=(2, 3, 4, 4)), title="Maps", colour_label="cosine", diverging=True
    )
    assert maps.axes[-1].get_ylabel() == "cosine"
    each = map_grid(np.ones((1, 2, 3, 5)), title="Maps", colour_label="attention", each=True)
    with pytest.raises(ValueError, match="shape"):
        map_grid(np.ones((2, 2)), title="", colour_label="")
    for made in (figure, maps, each):
        render(made, "png")


def test_overlay_is_strongest_where_the_map_is() -> None:
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    heat = np.zeros((4, 6))
    heat[1, 4] = 1.0
    bright = overlay(image, heat)
    assert bright.shape == image.shape and bright.dtype == np.uint8
    difference = np.abs(bright.astype(int) - 90).sum(axis=-1)
    peak = np.unravel_index(mask_by(image, heat)[..., 0].argmax(), (40, 60))
    assert 10 <= peak[0] < 20 and 40 <= peak[1] < 50
    assert difference[15, 45] > 2 * difference[35, 5]


def test_resizing_in_closed_form() -> None:
    assert resized(np.full((2, 3), 0.7), 9, 7) == pytest.approx(np.full((9, 7), 0.7))
    ramp = resized(np.arange(4.0)[None].repeat(4, 0), 8, 8)
    assert ramp[0] == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
