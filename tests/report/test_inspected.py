"""Statistics of inspected models in closed form, and the table and charts of them."""

import math

import pandas as pd
import pytest

from vitlab.claims import inspected as statistics
from vitlab.claims.interval import mean_interval
from vitlab.report import inspected
from vitlab.report.draw import draw
from vitlab.report.evidence import Evidence


def head(layer: int, head: int, distance: float, **about: object) -> dict[str, object]:
    return {"part": "attention", "layer": layer, "head": head, "distance_px": distance, "uniform_px": 16.0,
            "side_px": 32.0, **about}  # fmt: skip


def inspected_rows(model: str = "ViT-Nano/4") -> pd.DataFrame:
    """Two layers of two heads and one row of positions, untrained (all heads global) and trained, for two seeds."""
    rows = []
    for seed in (0, 1):
        for stage, step, near in (("snapshot", 0, 0.0), ("snapshot", 100, 0.4), ("selected", 100, 0.4)):
            about = {"model": model, "seed": seed, "stage": stage, "step": step, "run": f"r{seed}"}
            far = (16.0, 16.0, 16.0, 16.0) if step == 0 else (4.0, 16.0, 8.0 + seed, 16.0 + seed)
            rows += [head(1 + i // 2, 1 + i % 2, px, **about) for i, px in enumerate(far)]
            positions = {"near_cosine": near + 0.1, "other_cosine": 0.1, "row_column_r2": near, "distance_r2": near}
            rows.append({"part": "positions", **positions, **about})
    return pd.DataFrame(rows)


def test_statistics_in_closed_form() -> None:
    heads = statistics.final(inspected_rows(), "attention")
    heads = heads[heads["seed"] == 0]
    first = statistics.first_layer(heads)
    assert list(first["distance_px"]) == [4.0, 16.0]
    assert statistics.local_share(first) == 0.5 and statistics.local_share(heads) == 0.25
    assert statistics.head_spread(heads) == 0.75
    assert statistics.mean_distance(heads) == 11 / 32
    assert statistics.depth_slope(heads) == pytest.approx((12 - 10) / 32)
    assert math.isnan(statistics.depth_slope(first))
    positions = statistics.final(inspected_rows(), "positions")
    assert statistics.nearness(positions) == pytest.approx(0.4) and statistics.row_column(positions) == 0.4


def test_gained_is_trained_minus_untrained_by_seed() -> None:
    rows = inspected_rows()
    assert statistics.gained(rows, "attention", statistics.head_spread) == {0: 0.75, 1: 0.75}
    slopes = statistics.gained(rows, "attention", statistics.depth_slope)
    assert slopes == pytest.approx({0: 2 / 32, 1: 3 / 32})
    begun = rows[(rows["seed"] == 0) | (rows["step"] > 0)]
    assert set(statistics.gained(begun, "positions", statistics.nearness)) == {0}
    assert inspected.has_course(rows) and not inspected.has_course(rows[rows["step"] > 0])


def test_the_table_has_a_row_for_each_model() -> None:
    table = inspected.summary_table(pd.concat([inspected_rows(), inspected_rows("HybridViT-Nano/4")]))
    assert list(table.frame.index) == ["ViT-Nano/4", "HybridViT-Nano/4"]
    assert table.frame.loc["ViT-Nano/4", "last layer"] == mean_interval([12 / 32, 13 / 32])
    assert table.text()[0][:3] == ["ViT-Nano/4", "2", "0.40 (n=2)"] and table.text()[0][-1] == "50 (n=2)"


def test_distance_by_depth_shows_every_head() -> None:
    fields = [
        {"part": "receptive_field", "stage": "selected", "model": "ResNet-Nano", "seed": 0, "layer": layer,
         "distance_px": 4.0 * layer, "radius_95_px": 8.0 * layer}
        for layer in (1, 2, 3)
    ]  # fmt: skip
    chart = inspected.distance_by_depth(pd.concat([inspected_rows(), pd.DataFrame(fields)]))
    vit, resnet = chart.panels[0]
    first, last = vit.series[0].points
    assert first.x == 1 and first.interval.mean == 10.0 and last.interval == mean_interval([12, 13])
    assert first.seeds == tuple((f"seed {s}, head {h}", px) for s in (0, 1) for h, px in ((1, 4.0), (2, 16.0)))
    assert vit.references == (("uniform attention", 16.0), ("heads below are local", 8.0))
    assert [series.points[-1].interval.mean for series in resnet.series] == [12.0, 24.0]
    evidence = Evidence(figures={"distance": chart, "over_training": inspected.over_training(inspected_rows())})
    back = Evidence.loads(evidence.dumps())
    assert back.dumps() == evidence.dumps() and len(draw(back.figures["distance"]).axes) == 2


def test_over_training_has_a_panel_for_each_question() -> None:
    chart = inspected.over_training(inspected_rows())
    near, rows_and_columns, far, local = (panel for row in chart.panels for panel in row)
    assert [point.x for point in near.series[0].points] == [0, 100]
    assert near.series[0].points[-1].interval.mean == pytest.approx(0.4)
    assert rows_and_columns.series[0].points[-1].interval.mean == pytest.approx(40.0)
    assert far.series[0].points[0].interval.mean == 50.0 and local.series[0].points[-1].seeds[0] == ("seed 0", 25.0)
    assert [axes.get_ylabel() for axes in draw(chart).axes][0] == near.ylabel
    models = {series.name for series in chart.series}
    assert chart.title == f"What {models.pop()} learns while it trains" and not models
