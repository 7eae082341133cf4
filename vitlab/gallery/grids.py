"""Grids of images and of maps: reconstructions, filters, position similarity, attention over an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitlab.report.style import DIVERGING, GREY, SEQUENTIAL, look, new_figure
from vitlab.runs.run import Run
from vitlab.tasks.settings import MaskedPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vitlab.runs.store import Store

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]
MOST_TILES = 8  # position maps along a side of the mosaic; more are too small to see


def bare(axes: Axes) -> None:
    """Nothing around an image: no ticks, no frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def headed(figure: Figure, title: str, subtitle: str) -> None:
    """Title and the line of explanation above a grid, where no panel's title may be used for it."""
    from textwrap import fill

    wide = figure.get_figwidth()
    lines = [fill(title, width=max(20, int(wide * 11.5)))]
    figure.suptitle(lines[0], x=0.012, ha="left")
    if subtitle:
        figure.supxlabel(fill(subtitle, width=max(30, int(wide * 15))), x=0.012, ha="left", fontsize=8, color=GREY)


def image_grid(
    images: Sequence[Sequence[Image | None]],
    *,
    title: str,
    subtitle: str = "",
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    cell: float = 1.1,
) -> Figure:
    """Rows of uint8 images (H, W, 3) or (H, W), with titles over columns, labels left of rows, captions under images.

    `cell` is the side of an image in inches; None leaves a cell empty; `subtitle` is printed below the grid.
    Raises ValueError when an image is not uint8 or the grid is empty.
    """
    if len(images) == 0 or len(images[0]) == 0:
        raise ValueError("There are no images to draw.")
    across = max(len(row) for row in images)
    height, width = next((p.shape[:2] for row in images for p in row if p is not None), (1, 1))
    tall = cell * height / width + (0.2 if captions else 0.05)
    wide = max(3.4, across * (cell + 0.06) + (0.15 + 0.075 * max(map(len, rows)) if rows else 0.1))
    with look():
        figure = new_figure(wide, len(images) * tall + 0.5 + (0.3 if subtitle else 0.0) + (0.2 if columns else 0.0))
        figure.set_layout_engine("compressed", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
        panels = figure.subplots(len(images), across, squeeze=False)
        _named(panels, columns, rows, fontsize=8)
        for i, row in enumerate(images):
            for axes, text in zip(panels[i], captions[i] if i < len(captions) else (), strict=False):
                axes.set_xlabel(text, fontsize=7, labelpad=2)
            for axes, picture in zip(panels[i], row, strict=False):
                if picture is not None:
                    _show(axes, picture)
        headed(figure, title, subtitle)
    return figure


def _named(panels: Any, columns: Sequence[str], rows: Sequence[str], *, fontsize: int) -> None:
    """Nothing around any panel (R, C) but titles over the columns and labels left of the rows."""
    for axes in panels.flat:
        bare(axes)
    for axes, title in zip(panels[0], columns, strict=False):
        axes.set_title(title, fontsize=fontsize)
    for axes, label in zip(panels[:, 0], rows, strict=False):
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=fontsize)


def _show(axes: Axes, picture: Image) -> None:
    if picture.dtype != np.uint8:
        raise ValueError(f"Images must be uint8, not {picture.dtype}: scale to 0..255 and convert.")
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)


def predictions(plan: Sequence[Run], store: Store) -> dict[str, Figure]:
    """What masked patch prediction painted as it went on, by target: the first pre-training with it that runs of `plan`
    start from, where the store has it.
    """
    starts = [run.init for run in reversed(plan) if isinstance(run.init, Run)]
    folders = {run.task.target: store.path(run) for run in starts if isinstance(run.task, MaskedPatch)}
    files = {target: sorted(folder.glob("pictures_*.npz")) for target, folder in folders.items()}
    return {f"pictures_{target}": _painted(target, found) for target, found in files.items() if found}


def _painted(target: str, files: Sequence[Path]) -> Figure:
    """Images, their corruption, predictions as pre-training goes on (a file each), and the truth."""
    kept = [np.load(file) for file in files]
    steps = [int(file.stem.partition("_")[2]) for file in files]
    panels = [kept[0]["image"], kept[0]["corruption"], *(one["prediction"] for one in kept), kept[0]["truth"]]
    return image_grid(
        [[panel[i] for panel in panels] for i in range(len(panels[0]))],
        columns=["image", "corrupted", *(f"step {step:,}" for step in steps), "truth"],
        title=f"Masked patch prediction as it goes on: {target.replace('_', ' ')}",
        subtitle="Validation images. Pink: [mask]; a swapped patch shows the one whose embedding it got. To the right "
        "the corrupted patches are painted as predicted, and in truth; all others are the image's own.",
    )


