"""From rows to frames and charts: the numbers are those of the one interval, paired and averaged by seed."""

import math

import pandas as pd
import pytest

from vitlab.claims.interval import MISSING, accuracy_interval, mean_interval
from vitlab.claims.statistics import gap, per_seed, sampling_error
from vitlab.report.build import bars, curves, curves_and_gaps, dots, gap_panel, gap_row, pivot, scaling_table
from vitlab.report.captions import describe

LABELS = {"title": "T", "xlabel": "images", "ylabel": "accuracy (%)"}


def test_pivot_gives_the_interval_of_each_group(rows) -> None:
    table = rows()
    cells = pivot(table, "model", "train_images")
    chosen = table[(table.model == "ResNet-Micro") & (table.train_images == 2000)]
    assert cells.loc["ResNet-Micro", 2000] == accuracy_interval(chosen.score, images=10_000)
    assert list(cells.columns) == sorted(cells.columns)
    assert list(cells.index) == ["ViT-Micro/4", "HybridViT-Micro/4", "ResNet-Micro"]


def test_pivot_averages_draws_within_a_seed() -> None:
    table = pd.DataFrame({"m": "a", "k": 1, "seed": [0, 0, 1, 1], "score": [0.0, 0.2, 0.5, 0.7]})
    assert pivot(table, "m", "k").loc["a", 1] == accuracy_interval([0.1, 0.6])
    assert pivot(table, "m", "k", unit=()).loc["a", 1] == accuracy_interval([0.0, 0.2, 0.5, 0.7])


def test_the_test_splits_own_sampling_error_counts() -> None:
    table = pd.DataFrame({"m": "a", "k": 1, "seed": [0, 1], "images": 100, "score": 0.5})
    narrow = pivot(table, "m", "k").loc["a", 1]
    assert narrow == accuracy_interval([0.5, 0.5], images=100) and narrow.low < 0.5 < narrow.high
    # The mean over two sets has half the sum of their variances.
    sets = pd.concat([table.assign(**{"data.name": "x"}), table.assign(**{"data.name": "y"}, images=300, score=0.7)])
    error = math.sqrt(0.25 / 100 + 0.21 / 300) / 2
    assert pivot(sets, "m", "k").loc["a", 1] == mean_interval([0.6, 0.6], sampling=error)


def test_sets_count_alike_and_a_seed_needs_all_of_them() -> None:
    draws = [("x", 0, 0.2), ("x", 0, 0.4), ("x", 0, 0.3), ("y", 0, 0.9), ("x", 1, 0.5), ("y", 1, 0.8), ("x", 2, 0.4)]
    table = pd.DataFrame(draws, columns=["data.name", "seed", "score"]).assign(m="a", k=1)
    assert pivot(table, "m", "k").loc["a", 1] == mean_interval([0.6, 0.65])
    one = pivot(table[table["data.name"] == "x"], "m", "k").loc["a", 1]
    assert one.mean == pytest.approx((0.3 + 0.5 + 0.4) / 3) and one.n == 3
    assert per_seed(table) == pytest.approx({0: 0.6, 1: 0.65})  # the claims' own mean


def test_other_quantities_say_so() -> None:
    table = pd.DataFrame({"side": ["a", "a"], "k": 1, "seed": [0, 1], "speed": [400.0, 500.0]})
    assert pivot(table, "side", "k", "speed", accuracy=False).loc["a", 1] == mean_interval([400.0, 500.0])
    with pytest.raises(ValueError, match="from 400 to 500.*accuracy=False"):
        pivot(table, "side", "k", "speed")


def test_pivot_with_two_index_columns_a_hole_and_an_empty_key() -> None:
    table = pd.DataFrame(
        {"a": ["y", "x", "x", None], "b": [1, 2, 1, 1], "c": [10, 20, 10, 10], "v": [0.1, 0.2, 0.3, 0.4], "seed": 0}
    )
    cells = pivot(table, ["a", "b"], "c", "v")
    assert list(cells.index) == [("y", 1), ("x", 1), ("x", 2), ("–", 1)] and list(cells.columns) == [10, 20]
    assert cells.loc[("y", 1), 20] == MISSING and cells.loc[("–", 1), 10].mean == 0.4


