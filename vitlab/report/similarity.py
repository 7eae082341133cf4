"""Pictures of how alike position embeddings are: a map for each patch, laid out by its place (Figure 7, centre)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitlab.report.pictures import _bare, _head
from vitlab.report.style import SEQUENTIAL, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating]
MOST_TILES = 8  # position maps along a side of the mosaic; more are too small to see


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
    """A colour scale for cosines that shows the differences: their 1st to 98th percentile, self aside."""
    others = similarity[~np.eye(len(similarity), dtype=bool)]
    low, high = np.quantile(others, [0.01, 0.98])
    return float(low), float(max(high, low + 1e-3))


def draw_mosaic(
    axes: Axes,
    similarity: Floats,
    grid: tuple[int, int],
    limits: tuple[float, float],
    *,
    most: int = MOST_TILES,
    ticks: bool = True,
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
        figure.set_layout_engine("constrained", w_pad=0.12)
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes in panels.flat:
            _bare(axes)
        for axes, step in zip(panels.flat, sorted(snapshots), strict=False):
            image = draw_mosaic(axes, snapshots[step], grid, limits, most=most, ticks=False)
            axes.set_title("before training" if step == 0 else f"step {step:,}", fontsize=8)
        cosine_bar(figure, image, panels)
        _head(figure, f"{model}: similarity of position embeddings while it trains", "")
    return figure


def cosine_bar(figure: Figure, image, panels) -> None:
    """The scale of maps that have one in common."""
    bar = figure.colorbar(image, ax=panels, label="cosine similarity", fraction=0.035, aspect=30, extend="both")
    bar.outline.set_visible(False)  # type: ignore[operator]


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})
