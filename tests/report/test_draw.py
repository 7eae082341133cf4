"""Every kind of chart is drawn without a warning, shows its numbers, and puts no label on another."""

import io
import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.font_manager import fontManager
from PIL import Image

from vitlab.claims.interval import Interval
from vitlab.report.build import bars, curves, curves_and_gaps, dots
from vitlab.report.draw import draw, for_column
from vitlab.report.evidence import Chart, Panel, Point, Series
from vitlab.report.interactive import to_plotly
from vitlab.report.plain import tick_values
from vitlab.report.style import (
    FAMILY_COLOURS,
    bar_colour,
    chart_styles,
    fonts,
    in_few_colours,
    new_figure,
    render,
    series_styles,
)

LABELS = {"title": "Test accuracy against the number of training images", "xlabel": "images", "ylabel": "accuracy (%)"}


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def charts(rows, two_sizes) -> dict[str, Chart]:
    """Each kind of chart, with many and with few values."""
    table = rows(models=two_sizes)
    one = table[table["train_images"] == 500]
    sets = pd.concat([table.assign(**{"data.name": name}) for name in ("Flowers", "DTD", "EuroSAT", "Pets", "mean")])
    few = sets[sets["train_images"] == 500].assign(few=lambda of: of["score"] / 2)
    return {
        "two sizes": curves_and_gaps(table, x="train_images", **LABELS),
        "one size": curves_and_gaps(rows(), x="train_images", **LABELS),
        "one seed": curves_and_gaps(rows(seeds=1), x="train_images", **LABELS),
        "one train size": curves_and_gaps(one, x="train_images", **LABELS),
        "sets": curves(sets, x="train_images", panel="data.name", log_x=True, references={"chance": 0.1}, **LABELS),
        "bars": bars(one, category="model", **LABELS),
        "groups": bars(table, category="train_images", series="model", **LABELS),
        "dots": dots(few, x="few", y="score", panel="data.name", **LABELS),
    }


