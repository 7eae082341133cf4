"""One look for every figure: colours that colour-blind readers can tell apart, a colour per family, a dash per size.

matplotlib is imported when the first figure is made, and figures are `Figure` objects without pyplot, so that nothing
needs a display or global state.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

from vitlab.report.families import family, in_order
from vitlab.report.files import write_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette (Wong, Nature Methods 8, 2011, doi:10.1038/nmeth.1618).
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
OTHERS = ("#56B4E9", "#E69F00", "#CC79A7", "#5B5B5B", "#8C6D1F", "#7B4EA3")
FAMILY_COLOURS = {"ViT": BLUE, "ResNet": VERMILION, "HybridViT": GREEN}
INK, GREY, FAINT = "#1A1A1A", "#666666", "#D9D9D9"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are alike on every machine
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.2,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "image.interpolation": "nearest",
    "svg.hashsalt": "vitlab",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one series is drawn."""

    colour: str
    dash: Any
    marker: str


def series_styles(names: Iterable[str]) -> dict[str, SeriesStyle]:
    """A style per name: a family's colour with a dash and marker per member; others by colour, in the order given."""
    names = list(dict.fromkeys(names))
    ordered = in_order(names)
    others = [name for name in names if family(name) not in FAMILY_COLOURS]
    # Families differ in marker too, so that a grey print can be read.
    first_marker = {"ViT": 0, "HybridViT": 2, "ResNet": 1}
    seen: dict[str, int] = {}
    styles = {}
    for name in ordered:
        of = family(name)
        if of in FAMILY_COLOURS:
            place = seen[of] = seen.get(of, -1) + 1
            colour, marker = FAMILY_COLOURS[of], MARKERS[(place + first_marker[of]) % len(MARKERS)]
        else:
            at = others.index(name)
            colour, marker, place = OTHERS[at % len(OTHERS)], MARKERS[at % len(MARKERS)], at // len(OTHERS)
        styles[name] = SeriesStyle(colour, DASHES[place % len(DASHES)], marker)
    return styles


@contextmanager
def look() -> Iterator[None]:
    """matplotlib's settings for all figures here, restored afterwards."""
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def new_figure(width: float = 6.8, height: float = 4.0) -> Figure:
    """An empty figure of `width` x `height` inches that places its parts without overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def entitle(figure: Figure, axes: Axes, title: str, subtitle: str = "") -> None:
    """The figure's title at its left edge, and a grey line of explanation above `axes`."""
    fitting = fill(title, width=int(figure.get_figwidth() * 11.5), break_long_words=False)
    figure.suptitle(fitting, x=0.012, ha="left", color=INK)
    if subtitle:
        axes.set_title(subtitle, loc="left", color=GREY, fontsize=8)


def legend_beside(axes: Axes) -> None:
    """The legend to the right of the panel, never on the data."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def render(figure: Figure, kind: Literal["png", "svg"] | str) -> bytes:
    """The figure as PNG (300 dpi) or SVG; equal figures give equal bytes with one matplotlib (no date, fixed ids)."""
    out = io.BytesIO()
    metadata = {"svg": {"Date": None}, "png": {"Software": None}}.get(kind, {})
    with look():
        figure.savefig(out, format=kind, metadata=metadata, facecolor="white")
    return out.getvalue()


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path` with the endings .png and .svg, both or neither; returns the two paths."""
    files = {path.with_name(f"{path.name}.{kind}"): render(figure, kind) for kind in ("png", "svg")}
    write_all(files)
    return list(files)
