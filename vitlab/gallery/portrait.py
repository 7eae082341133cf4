"""Pictures of one model and of what it sees: from plain arrays (a `Portrait`) to figures with captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitlab.gallery.grids import (
    Floats,
    Image,
    bare,
    cosine_bar,
    draw_mosaic,
    headed,
    image_grid,
    map_grid,
    mask_by,
    overlay,
    similarity_limits,
)
from vitlab.report.style import BLUE, FAINT, GREY, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class View:
    """What a model makes of one image: h x w is the token grid, T the tokens with the class token first.

    `pixels` (H, W, 3) uint8; `top`: class names with probabilities, the best first; `truth`: the right class where it
    is known; `layers`: which layers are kept, from 1; `matrices` (layers, heads, T, T); `focus` (layers, heads, h, w):
    attention of the class token (the mean over all tokens without one); `rollout` (h, w).
    """

    name: str
    pixels: Image
    top: tuple[tuple[str, float], ...]
    layers: tuple[int, ...]
    matrices: Floats
    focus: Floats
    rollout: Floats
    truth: str = ""


@dataclass(frozen=True)
class Portrait:
    """A model and its views of some images.

    `stride`: pixels per token; `prefix`: 1 with a class token; `filters` (n, P, P, 3) uint8 and `explained` (n,), their
    shares of variance; `similarity` (N, N): cosine of position embeddings, None where there are none to compare;
    `hybrid`: patches are of a CNN's map, and `filters` those of its first convolution.
    """

    model: str
    stride: int
    grid: tuple[int, int]
    prefix: int
    views: tuple[View, ...]
    filters: Image | None = None
    explained: Floats | None = None
    similarity: Floats | None = None
    hybrid: bool = False


def pictures(portrait: Portrait) -> dict[str, Figure]:
    """All pictures of a portrait by file name, in the order of the forward pass."""
    made = {"patches": draw_patches(portrait)}
    if portrait.filters is not None:
        made["filters"] = draw_filters(portrait)
    if portrait.similarity is not None:
        made["positions"] = draw_positions(portrait)
    for number, view in enumerate(portrait.views, 1):
        made[f"attention_{number}"] = draw_matrices(portrait, view)
        made[f"class_token_{number}"] = draw_focus(portrait, view)
    return {**made, "rollout": draw_rollout(portrait), "classes": draw_classes(portrait)}


def cut(pixels: Image, stride: int, *, gap: int | None = None) -> Image:
    """An image (H, W, 3) as the model takes it in: squares of `stride` px with white gaps between them."""
    gap = max(1, round(stride / 6)) if gap is None else gap
    rows, columns = (-(-side // stride) for side in pixels.shape[:2])
    apart = np.full((rows * (stride + gap) - gap, columns * (stride + gap) - gap, 3), 255, np.uint8)
    for i, j in np.ndindex(rows, columns):
        piece = pixels[i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
        y, x = i * (stride + gap), j * (stride + gap)
        apart[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
    return apart


def draw_patches(portrait: Portrait) -> Figure:
    """Each image, and the same cut into tokens."""
    h, w = portrait.grid
    return image_grid(
        [[view.pixels for view in portrait.views], [cut(view.pixels, portrait.stride) for view in portrait.views]],
        title=f"From image to {h} × {w} = {h * w} tokens of {portrait.stride} × {portrait.stride} px",
        columns=[_label(view) for view in portrait.views],
        rows=["as the\nmodel sees it", "cut into\ntokens"],
        cell=1.9,
    )


def draw_filters(portrait: Portrait) -> Figure:
    """Principal components of the filters with their share of the variance."""
    assert portrait.filters is not None and portrait.explained is not None
    tiles = portrait.filters
    across = min(7, len(tiles))
    notes = [f"{100 * share:.1f}%" for share in portrait.explained]
    which = "first convolution's" if portrait.hybrid else "patch embedding's"
    return image_grid(
        [list(tiles[i : i + across]) for i in range(0, len(tiles), across)],
        title=f"{portrait.model}: principal components of the {which} filters",
        captions=[notes[i : i + across] for i in range(0, len(notes), across)],
        cell=0.85,
    )


def draw_positions(portrait: Portrait) -> Figure:
    """The similarity maps of position embeddings."""
    assert portrait.similarity is not None
    h, w = portrait.grid
    with look():
        figure = new_figure(5.8, 4.6 * h / w + 0.8)
        axes = figure.subplots()
        limits = similarity_limits(portrait.similarity)
        image = draw_mosaic(axes, portrait.similarity, portrait.grid, limits)
        cosine_bar(figure, image, axes)
        headed(figure, f"{portrait.model}: similarity of position embeddings", "")
    return figure


def draw_matrices(portrait: Portrait, view: View) -> Figure:
    """Attention matrices, a row for each kept layer and a column for each head."""
    heads = view.matrices.shape[1]
    top = np.quantile(view.matrices, 0.995, axis=(2, 3), keepdims=True)
    return map_grid(
        np.minimum(view.matrices / np.maximum(top, 1e-12), 1.0),
        title=f"{portrait.model}: attention matrices, {_label(view)}",
        colour_label="attention (share of the head's strongest)",
        rows=[f"layer {layer}" for layer in view.layers],
        columns=[f"head {head + 1}" for head in range(heads)],
        limits=(0.0, 1.0),
        cell=_cell(heads),
    )


def draw_focus(portrait: Portrait, view: View) -> Figure:
    """Where the class token looks, over the image, for each kept layer and head."""
    heads = view.focus.shape[1]
    who = "the class token" if portrait.prefix else "an average token"
    figure = image_grid(
        [
            [overlay(view.pixels, view.focus[layer, head], strength=0.8) for head in range(heads)]
            for layer in range(len(view.layers))
        ],
        title=f"{portrait.model}: where {who} looks, {_label(view)}",
        columns=[f"head {head + 1}" for head in range(heads)],
        rows=[f"layer {layer}" for layer in view.layers],
        cell=_cell(heads),
    )
    return _with_heat_bar(figure, "attention")


def draw_rollout(portrait: Portrait) -> Figure:
    """Attention rollout as light on each image, and as a map over it."""
    views = portrait.views
    figure = image_grid(
        [
            [view.pixels for view in views],
            [mask_by(view.pixels, view.rollout) for view in views],
            [overlay(view.pixels, view.rollout, strength=0.8) for view in views],
        ],
        title=f"{portrait.model}: attention rollout",
        columns=[_label(view) for view in views],
        rows=["image", "lit up", "as a map"],
        cell=1.9,
    )
    return _with_heat_bar(figure, "rollout")


def _with_heat_bar(figure: Figure, what: str) -> Figure:
    """Add the scale of overlays, which each have their own range, in a strip of its own beside them."""
    from matplotlib.cm import ScalarMappable

    figure.set_figwidth(figure.get_figwidth() + 0.9)
    with look():
        bar = figure.colorbar(ScalarMappable(cmap="inferno"), ax=figure.axes, fraction=0.03, aspect=30, label=what)
        bar.set_ticks([0.0, 1.0], labels=["least", "most"])
        bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def draw_classes(portrait: Portrait) -> Figure:
    """The most probable classes of each image by name."""
    views = portrait.views
    with look():
        figure = new_figure(6.8, 1.55 * len(views) + 0.6)
        panels = figure.subplots(len(views), 2, squeeze=False, width_ratios=[1, 3.2], sharex="col")
        for (left, right), view in zip(panels, views, strict=True):
            bare(left)
            left.imshow(view.pixels)
            left.set_xlabel(_label(view).replace(" (", "\n("), fontsize=8)
            _class_bars(right, view)
        panels[-1, 1].set_xlabel("probability (%)")
        headed(figure, f"{portrait.model}: most probable classes", "")
    return figure


def _class_bars(axes: Axes, view: View) -> None:
    heights = list(range(len(view.top)))
    values = [100 * share for _, share in view.top]
    axes.barh(heights, values, height=0.66, color=[BLUE] + [FAINT] * (len(values) - 1))
    axes.set_yticks(heights, [name if len(name) < 38 else f"{name[:36]}…" for name, _ in view.top])
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(axis="y", visible=False)
    for height, value in zip(heights, values, strict=True):
        axes.text(value + 1.5, height, f"{value:.1f}", va="center", fontsize=7, color=GREY)


def _label(view: View) -> str:
    return f"{view.name} ({view.truth})" if view.truth else view.name


def _cell(heads: int) -> float:
    """Inches for each of so many columns."""
    return float(np.clip(9.0 / heads, 0.75, 1.7))
