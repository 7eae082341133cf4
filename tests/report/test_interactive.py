"""plotly's JSON of a chart: valid by itself, and the pointer says seed, run and value."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from vitlab.report.build import bars, curves, curves_and_gaps, dots
from vitlab.report.captions import alt
from vitlab.report.interactive import both, to_plotly

LABELS = {"title": "T <b>", "xlabel": "images", "ylabel": "accuracy (%)"}


def named(figure: dict, name: str) -> list[dict]:
    return [trace for trace in figure["data"] if trace.get("name") == name]


@pytest.mark.parametrize("narrow", [False, True])
def test_every_trace_has_axes_in_the_layout(rows, two_sizes, narrow: bool) -> None:
    table = rows(models=two_sizes)
    one = table[table["train_images"] == 500]
    for chart in (
        curves_and_gaps(table, x="train_images", **LABELS),
        curves_and_gaps(rows(seeds=1), x="train_images", **LABELS),
        bars(table, category="train_images", series="model", **LABELS),
        dots(one, x="score", y="score", **LABELS),
    ):
        figure = json.loads(json.dumps(to_plotly(chart, narrow=narrow), allow_nan=False))
        layout = figure["layout"]
        for trace in figure["data"]:
            assert trace["xaxis"].replace("x", "xaxis") in layout and trace["yaxis"].replace("y", "yaxis") in layout
            assert len(trace["x"]) == len(trace["y"])
        assert layout["meta"]["alt"] == alt(chart) and 200 < layout["height"] < 4000
        domains = [
            (layout[key]["domain"], layout[f"y{key[1:]}"]["domain"]) for key in layout if key.startswith("xaxis")
        ]
        assert len(domains) == sum(map(len, chart.panels)) == len({str(domain) for domain in domains})
        assert all(0 <= low < high <= 1.0001 for pair in domains for low, high in pair)


def test_on_a_narrow_screen_each_panel_is_followed_by_its_gap_and_one_axis_has_the_labels(rows, two_sizes) -> None:
    chart = curves_and_gaps(rows(models=two_sizes), x="train_images", **LABELS)
    layout = to_plotly(chart, narrow=True)["layout"]
    titles = [note["text"] for note in layout["annotations"]]
    assert len(titles) == 4 and [title.startswith("<b>gap") for title in titles] == [False, True] * 2
    assert {tuple(layout[f"xaxis{end}"]["domain"]) for end in ("", "2", "3", "4")} == {(0, 1)}
    assert layout["xaxis"]["showticklabels"] is False and layout["xaxis2"]["title"]["text"] == "images"
    labels = layout["xaxis2"]["ticktext"]
    assert len(labels) == 5 and labels[0] == "500" and labels[-1] == "10,000"


def test_long_names_of_bars_take_several_lines(rows) -> None:
    table = rows().assign(step="colour, shear and erasing")
    layout = to_plotly(bars(table, category="step", **LABELS), narrow=True)["layout"]
    assert layout["yaxis"]["ticktext"] == ["colour, shear<br>and erasing"]


def test_the_pointer_says_mean_interval_seed_run_and_value(rows) -> None:
    chart = curves(rows(), x="train_images", log_x=True, **LABELS)
    figure = to_plotly(chart)
    (means,) = named(figure, "ViT-Micro/4")
    point = chart.series[0].points[0]
    lines = means["text"][0].split("<br>")
    assert lines[0] == f"ViT-Micro/4, 500: {point.interval.format()}" and lines[1] == "n = 3, 95% interval"
    assert len(lines) == 2, "the seeds have dots, which say their own"
    assert means["y"] == pytest.approx([point.interval.mean * 100 for point in chart.series[0].points], rel=1e-5)
    seeds = next(trace for trace in figure["data"] if trace["mode"] == "markers")
    assert len(seeds["x"]) == 15 and seeds["hovertemplate"] == "ViT-Micro/4: %{y:.1f} at %{text}<extra></extra>"
    label, value = point.seeds[0]
    assert seeds["text"][0] == f"500, {label}" and label.startswith("seed 0, run ")
    assert seeds["y"][0] == pytest.approx(value * 100, rel=1e-5)
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert figure["layout"]["xaxis"]["ticktext"] == ["500", "1,000", "2,000", "5,000", "10,000"]
    assert [trace["name"] for trace in figure["data"] if trace["showlegend"]] == [s.name for s in chart.series]


def test_a_mean_says_its_seeds_where_they_have_no_dots(rows) -> None:
    chart = bars(rows(), category="train_images", **LABELS)
    (trace,) = to_plotly(chart)["data"]
    label, value = chart.series[0].points[0].seeds[0]
    assert trace["text"][0].split("<br>")[2] == f"{label}: {value * 100:.1f}" and label.startswith("seed 0, ")


def test_both_widths_are_whole_with_what_they_share(rows, two_sizes) -> None:
    chart = curves_and_gaps(rows(models=two_sizes), x="train_images", **LABELS)
    found = both(chart)
    for width, narrow in (("wide", False), ("narrow", True)):
        data = [{**found["traces"][own["of"]], **own} for own in found[width]["data"]]
        for trace in data:
            del trace["of"]
        assert {"data": data, "layout": {**found["layout"], **found[width]["layout"]}} == to_plotly(
            chart, narrow=narrow
        )
    assert not set(found["layout"]) & {*found["wide"]["layout"], *found["narrow"]["layout"]}


def test_bands_whiskers_and_levels(rows) -> None:
    figure = to_plotly(curves_and_gaps(rows(), x="train_images", **LABELS))
    bands = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
    assert len(bands) == 3 and all(len(band["x"]) == 10 for band in bands)
    (gap,) = named(figure, "ViT-Micro/4 − ResNet-Micro")
    assert len(gap["error_y"]["array"]) == 5 and not gap["showlegend"]
    (zero,) = figure["layout"]["shapes"]
    assert zero["yref"] == "y2" and zero["y0"] == 0
    assert len(figure["data"]) == 3 * 3 + 2


def test_plotly_and_matplotlib_stay_unimported() -> None:
    heavy = ("plotly", "matplotlib", "torch")
    program = f"import sys, vitlab.report.interactive; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_single_series_needs_no_legend(rows) -> None:
    one = pd.DataFrame(rows()[lambda table: table.model == "ViT-Micro/4"])
    assert not to_plotly(curves(one, x="train_images", **LABELS))["layout"]["showlegend"]
