"""Pictures of one model and of what it sees: from plain arrays (a `Portrait`) to figures with captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitlab.report.pictures import Image, _bare, _head, image_grid, map_grid, mask_by, overlay
from vitlab.report.style import BLUE, FAINT, GREY, SEQUENTIAL, look, new_figure
from vitlab.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating]
MOST_TILES = 8  # position maps along a side of the mosaic; more are too small to see


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

    `stride`: pixels per token; `prefix`: 1 with a class token; `steps`: rows (step, shape, what happens) of the way
    from image to logits; `filters` (n, P, P, 3) uint8 and `explained` (n,), their shares of variance; `similarity`
    (N, N): cosine of position embeddings, None where there are none to compare.
    """

    model: str
    stride: int
    grid: tuple[int, int]
    prefix: int
    steps: tuple[tuple[str, str, str], ...]
    views: tuple[View, ...]
    filters: Image | None = None
    explained: Floats | None = None
    similarity: Floats | None = None


@dataclass(frozen=True)
class Shot:
    """A figure for the page: its file name without ending, the section it belongs to, and what to see in it."""

    name: str
    section: str
    caption: str
    figure: Figure


def shots(portrait: Portrait) -> list[Shot]:
    """All pictures of a portrait, in the order of the forward pass."""
    made = [_patches_shot(portrait)]
    if portrait.filters is not None:
        made.append(_filters_shot(portrait))
    if portrait.similarity is not None:
        made.append(_positions_shot(portrait))
    for number, view in enumerate(portrait.views, 1):
        made += [_matrices_shot(portrait, view, number), _focus_shot(portrait, view, number)]
    return [*made, _rollout_shot(portrait), _classes_shot(portrait)]


def steps_table(portrait: Portrait) -> Table:
    """The shape of the data at every step, image to logits."""
    caption = "One image on its way through the model. Shapes without the batch dimension."
    return Table(("step", "shape", "what happens"), portrait.steps, caption, labels=3)


def classes_table(portrait: Portrait) -> Table:
    """The best classes of every image by name, with their probabilities."""
    best = max(len(view.top) for view in portrait.views)
    titles = ("image", *(f"{place}." for place in range(1, best + 1)))
    cells = [(_label(view), *(f"{name} {100 * share:.1f}%" for name, share in view.top)) for view in portrait.views]
    return Table(titles, tuple(cells), "Most probable classes (softmax of the logits).", labels=len(titles))


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


def mosaic(similarity: Floats, grid: tuple[int, int], *, most: int = MOST_TILES) -> tuple[Floats, list[int], list[int]]:
    """Maps of a similarity (N, N) laid out by the place of their patch, NaN between them; the rows and columns shown.

    At most `most` patches along each side are shown, evenly spread.
    """
    h, w = grid
    rows, columns = _spread(h, most), _spread(w, most)
    maps = np.asarray(similarity, np.float64).reshape(h, w, h, w)
    tiled = np.full((len(rows) * (h + 1) - 1, len(columns) * (w + 1) - 1), np.nan)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            tiled[i * (h + 1) : i * (h + 1) + h, j * (w + 1) : j * (w + 1) + w] = maps[row, column]
    return tiled, rows, columns


def similarity_limits(similarity: Floats) -> tuple[float, float]:
    """A colour scale for cosines that shows the differences: from the least to the 98th percentile, each patch with itself aside."""
    others = similarity[~np.eye(len(similarity), dtype=bool)]
    low, high = np.quantile(others, [0.01, 0.98])
    return float(low), float(max(high, low + 1e-3))


def draw_mosaic(
    axes: Axes, similarity: Floats, grid: tuple[int, int], limits: tuple[float, float], *, most: int, ticks: bool = True
):
    """One panel with a map for each place; returns the image for a colour bar."""
    tiled, rows, columns = mosaic(similarity, grid, most=most)
    _bare(axes)
    image = axes.imshow(tiled, cmap=SEQUENTIAL, vmin=limits[0], vmax=limits[1])
    if ticks:
        h, w = grid
        axes.set_yticks([i * (h + 1) + (h - 1) / 2 for i in range(len(rows))], [str(row + 1) for row in rows])
        axes.set_xticks(
            [j * (w + 1) + (w - 1) / 2 for j in range(len(columns))], [str(column + 1) for column in columns]
        )
        axes.tick_params(length=0)
        axes.set_xlabel("column of the patch")
        axes.set_ylabel("row of the patch")
    return image