def test_unknown_columns_and_no_rows_are_said(rows) -> None:
    with pytest.raises(ValueError, match="no column modle"):
        pivot(rows(), "modle", "train_images")
    for make in (pivot, scaling_table):
        with pytest.raises(ValueError, match="no finished runs"):
            make(
                *(("t",) if make is scaling_table else ()),
                rows().iloc[:0],
                *(["model"] if make is pivot else []),
                "seed",
            )
    with pytest.raises(ValueError, match="no finished runs"):
        curves(rows().assign(score=math.nan), x="train_images", **LABELS)


def test_a_gap_is_of_the_sets_that_both_have_at_each_point() -> None:
    scores = [("A", 1, "a", 0.5), ("A", 1, "b", 0.8), ("B", 1, "a", 0.4)]
    scores += [("A", 2, "a", 0.6), ("A", 2, "b", 0.9), ("B", 2, "a", 0.5), ("B", 2, "b", 0.5)]
    table = pd.DataFrame(scores, columns=["model", "n", "data.name", "score"])
    table = pd.concat([table.assign(seed=seed) for seed in (0, 1)])
    row = gap_row(table, "A", "B", "n").iloc[0]
    assert row[1].mean == pytest.approx(0.1) and row[2].mean == pytest.approx(0.25)
    apart = table[(table["n"] == 1) & ((table["model"] == "B") | (table["data.name"] == "b"))]
    assert gap_row(apart, "A", "B", "n").empty, "they share no set"


def test_gap_is_paired_by_seed_and_leaves_holes(rows) -> None:
    table = rows(noise=0.0)
    table["score"] += table.seed * 0.05  # what seeds share cancels
    gone = (table.model == "ViT-Micro/4") & (table.seed == 1) & (table.train_images == 500)
    row = gap_row(table[~gone], "ViT-Micro/4", "ResNet-Micro", "train_images")
    assert list(row.index) == ["ViT-Micro/4 − ResNet-Micro"]
    cell = row.loc["ViT-Micro/4 − ResNet-Micro", 500]
    assert cell.n == 2 and cell.mean == pytest.approx(-0.15)
    at = [
        table[~gone & (table.train_images == 500) & (table.model == name)] for name in ("ViT-Micro/4", "ResNet-Micro")
    ]
    floor = mean_interval([-0.15, -0.15], sampling=sampling_error(*at))
    assert (cell.low, cell.high) == pytest.approx((floor.low, floor.high))
    told = gap(table[~gone], "ViT-Micro/4", "ResNet-Micro", at={"train_images": 500})  # the claims' own gap
    assert mean_interval(list(told.values()), sampling=sampling_error(*at)) == cell
    with pytest.raises(ValueError, match="no rows of 'ViT-B/16'"):
        gap_row(table, "ViT-B/16", "ResNet-Micro", "train_images")


def test_scaling_table_says_everything(rows) -> None:
    made = scaling_table("accuracy", rows(noise=0.0), "train_images", caption="c")
    assert made.titles[:4] == ["model", "parameters (M)", "train MFLOPs/image", "500"] and made.titles[-1] == "10,000"
    text = made.text()
    assert text[0][:3] == ["ViT-Micro/4", "1.201", "510"] and text[0][3].startswith("33.0 [")
    assert text[-1][:3] == ["ViT-Micro/4 − ResNet-Micro", "", ""] and text[-1][3].startswith("-15.0 [-")
    several = rows().assign(parameters=lambda table: table.parameters + table.seed * 1e6)
    assert scaling_table("a", several, "train_images").text()[0][1] == "1.2–3.2"
    assert scaling_table("a", rows().drop(columns="parameters"), "train_images").titles[1] == "train MFLOPs/image"
    assert len(scaling_table("a", rows(), "train_images", pairs=()).frame) == 3


