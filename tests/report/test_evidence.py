"""Evidence as plain data: how cells are shown, and that evidence.json holds all of it."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitlab.claims.interval import MISSING, Interval, mean_interval
from vitlab.report.build import bars, curves_and_gaps, dots, scaling_table
from vitlab.report.captions import alt
from vitlab.report.evidence import Chart, Evidence, Format, Panel, Point, Series, Table
from vitlab.report.plain import number

LABELS = {"title": "T", "xlabel": "images", "ylabel": "accuracy (%)"}
CELL = Interval(0.5234, 0.5012, 0.5444, 3)
cells = st.one_of(
    st.floats(),
    st.integers(-(2**53), 2**53),
    st.text(),
    st.builds(Interval, st.floats(), st.floats(), st.floats(), st.integers(0, 100)),
)


def same(a: object, b: object) -> bool:
    """Equal to the last bit, NaN included."""
    if isinstance(a, Interval) and isinstance(b, Interval):
        return all(same(getattr(a, name), getattr(b, name)) for name in ("mean", "low", "high", "n"))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and repr(a) == repr(b)


def test_cells_are_shown_by_the_table_its_columns_and_its_rows() -> None:
    frame = pd.DataFrame(
        {"n": [3, 1200], "lr": [3e-4, math.nan], "accuracy": [CELL, MISSING], 500: [0.5, CELL], "note": ["a", ""]},
        index=pd.Index(["ViT", "ViT − ResNet"], name="model"),
    )
    table = Table("t", frame, signed=("ViT − ResNet",), formats={"lr": Format(5, 1.0), "500": Format(2, 10.0)})
    assert table.titles == ["model", "n", "lr", "accuracy", "500", "note"]
    assert table.left == [True, False, False, False, False, True]
    assert table.text()[0] == ["ViT", "3", "0.00030", "52.3 [50.1, 54.4]", "5.00", "a"]
    assert table.text()[1] == ["ViT − ResNet", "1,200", "–", "–", "5.23 [5.01, 5.44]", ""]
    signed = Table("t", frame[["accuracy"]], signed=("ViT",))
    assert signed.text()[0][1] == "+52.3 [+50.1, +54.4]"


def test_leading_columns_come_from_the_index() -> None:
    frame = pd.DataFrame({"x": ["a", "b"]})
    assert Table("t", frame).titles == ["x"] and Table("t", frame).text() == [["a"], ["b"]]
    index = pd.MultiIndex.from_tuples([("digits", 1), ("digits", 5)], names=["set", "shots"])
    several = Table("t", pd.DataFrame({"ViT": [CELL, CELL]}, index=index), digits=0)
    assert several.titles == ["set", "shots", "ViT"] and several.text()[1] == ["digits", "5", "52 [50, 54]"]


@given(st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_comes_back_bit_for_bit(values: list[list[object]]) -> None:
    index = pd.Index([f"row {i}" for i in range(len(values))], name="model")
    table = Table("t", pd.DataFrame(values, index=index, columns=[500, "b"], dtype=object), "c", signed=("row 0",))
    back = Evidence.loads(Evidence(tables=(table,)).dumps()).tables[0]
    assert list(back.frame.columns) == [500, "b"] and back.frame.index.equals(index)
    for row, other in zip(values, back.frame.to_numpy(dtype=object), strict=True):
        assert all(same(a, b) for a, b in zip(row, other, strict=True))
    assert (back.name, back.caption, back.signed, back.heads) == ("t", "c", ("row 0",), ["model"])


def test_every_kind_of_evidence_comes_back(rows, two_sizes) -> None:
    table = rows(models=two_sizes)
    one = table[table["train_images"] == 500]
    evidence = Evidence(
        tables=(scaling_table("accuracy", table, "train_images", caption="c"),),
        figures={
            "figure": curves_and_gaps(table, x="train_images", **LABELS),
            "bars": bars(one, category="model", series="data.name", **LABELS),
            "dots": dots(one, x="score", y="score", **LABELS),
            "single": curves_and_gaps(one[one["seed"] == 0], x="train_images", **LABELS),
        },
    )
    text = evidence.dumps()
    back = Evidence.loads(text)
    assert back.dumps() == text and "NaN" not in text
    assert back.figures["figure"] == evidence.figures["figure"] and back.figures["bars"] == evidence.figures["bars"]
    assert list(back.figures) == list(evidence.figures)
    assert back.tables[0].text() == evidence.tables[0].text()


def test_another_file_is_no_evidence() -> None:
    for text in ("{", "{}", "[1]", json.dumps({"verdicts": [], "tables": [{}], "figures": {}})):
        with pytest.raises(ValueError, match="no evidence.json"):
            Evidence.loads(text)


def test_charts_refuse_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no finished runs"):
        Chart("t", ((Panel(()),),))
    with pytest.raises(ValueError, match="'pie'"):
        Chart("t", ((Panel((Series("a", (Point(1.0, CELL),)),)),),), kind="pie")  # type: ignore[arg-type]


def test_alternative_text_says_the_numbers(rows) -> None:
    table = rows(noise=0.0)
    words = alt(curves_and_gaps(table, x="train_images", title="Growth", xlabel="images", ylabel="accuracy (%)"))
    assert words.startswith("Line chart: Growth. accuracy (%) against images.")
    assert "ViT-Micro/4 (1.2 M): 500: 33.0" in words and "gap: ViT-Micro/4 − ResNet-Micro: 500: -15.0 [" in words
    shown = Point("crop", mean_interval([0.5, 0.6]))
    bar = Chart("Ladder", ((Panel((Series("", (shown, Point("flip", MISSING))),)),),), ylabel="accuracy", kind="bar")
    assert alt(bar) == f"Bar chart: Ladder. accuracy. crop {shown.interval.format()}, flip –."
    dot = alt(dots(table, x="score", y="score", series="data.name", title="D", xlabel="a", ylabel="b"))
    assert "3 dots, " in dot


@pytest.mark.parametrize(
    ("value", "text"),
    [(1200, "1,200"), (3.0, "3"), (np.int64(50), "50"), (0.00031234, "0.0003123"), (math.nan, "–"), (None, "–")]
    + [(True, "True"), (np.str_("a"), "a"), (math.inf, "inf"), ("x", "x")],
)
def test_numbers_for_reading(value: object, text: str) -> None:
    assert number(value) == text