def positions_over_training(
    snapshots: dict[int, Floats], grid: tuple[int, int], *, model: str, most: int = MOST_TILES
) -> Figure:
    """Position similarity at several steps of a training, {step: (N, N)}, on one colour scale."""
    limits = similarity_limits(snapshots[max(snapshots)])
    columns = min(3, len(snapshots))
    rows = -(-len(snapshots) // columns)
    with look():
        figure = new_figure(2.4 * columns + 0.9, 2.65 * rows * grid[0] / grid[1] + 0.7)
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.flat:
            _bare(axes)
        for axes, step in zip(panels.flat, sorted(snapshots), strict=False):
            image = draw_mosaic(axes, snapshots[step], grid, limits, most=most, ticks=False)
            axes.set_title("before training" if step == 0 else f"step {step:,}", fontsize=8)
        _cosine_bar(figure, image, panels)
        _head(figure, f"{model}: similarity of position embeddings while it trains", "")
    return figure


def _cosine_bar(figure: Figure, image, panels) -> None:
    bar = figure.colorbar(image, ax=panels, label="cosine similarity", fraction=0.035, aspect=30, extend="both")
    bar.outline.set_visible(False)  # type: ignore[operator]


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})


def _label(view: View) -> str:
    return f"{view.name} ({view.truth})" if view.truth else view.name


def _patches_shot(portrait: Portrait) -> Shot:
    h, w = portrait.grid
    size = f"{portrait.stride} × {portrait.stride} px"
    figure = image_grid(
        [[view.pixels for view in portrait.views], [cut(view.pixels, portrait.stride) for view in portrait.views]],
        title=f"From image to {h} × {w} = {h * w} tokens of {size}",
        columns=[_label(view) for view in portrait.views],
        rows=["as the\nmodel sees it", "cut into\ntokens"],
        cell=1.9,
    )
    caption = (
        f"Above, the image resized to the model's input; below, cut into {h} × {w} squares of {size}, one for each token "
        "(in a hybrid a CNN looks beyond the square). Section 3.1, Figure 1: all that the Transformer is told about the "
        "image's two dimensions is this cut."
    )
    return Shot("patches", "The image as tokens", caption, figure)


def _filters_shot(portrait: Portrait) -> Shot:
    assert portrait.filters is not None
    tiles, shares = portrait.filters, portrait.explained
    across = min(7, len(tiles))
    rows = [list(tiles[i : i + across]) for i in range(0, len(tiles), across)]
    notes = [] if shares is None else [f"{100 * share:.1f}%" for share in shares]
    figure = image_grid(
        rows,
        title=f"{portrait.model}: principal components of the patch-embedding filters",
        captions=[notes[i : i + across] for i in range(0, len(notes), across)],
        cell=0.85,
    )
    caption = (
        "The linear map from pixels to tokens, summarised: each tile is one principal component of its filters, with the "
        "share of their variance below it, largest first. A component has no scale or sign; colours are stretched to the tile's range. "
        "Paper, Figure 7 left: in a well-trained ViT they look like a basis for the fine structure within a patch (gradients, "
        "stripes, colour contrasts). Noise means that the filters are still close to their random start."
    )
    return Shot("filters", "Filters of the patch embedding", caption, figure)


def _positions_shot(portrait: Portrait) -> Shot:
    assert portrait.similarity is not None
    h, w = portrait.grid
    limits = similarity_limits(portrait.similarity)
    with look():
        figure = new_figure(5.8, 4.6 * h / w + 0.8)
        axes = figure.subplots()
        image = draw_mosaic(axes, portrait.similarity, portrait.grid, limits, most=MOST_TILES)
        _cosine_bar(figure, image, axes)
        _head(figure, f"{portrait.model}: similarity of position embeddings", "")
    some = "" if max(h, w) <= MOST_TILES else f" (evenly chosen ones of {h} × {w})"
    caption = (
        f"One map for each patch{some}, laid out as the patches are in the image: how alike (cosine) the position embedding "
        "of that patch is to those of all others. The patch itself is always 1, beyond the scale. Paper, Figure 7 centre: "
        "a bright spot around the patch's own place means that nearby positions are alike; a bright cross means that "
        "positions of one row or column are."
    )
    return Shot("positions", "Position embeddings", caption, figure)


