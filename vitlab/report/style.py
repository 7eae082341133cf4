"""One look for every figure: colours that colour-blind readers can tell apart, a colour per family, a dash per size.

matplotlib is imported when the first figure is made, and figures are `Figure` objects without pyplot, so that nothing
needs a display or global state.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from vitlab.report.families import family

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from vitlab.report.evidence import Chart

# Okabe and Ito's palette (Wong, Nature Methods 8, 2011, doi:10.1038/nmeth.1618).
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
OTHERS = ("#56B4E9", "#E69F00", "#CC79A7", "#5B5B5B", "#8C6D1F", "#7B4EA3")
FAMILY_COLOURS = {"ViT": BLUE, "ResNet": VERMILION, "HybridViT": GREEN}
INK, GREY, FAINT = "#1A1A1A", "#666666", "#D9D9D9"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
# How much of its colour each member of a family keeps in a bar; the rest is white or black.
SHADES = ((1.0, 255), (0.62, 255), (0.4, 255), (0.25, 255), (0.72, 0), (0.5, 0), (0.34, 0), (0.2, 0))
MARKERS = ("o", "s", "^", "D", "v", "P")
COLUMN = 3.3  # inches of a column of a paper with two
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"

FONT = "DejaVu Sans"  # comes with matplotlib, so figures are alike on every machine
MORE_FONTS = (  # for the scripts that it lacks, where a machine has one of these
    *(f"Noto Sans CJK {place}" for place in ("SC", "JP", "KR", "TC")),
    *(f"Noto Sans {place}" for place in ("SC", "JP", "KR", "TC")),
    *("Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "NanumGothic"),
    *("PingFang SC", "Hiragino Sans", "Hiragino Sans GB", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
)

RC: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # A "$" is part of somebody's class or file name.
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
    "savefig.dpi": 200,
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one series is drawn."""

    colour: str
    dash: Any
    marker: str
    member: int = 0  # of those that share the colour


def series_styles(names: Iterable[str]) -> dict[str, SeriesStyle]:
    """A style per name: a family's colour with a dash and marker per member; others by colour, in the order given."""
    names = list(dict.fromkeys(names))
    others = [name for name in names if family(name) not in FAMILY_COLOURS]
    # Families differ in marker too, so that a grey print can be read.
    first_marker = {"ViT": 0, "HybridViT": 2, "ResNet": 1}
    seen: dict[str, int] = {}
    styles = {}
    for name in names:
        of = family(name)
        if of in FAMILY_COLOURS:
            member = seen[of] = seen.get(of, -1) + 1
            colour, marker = FAMILY_COLOURS[of], MARKERS[(member + first_marker[of]) % len(MARKERS)]
        else:
            at = others.index(name)
            colour, marker, member = OTHERS[at % len(OTHERS)], MARKERS[at % len(MARKERS)], at // len(OTHERS)
        styles[name] = SeriesStyle(colour, DASHES[member % len(DASHES)], marker, member)
    return styles


def chart_styles(chart: Chart) -> dict[str, SeriesStyle]:
    """A style for each series of the chart, the same in all panels; differences are in ink and greys."""
    panels = [panel for row in chart.panels for panel in row]
    styles = series_styles(series.name for panel in panels if not panel.gap for series in panel.series)
    inks = (INK, GREY, OTHERS[0], OTHERS[4])
    for panel in (panel for panel in panels if panel.gap):
        for at, series in enumerate(panel.series):
            styles[series.name] = SeriesStyle(inks[at % 4], DASHES[at % len(DASHES)], MARKERS[at % len(MARKERS)])
    return styles


def bar_colour(styles: Mapping[str, SeriesStyle], series: str, category: str) -> str:
    """The colour of a bar: its series', lighter and then darker for further members, or its category's family's."""
    if not series:
        return FAMILY_COLOURS.get(family(category), OTHERS[0])
    style = styles[series]
    share, end = SHADES[style.member % len(SHADES)]
    parts = (int(style.colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(end - share * (end - part)):02X}" for part in parts)


@contextmanager
def look() -> Iterator[None]:
    """matplotlib's settings for all figures here, restored afterwards."""
    import matplotlib

    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)  # It would warn of each further font that has no bold letters.
    try:
        with matplotlib.rc_context({**RC, "font.family": fonts()}):
            yield
    finally:
        log.setLevel(level)


def fonts() -> list[str]:
    """The font of all figures, and those of this machine that have the letters which it lacks."""
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return [FONT, *(name for name in MORE_FONTS if name in there)]


def new_figure(width: float = 6.8, height: float = 4.0) -> Figure:
    """An empty figure of `width` x `height` inches that places its parts without overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def entitled(figure: Figure, title: str, subtitle: str = "") -> SubFigure:
    """Put the title and a grey line of explanation at the figure's left edge; panels go into what is returned."""
    wide = figure.get_figwidth()
    figure.suptitle(fill(title, width=int(wide * 11.5), break_long_words=False), x=0.012, ha="left", color=INK)
    (body,) = figure.subfigures(1, 1, squeeze=False).ravel()
    if subtitle:
        lines = [fill(line, width=int(wide * 16), break_long_words=False) for line in subtitle.split("\n")]
        body.suptitle("\n".join(lines), x=0.012, ha="left", color=GREY, fontsize=8, weight="normal")
    return body


def settle(figure: Figure) -> None:
    """Lay the figure out once, in the pixels of a PNG: otherwise each rendering does, and draws twice for it."""
    with look():
        figure.set_dpi(RC["savefig.dpi"])
        if engine := figure.get_layout_engine():
            engine.execute(figure)
        figure.set_layout_engine(None)


def render(figure: Figure, kind: str, *, photographs: bool = False) -> bytes:
    """The figure as "png" (200 dpi, 256 colours) or "pdf"; equal figures give equal bytes with one matplotlib.

    No date is written. `photographs`: what is in it deserves the slower choice of colours.
    """
    out = io.BytesIO()
    drawn = {"png": {"Software": None}, "pdf": {"CreationDate": None}}
    packed: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if kind == "png" else {}  # it is packed well below
    with look():
        figure.savefig(out, format=kind, metadata=drawn.get(kind, {}), facecolor="white", **packed)
    return in_few_colours(out.getvalue(), photographs=photographs) if kind == "png" else out.getvalue()


def in_few_colours(png: bytes, *, photographs: bool = False) -> bytes:
    """A PNG of pixels in 256 colours: less than half the bytes, and no difference to the eye.

    An octree finds the colours of a chart in a quarter of the time that `photographs` need (median cut), but for white.
    """
    from PIL import Image
    from PIL.Image import Quantize

    method = Quantize.MEDIANCUT if photographs else Quantize.FASTOCTREE
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, method, dither=Image.Dither.NONE)
    if not photographs:
        few.putpalette([255 if level == 254 else level for level in few.getpalette() or []])
    out = io.BytesIO()
    few.save(out, "PNG", optimize=photographs)
    return out.getvalue()