def test_curves_hold_means_seeds_and_panels(rows) -> None:
    table = pd.concat([rows().assign(**{"data.name": name}) for name in ("a", "b", "mean")])
    chart = curves(table, x="train_images", panel="data.name", first="mean", references={"chance": 0.1}, **LABELS)
    assert [[panel.title for panel in row] for row in chart.panels] == [["mean", "a", "b"]]
    point = chart.panels[0][0].series[0].points[2]
    chosen = rows()[lambda t: (t.model == "ViT-Micro/4") & (t.train_images == 2000)]
    assert point.x == 2000 and point.interval == accuracy_interval(chosen.score, images=10_000)
    assert point.seeds == tuple(
        (f"seed {seed}, run {run}", value)
        for seed, run, value in zip(chosen.seed, chosen.run, chosen.score, strict=True)
    )
    assert chart.panels[0][0].references == (("chance", 0.1),)
    assert chart.subtitle == "mean of 3 seeds, 95% interval; dots: single seeds"
    four = pd.concat([rows().assign(**{"data.name": name}) for name in "abcd"])
    assert [len(row) for row in curves(four, x="train_images", panel="data.name", **LABELS).panels] == [2, 2]
    one = curves(rows(), x="train_images", names=["ResNet-Micro", "absent"], subtitle="s", **LABELS)
    assert [series.name for series in one.series] == ["ResNet-Micro"] and one.subtitle == "s"
    assert curves(rows(seeds=1), x="train_images", **LABELS).subtitle == "one seed: no intervals"


def test_two_sizes_of_each_family_get_a_column_each_with_their_gaps(rows, two_sizes) -> None:
    table = rows(models=two_sizes)
    upper, lower = curves_and_gaps(table, x="train_images", **LABELS).panels
    assert [panel.title for panel in upper] == ["Nano, 0.35 to 0.36 M parameters", "Micro, 1.2 M parameters"]
    assert [series.name for series in upper[0].series] == ["ViT", "HybridViT", "ResNet"]
    assert all(panel.gap and panel.title == "gap: ViT − ResNet" for panel in lower)
    means = table.groupby(["model", "train_images"])["score"].mean()
    gap = means["ViT-Nano/4"] - means["ResNet-Nano"]
    assert [point.interval.mean for point in lower[0].series[0].points] == pytest.approx(gap.to_numpy())
    label, _ = lower[0].series[0].points[0].seeds[0]
    assert label.startswith("seed 0, run ")


def test_one_size_names_models_with_parameters(rows) -> None:
    upper, lower = curves_and_gaps(rows(), x="train_images", **LABELS).panels
    assert [series.name for series in upper[0].series] == [
        "ViT-Micro/4 (1.2 M)",
        "HybridViT-Micro/4 (1.2 M)",
        "ResNet-Micro (1.2 M)",
    ]
    assert upper[0].title == "" and lower[0].title == "gap: ViT-Micro/4 − ResNet-Micro"


TWO_PATCHES = {"ViT-Micro/2": (1_210_000, 0.36, 0.15), "ViT-Micro/4": (1_201_034, 0.33, 0.16)}


@pytest.mark.parametrize("also", [{}, {"ViT-Nano/4": (350_000, 0.3, 0.14), "ResNet-Nano": (360_000, 0.44, 0.23)}])
def test_two_patch_sizes_of_one_size_are_two_curves_with_a_gap_each(rows, also) -> None:
    table = rows(models={**TWO_PATCHES, "ResNet-Micro": (1_250_000, 0.48, 0.26), **also})
    upper, lower = curves_and_gaps(table, x="train_images", **LABELS).panels
    means = table.groupby(["model", "train_images"])["score"].mean()
    for series, model in zip(upper[-1].series, ("ViT-Micro/2", "ViT-Micro/4", "ResNet-Micro"), strict=True):
        assert [point.interval.mean for point in series.points] == pytest.approx(means[model].to_numpy())
    names = [series.name.split(" (")[0] for series in upper[-1].series]
    assert names == ["ViT-Micro/2", "ViT-Micro/4", "ResNet" if also else "ResNet-Micro"]
    assert [series.name for series in lower[-1].series] == [f"{name} − ResNet-Micro" for name in TWO_PATCHES]
    assert lower[-1].title == "gap: ViT − ResNet"
    assert not also or [series.name for series in upper[0].series] == ["ViT", "ResNet"]