def _matrices_shot(portrait: Portrait, view: View, number: int) -> Shot:
    heads = view.matrices.shape[1]
    top = np.quantile(view.matrices, 0.995, axis=(2, 3), keepdims=True)
    figure = map_grid(
        np.minimum(view.matrices / np.maximum(top, 1e-12), 1.0),
        title=f"{portrait.model}: attention matrices, {_label(view)}",
        colour_label="attention, share of the head's strongest",
        rows=[f"layer {layer}" for layer in view.layers],
        columns=[f"head {head + 1}" for head in range(heads)],
        limits=(0.0, 1.0),
        cell=_cell(heads),
    )
    first = "The first row and column are the class token. " if portrait.prefix else ""
    caption = (
        f"One matrix of {view.matrices.shape[-1]} × {view.matrices.shape[-1]} tokens for each head: the row is the token that looks, the "
        f"column the token that it looks at, in raster order; a row sums to one. {first}A bright diagonal is a head that looks "
        "at its own place, parallel diagonals are heads that look a fixed step aside (a row up or down), vertical "
        "stripes are tokens that all others look at. Each matrix has its own scale, up to its 99.5th percentile."
    )
    return Shot(f"attention_{number}", "Attention matrices", caption, figure)


def _focus_shot(portrait: Portrait, view: View, number: int) -> Shot:
    who = "the class token" if portrait.prefix else "an average token"
    heads = view.focus.shape[1]
    figure = image_grid(
        [[overlay(view.pixels, view.focus[layer, head]) for head in range(heads)] for layer in range(len(view.layers))],
        title=f"{portrait.model}: where {who} looks, {_label(view)}",
        columns=[f"head {head + 1}" for head in range(heads)],
        rows=[f"layer {layer}" for layer in view.layers],
        cell=_cell(heads),
    )
    caption = (
        f"Attention from {who} to the patches, over the image in grey: yellow where the head looks most, dark purple where least, "
        "scaled for each head. Heads of one layer look at different things; in the last layers of a well-trained model they "
        "gather on what decides the class."
    )
    return Shot(
        f"class_token_{number}",
        "Where the class token looks" if portrait.prefix else "Where tokens look",
        caption,
        figure,
    )


def _rollout_shot(portrait: Portrait) -> Shot:
    figure = image_grid(
        [
            [view.pixels for view in portrait.views],
            [mask_by(view.pixels, view.rollout) for view in portrait.views],
            [overlay(view.pixels, view.rollout) for view in portrait.views],
        ],
        title=f"{portrait.model}: attention rollout",
        columns=[_label(view) for view in portrait.views],
        rows=["image", "lit by\nattention", "as a map"],
        cell=1.9,
    )
    caption = (
        "How much each patch reaches the output through all layers: heads averaged, the identity added for the residual "
        "path, rows renormalised, layers multiplied (Abnar and Zuidema, arXiv 2005.00928; paper, Figures 6 and 14). Light, or "
        "yellow, is where the information comes from; the scale is each image's own. The paper's models attend to what is "
        "relevant for the class."
    )
    return Shot("rollout", "Attention rollout", caption, figure)


def _classes_shot(portrait: Portrait) -> Shot:
    views = portrait.views
    with look():
        figure = new_figure(6.8, 1.55 * len(views) + 0.6)
        panels = figure.subplots(len(views), 2, squeeze=False, width_ratios=[1, 3.2])
        for (left, right), view in zip(panels, views, strict=True):
            _bare(left)
            left.imshow(view.pixels)
            left.set_xlabel(_label(view), fontsize=8)
            _class_bars(right, view)
        panels[-1, 1].set_xlabel("probability (%)")
        _head(figure, f"{portrait.model}: most probable classes", "")
    caption = "Softmax of the logits; the class of the head's output and its name. The blue bar is the answer" + (
        ", and the true class is under the image in brackets." if any(view.truth for view in views) else "."
    )
    return Shot("classes", "What the model says", caption, figure)


def _class_bars(axes: Axes, view: View) -> None:
    places = np.arange(len(view.top))
    values = [100 * share for _, share in view.top]
    axes.barh(places, values, height=0.66, color=[BLUE] + [FAINT] * (len(values) - 1))
    axes.set_yticks(places, [name if len(name) < 34 else f"{name[:32]}…" for name, _ in view.top])
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.grid(axis="y", visible=False)
    for place, value in zip(places, values, strict=True):
        axes.text(value + 1.5, place, f"{value:.1f}", va="center", fontsize=7, color=GREY)


def _cell(heads: int) -> float:
    """Inches for each of so many columns."""
    return float(np.clip(9.0 / heads, 0.75, 1.7))