def ticks(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def visible_texts(figure) -> list:
    """All texts of a drawn figure that have a place."""
    figure.draw_without_rendering()
    found = []
    for part in (figure, *figure.subfigs):
        found += [part._suptitle, part._supxlabel, part._supylabel, *(t for le in part.legends for t in le.get_texts())]
    for axes in (axes for axes in figure.axes if axes.axison):
        low, high = sorted(axes.get_xlim())
        found += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        found += [tick.label1 for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
        low, high = sorted(axes.get_ylim())
        found += [tick.label1 for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text is not None and text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("width", [None, 3.3])
def test_no_label_lies_on_another_or_outside(charts, width: float | None) -> None:
    for name, chart in charts.items():
        if width == 3.3 and max(map(len, chart.panels)) > 1:
            continue
        figure = draw(chart, width)
        boxes = [(text.get_text(), text.get_window_extent()) for text in visible_texts(figure)]
        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart, f"{name} at {width}: {one!r} lies on {other!r}"
        for text, box in boxes:
            inside = box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1
            assert inside, f"{name} at {width}: {text!r} is cut"


def test_curves_hold_the_means_the_gap_and_real_ticks(charts, rows) -> None:
    figure = draw(charts["one size"])
    upper, lower = figure.axes
    table = rows()
    vit, resnet = (table[table.model == f"{name}"].groupby("train_images").score.mean() * 100
                   for name in ("ViT-Micro/4", "ResNet-Micro"))  # fmt: skip
    assert upper.lines[0].get_ydata() == pytest.approx(vit.to_numpy())
    gap = next(line for line in lower.lines if line.get_marker() == "o")
    assert gap.get_ydata() == pytest.approx((vit - resnet).to_numpy())
    assert lower.get_xscale() == "log" and ticks(lower) == ["500", "1,000", "2,000", "5,000", "10,000"]
    assert lower.get_ylabel() == "gap (points)" and lower.get_xlabel() == "images"
    assert figure.get_suptitle() == LABELS["title"]
    (legend,) = figure.subfigs[0].legends
    assert [text.get_text() for text in legend.get_texts()] == [
        f"{name} (1.2 M)" for name in ("ViT-Micro/4", "HybridViT-Micro/4", "ResNet-Micro")
    ]


def test_a_column_for_each_size_on_one_scale(charts) -> None:
    upper, upper_right, lower, lower_right = draw(charts["two sizes"]).axes
    assert upper.get_ylim() == upper_right.get_ylim() and lower.get_ylim() == lower_right.get_ylim()
    assert upper.get_title(loc="left").startswith("Nano") and upper_right.get_title(loc="left").startswith("Micro")


def test_wide_bands_do_not_hide_the_seeds(rows) -> None:
    two = rows(seeds=2, noise=0.02)
    chart = curves(two, x="train_images", **LABELS)
    (axes,) = draw(chart).axes
    low, high = axes.get_ylim()
    reach = [value * 100 for series in chart.series for point in series.points for _, value in point.seeds]
    assert high - low < 3.2 * (max(reach) - min(reach))


def test_families_at_one_train_size_stand_beside_each_other(rows) -> None:
    """Their whiskers overlap, and of those on one line nobody could tell which ends belong together."""
    table = rows()
    one = curves(table[table["train_images"] == 1000], x="train_images", log_x=True, **LABELS)
    (axes,) = draw(one).axes
    places = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() in "os^"]
    assert len(places) == 3 and len(set(places)) == 3 and places[1] == 1000 and ticks(axes) == ["1,000"]
    shown = [trace["x"] for trace in to_plotly(one)["data"] if trace["showlegend"]]
    assert [x for (x,) in shown] == pytest.approx(places)


def test_values_that_are_all_zero_have_an_axis_that_can_be_read() -> None:
    points = tuple(Point(step, Interval(0.0, 0.0, 0.0, 3)) for step in (1, 2, 3))
    chart = Chart("T", ((Panel((Series("ViT", points),)),),))
    figure = draw(chart)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    assert axes.get_ylim() == (-1, 1) and not axes.yaxis.get_offset_text().get_text()


def test_a_bar_just_below_zero_has_no_negative_zero_and_others_a_minus() -> None:
    values = {"none": -0.0003, "relative": -0.29}
    points = tuple(Point(name, Interval(value, value, value, 3)) for name, value in values.items())
    (axes,) = draw(Chart("T", ((Panel((Series("", points),)),),), kind="bar")).axes
    assert [text.get_text() for text in axes.texts] == ["0.0", "−29.0"]


def test_crowded_ticks_keep_their_marks_and_lose_labels(rows) -> None:
    table = rows().replace({"train_images": {5000: 9500}})
    lower = draw(curves_and_gaps(table, x="train_images", **LABELS)).axes[1]
    assert ticks(lower) == ["500", "1,000", "2,000", "", "10,000"]
    assert list(lower.get_xticks()) == [500, 1000, 2000, 9500, 10_000]


def test_bars_show_means_in_family_colours(charts) -> None:
    (axes,) = draw(charts["bars"]).axes
    widths = [patch.get_width() for patch in axes.patches]
    means = [point.interval.mean * 100 for point in charts["bars"].series[0].points]
    assert widths == pytest.approx(means)
    colours = [to_hex(patch.get_facecolor()).upper() for patch in axes.patches]
    assert colours == [
        FAMILY_COLOURS[name].upper() for name in ("ViT", "ViT", "HybridViT", "HybridViT", "ResNet", "ResNet")
    ]
    assert [text.get_text() for text in axes.texts] == [f"{mean:.1f}" for mean in means]
    (grouped,) = draw(charts["groups"]).axes
    assert len({to_hex(patch.get_facecolor()) for patch in grouped.patches}) == 6


def test_same_evidence_gives_the_same_bytes(charts) -> None:
    first, second = (render(draw(charts["one size"]), "png") for _ in range(2))
    assert first == second and first[:4] == b"\x89PNG"
    column = for_column(charts["one size"])
    assert column == for_column(charts["one size"]) and column[:4] == b"%PDF"


@pytest.fixture
def chinese(tmp_path) -> Iterator[None]:
    """A machine with one more font, which has a square for one letter."""
    builder, pen = FontBuilder(1000), TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder.setupGlyphOrder([".notdef", "cat"])
    builder.setupCharacterMap({ord("猫"): "cat"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "cat": (1000, 100)})
    builder.setupHorizontalHeader(ascent=880, descent=-120)
    builder.setupNameTable({"familyName": "Noto Sans CJK SC", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "chinese.ttf")
    before = list(fontManager.ttflist)
    fontManager.addfont(tmp_path / "chinese.ttf")
    yield
    fontManager.ttflist[:] = before


@pytest.mark.usefixtures("chinese")
def test_letters_of_other_scripts_are_drawn_where_a_font_has_them(charts) -> None:
    named = replace(charts["one size"], title="猫")  # a letter without a font is a warning
    assert render(draw(named), "png") != render(draw(replace(named, title="")), "png")
    assert for_column(named)[:4] == b"%PDF"


def test_another_font_changes_nothing_else(charts, request, caplog) -> None:
    before = render(draw(charts["two sizes"]), "png")
    request.getfixturevalue("chinese")
    assert fonts() == ["DejaVu Sans", "Noto Sans CJK SC"] and render(draw(charts["two sizes"]), "png") == before
    assert not caplog.records, "bold letters that it lacks are no matter"


def test_families_keep_their_colours_and_sizes_their_dashes(charts) -> None:
    styles = series_styles(["ViT-Nano/4", "ViT-Micro/4", "ResNet-Nano", "other", "another"])
    assert styles["ViT-Nano/4"].colour == styles["ViT-Micro/4"].colour == FAMILY_COLOURS["ViT"]
    assert styles["ViT-Nano/4"].dash != styles["ViT-Micro/4"].dash
    assert len({style.colour for style in styles.values()}) == 4
    gap = chart_styles(charts["one size"])["ViT-Micro/4 − ResNet-Micro"]
    assert gap.colour not in FAMILY_COLOURS.values()


def test_bars_of_one_family_differ_in_colour_and_only_the_first_has_the_family_s() -> None:
    names = [f"ViT-{size}/4" for size in ("Pico", "Nano", "Micro", "Mini", "Small", "B", "L", "H")]
    colours = [bar_colour(series_styles(names), name, "") for name in names]
    assert colours[0] == FAMILY_COLOURS["ViT"] and colours[1:4] == ["#61A8CF", "#99C7E0", "#BFDCEC"]
    shades = [np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) for colour in colours]
    assert min(np.abs(one - other).max() for one, other in itertools.combinations(shades, 2)) > 20


def test_a_missing_interval_is_no_band(charts) -> None:
    assert all(math.isnan(point.interval.low) for series in charts["one seed"].series for point in series.points)
    render(draw(charts["one seed"]), "png")


def test_beside_a_point_of_one_seed_the_others_keep_their_intervals(rows) -> None:
    table = rows()
    table = table[table["model"] == "ResNet-Micro"]
    few, *_, many = sorted(set(table["train_images"]))
    chart = curves(table[table["train_images"].eq(few) | (table["seed"] == 0)], x="train_images", **LABELS)
    (axes,), (main,) = draw(chart).axes, (trace for trace in to_plotly(chart)["data"] if trace["showlegend"])
    (bars,) = (found for found in axes.collections if isinstance(found, LineCollection))
    assert [x for (x, _), _ in bars.get_segments()] == [few]
    known = [x for x, end in zip(main["x"], main["error_y"]["array"], strict=True) if end is not None]
    assert known == [few] and max(main["x"]) == many


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([2000, 500, 49_000, 500], True, [500, 2000, 49_000]),  # chosen
        ([3e-4, 1e-3, 0.03], True, [3e-4, 1e-3, 0.03]),
        ([0.002598, 0.0195, 0.0714], True, [0.005, 0.01, 0.02, 0.05]),  # measured
        ([46.01, 86.51], True, [46.01, 86.51]),  # no two round ones between
        ([46.01, 86.51], False, [46.01, 86.51]),
    ],
)
def test_ticks_stand_at_the_chosen_values_and_at_round_ones_between_measured(values, log, ticks):
    assert tick_values(values, log=log) == ticks


@pytest.mark.parametrize("photographs", [False, True])
def test_few_colours_look_the_same_take_less_and_leave_white_white(photographs):
    values = np.random.default_rng(0).normal(size=(64, 64))
    figure = new_figure(3, 3)
    figure.subplots().imshow(values, cmap="viridis")
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    small = in_few_colours(whole.getvalue(), photographs=photographs)
    before, after = (np.asarray(Image.open(one).convert("RGB"), float) for one in (whole, io.BytesIO(small)))
    assert len(small) < 0.7 * whole.tell() and before.shape == after.shape and np.abs(before - after).mean() < 2
    assert before[0, 0].tolist() == after[0, 0].tolist() == [255, 255, 255]