def map_grid(
    maps: ArrayLike,
    *,
    title: str,
    colour_label: str,
    subtitle: str = "",
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    diverging: bool = False,
    each: bool = False,
    cell: float = 0.8,
    xlabel: str = "",
    ylabel: str = "",
) -> Figure:
    """A grid (R, C, h, w) of maps with one colour bar: position similarity per patch, attention per layer and head.

    All share one scale, unless `each` gives every map its own (the colour bar then says least to most).
    Raises ValueError when `maps` has not four dimensions.
    """
    values = np.asarray(maps, dtype=np.float64)
    if values.ndim != 4:
        raise ValueError(f"A grid of maps needs the shape (rows, columns, h, w), not {values.shape}.")
    low, high = (0.0, 1.0) if each else limits or _limits(values, diverging)
    colours: dict[str, Any] = {"cmap": DIVERGING if diverging else SEQUENTIAL, "vmin": low, "vmax": high}
    r, c, h, w = values.shape
    with look():
        figure = new_figure(max(3.6, c * cell + 1.4), r * cell * h / w + 0.9)
        panels: Any = figure.subplots(r, c, squeeze=False)
        figure.set_layout_engine("compressed", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        _named(panels, columns, rows, fontsize=7)
        for i, j in np.ndindex(r, c):
            image = panels[i, j].imshow(_unit(values[i, j]) if each else values[i, j], **colours)
        bar = figure.colorbar(image, ax=panels, label=colour_label, fraction=0.03, aspect=30)
        bar.outline.set_visible(False)  # type: ignore[operator]
        if each:
            bar.set_ticks([0.0, 1.0], labels=["least", "most"])
        figure.supylabel(ylabel, fontsize=8)
        headed(figure, title, "  ".join(part for part in (xlabel, subtitle) if part))
    return figure


def _limits(values: NDArray[np.float64], diverging: bool) -> tuple[float, float]:
    """Least and most; as far from zero on both sides where the colours diverge there."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    most = max(abs(low), abs(high))
    return (-most, most) if diverging else (low, high)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scaled to [0, 1]; a constant becomes 0."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def resized(heat: ArrayLike, height: int, width: int) -> NDArray[np.float64]:
    """A map (h, w) brought to (height, width) pixels bilinearly, patch centres staying where they are."""
    values = np.asarray(heat, dtype=np.float64)
    for axis, size in ((0, height), (1, width)):
        n = values.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape([-1, 1] if axis == 0 else [1, -1])
        upper = np.minimum(low + 1, n - 1)
        values = np.take(values, low, axis) * (1 - part) + np.take(values, upper, axis) * part
    return values


def overlay(image: Image, heat: ArrayLike, *, strength: float = 0.55, cmap: str = "inferno") -> Image:
    """An image (H, W, 3) uint8 in grey with the map (h, w) over it in colour, the map scaled to its own range.

    `strength` is the share of the colour where the map is largest. Made for rollout and CLS attention (Figure 6).
    """
    from matplotlib import colormaps

    weight = _unit(resized(heat, *image.shape[:2]))[..., None]  # (H, W, 1)
    grey = image.astype(np.float64).mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    colour = colormaps[cmap](weight[..., 0])[..., :3] * 255
    share = strength * (0.35 + 0.65 * weight)
    return np.round(grey * (1 - share) + colour * share).astype(np.uint8)


def mask_by(image: Image, heat: ArrayLike, *, floor: float = 0.12) -> Image:
    """An image (H, W, 3) uint8 darkened where the map (h, w) is small, as the paper's Figure 6 shows attention."""
    weight = _unit(resized(heat, *image.shape[:2]))[..., None]
    return np.round(image * (floor + (1 - floor) * weight)).astype(np.uint8)


def mosaic(similarity: Floats, grid: tuple[int, int], *, most: int = MOST_TILES) -> tuple[Floats, list[int], list[int]]:
    """Maps of a similarity (N, N) laid out as their patches are, NaN between them; the rows and columns that are shown.

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
    """One panel with a map for each patch; returns the image for a colour bar."""
    tiled, rows, columns = mosaic(similarity, grid, most=most)
    bare(axes)
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
            bare(axes)
        for axes, step in zip(panels.flat, sorted(snapshots), strict=False):
            image = draw_mosaic(axes, snapshots[step], grid, limits, most=most, ticks=False)
            axes.set_title("before training" if step == 0 else f"step {step:,}", fontsize=8)
        cosine_bar(figure, image, panels)
        headed(figure, f"{model}: similarity of position embeddings while it trains", "")
    return figure


def cosine_bar(figure: Figure, image, panels) -> None:
    """The scale of maps that have one in common."""
    bar = figure.colorbar(image, ax=panels, label="cosine similarity", fraction=0.035, aspect=30, extend="both")
    bar.outline.set_visible(False)  # type: ignore[operator]


def _spread(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return sorted({round(at) for at in np.linspace(0, count - 1, most)})