def test_gaps_of_several_kinds_are_named_in_full(rows, two_sizes) -> None:
    pairs = [("ViT-Nano/4", "ResNet-Nano"), ("HybridViT-Micro/4", "ResNet-Micro")]
    panel = gap_panel(rows(models=two_sizes), pairs, x="train_images")
    assert panel.title == "gap" and [series.name for series in panel.series] == [" − ".join(pair) for pair in pairs]


def test_sizes_without_a_pair_or_with_one_across_share_a_panel(rows, two_sizes) -> None:
    table = rows(models=two_sizes)
    across = [("ViT-Nano/4", "ResNet-Nano"), ("ViT-Micro/4", "ResNet-Nano")]
    upper, lower = curves_and_gaps(table, x="train_images", pairs=across, **LABELS).panels
    assert len(upper) == 1 and len(upper[0].series) == 6 and len(lower[0].series) == 2
    vits = table[table.model.str.startswith("ViT")]
    chart = curves_and_gaps(vits, x="train_images", **LABELS)
    assert len(chart.panels) == 1 and len(chart.series) == 2
    named = gap_panel(table, [("ViT-Nano/4", "ResNet-Nano"), ("ViT-Micro/4", "ResNet-Micro")], x="train_images")
    assert [series.name for series in named.series] == ["Nano", "Micro"] and named.title == "gap: ViT − ResNet"


def test_bars_keep_the_order_asked_for(rows) -> None:
    one = rows()[lambda table: table.train_images == 500]
    chart = bars(one, category="model", order=["ResNet-Micro", "ViT-Micro/4"], **LABELS)
    points = chart.series[0].points
    assert [point.x for point in points] == ["ResNet-Micro", "ViT-Micro/4"] and chart.kind == "bar"
    assert points[0].interval == accuracy_interval(one[one.model == "ResNet-Micro"].score, images=10_000)
    steps = one.assign(step=[f"step {i}" for i in (2, 1, 3) for _ in range(3)])
    assert [point.x for point in bars(steps, category="step", **LABELS).series[0].points] == [
        "step 2",
        "step 1",
        "step 3",
    ]
    side = bars(one.assign(bits=one.seed), category="bits", series="model", unit=(), **LABELS)
    assert [series.name for series in side.series][0] == "ViT-Micro/4" and side.series[0].points[0].x == "0"


def test_dots_are_seeds_at_two_measures(rows) -> None:
    few = rows()[lambda table: table.train_images == 500].assign(few=lambda table: table.score / 2)
    chart = dots(pd.concat([few, few]), x="few", y="score", panel="data.name", **LABELS)
    points = chart.series[0].points
    own = few[few.model == "ViT-Micro/4"]
    assert [(point.x, point.interval.mean) for point in points] == list(zip(own.few, own.score, strict=True))
    assert (
        chart.x_scale == 100 and math.isnan(points[0].interval.low) and points[0].seeds[0][0].startswith("seed 0, run")
    )


def test_captions_say_what_made_the_rows(rows) -> None:
    words = describe(rows().assign(draw=0, **{"recipe.precision": "bf16"}))
    for part in ("3 seeds", "1 draw;", "1,000 steps", "bf16", "AMD EPYC", "torch 2.10", "commit 1234567"):
        assert part in words
    table = rows()
    larger_model_has_fewer = table[(table.model != "ViT-Micro/4") | (table.seed < 2)]
    assert describe(larger_model_has_fewer).startswith("up to 3 seeds;"), "not 3, which the larger one has not"
    changed = describe(rows().assign(commit="0123456789abcdef0123456789abcdef01234567+changes"))
    assert changed.endswith("commit 0123456789ab+changes")


def test_the_only_series_of_a_figure_is_named_above_it(rows) -> None:
    one = rows()[lambda table: table["model"] == "ViT-Micro/4"]
    labels = {"title": "T", "ylabel": "accuracy (%)"}
    for chart in (
        curves(one, x="train_images", **labels),
        curves_and_gaps(one, x="train_images", **labels),
        bars(one, category="train_images", series="model", **labels),
    ):
        assert [panel.title.split(" (")[0] for (panel,) in chart.panels] == ["ViT-Micro/4"]
