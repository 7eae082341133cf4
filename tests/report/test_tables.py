import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from vitlab.report.gaps import gap_intervals, gap_values
from vitlab.report.intervals import bootstrap_mean
from vitlab.report.names import family, in_order, matched_pairs, size

from vitlab.report.tables import Table, interval_table, pivot, scaling_table, to_markdown, to_rich, to_text, write_table


@pytest.mark.parametrize(
    ("model", "of", "scale"),
    [
        ("ViT-Micro/4", "ViT", "Micro"),
        ("HybridViT-Nano/4", "HybridViT", "Nano"),
        ("R50+ViT-B/16", "HybridViT", "B"),
        ("ResNet-Nano", "ResNet", "Nano"),
        ("R152x4", "ResNet", "152x4"),
        ("from scratch", "from scratch", ""),
    ],
)
def test_family_and_size(model: str, of: str, scale: str) -> None:
    assert (family(model), size(model)) == (of, scale)


def test_order_and_pairs() -> None:
    names = ["ResNet-Micro", "ViT-Micro/4", "ResNet-Nano", "HybridViT-Nano/4", "ViT-Nano/4"]
    assert in_order(names) == ["ViT-Nano/4", "ViT-Micro/4", "HybridViT-Nano/4", "ResNet-Nano", "ResNet-Micro"]
    assert matched_pairs(names) == [("ViT-Nano/4", "ResNet-Nano"), ("ViT-Micro/4", "ResNet-Micro")]
    assert matched_pairs(["ViT-B/16", "R50x1"]) == [("ViT-B/16", "R50x1")]
    assert matched_pairs(["ViT-B/16"]) == []


def test_pivot_gives_the_interval_of_each_group(rows) -> None:
    table = rows()
    cells = pivot(table, ["model"], "train_size", "test_best")
    chosen = table[(table.model == "ResNet-Micro") & (table.train_size == 2000)]
    assert cells.loc["ResNet-Micro", 2000] == bootstrap_mean(chosen.test_best.to_numpy())
    assert list(cells.columns) == sorted(cells.columns)


def test_pivot_averages_draws_within_a_seed() -> None:
    table = pd.DataFrame({"m": "a", "k": 1, "seed": [0, 0, 1, 1], "y": [0.0, 0.2, 0.5, 0.7]})
    cell = pivot(table, ["m"], "k", "y", unit=["seed"]).loc["a", 1]
    assert cell == bootstrap_mean([0.1, 0.6])


def test_pivot_with_two_index_columns_and_a_hole() -> None:
    table = pd.DataFrame({"a": ["x", "x", "y"], "b": [1, 2, 1], "c": [10, 20, 10], "v": [1.0, 2.0, 3.0]})
    made = interval_table(pivot(table, ["a", "b"], "c", "v"), scale=1)
    assert made.titles == ("a", "b", "10", "20") and made.labels == 2
    assert made.cells[0] == ("x", "1", "1.0 (n=1)", "–")


def test_pivot_names_unknown_columns(rows) -> None:
    with pytest.raises(ValueError, match="no column modle"):
        pivot(rows(), ["modle"], "train_size", "test_best")


def test_gap_is_paired_by_seed_and_leaves_holes(rows) -> None:
    table = rows(noise=0.0)
    shared = table.seed * 0.05
    table["test_best"] += shared
    gone = (table.model == "ViT-Micro/4") & (table.seed == 1) & (table.train_size == 500)
    gaps = gap_values(table[~gone], "ViT-Micro/4", "ResNet-Micro")
    assert gaps.shape == (3, 5) and np.isnan(gaps.iloc[1, 0])
    cell = gap_intervals(gaps)[500]
    assert cell.n == 2
    assert (cell.mean, cell.low, cell.high) == pytest.approx((-0.15, -0.15, -0.15))
    with pytest.raises(ValueError, match="No rows of model 'ViT-B/16'"):
        gap_values(table, "ViT-B/16", "ResNet-Micro")


def test_scaling_table_says_everything(rows) -> None:
    made = scaling_table(rows(noise=0.0))
    assert made.titles[:4] == ("model", "parameters (M)", "train MFLOPs/image", "500") and made.titles[-1] == "10,000"
    assert [row[0] for row in made.cells][-1] == "gap: ViT-Micro/4 − ResNet-Micro"
    assert made.cells[0][1:4] == ("1.2", "510", "33.0 [33.0, 33.0]")
    assert made.cells[-1][3] == "-15.0 [-15.0, -15.0]"
    for words in ("CIFAR-10 (JPEG)", "3 seeds", "1,000 steps", "AMD EPYC", "torch 2.10", "commit 1234567"):
        assert words in made.caption
    changed = scaling_table(rows(noise=0.0).assign(commit="0123456789abcdef0123456789abcdef01234567+changes"))
    assert "commit 0123456789ab+changes." in changed.caption
    with pytest.raises(ValueError, match="no finished runs"):
        scaling_table(rows().iloc[:0])


def test_renderings(tmp_path) -> None:
    made = Table(("model", "a|b"), (("x", "1"), ("longer [red]", "23")), caption="A caption.")
    assert to_markdown(made) == "| model | a\\|b |\n| --- | ---: |\n| x | 1 |\n| longer [red] | 23 |\n\nA caption.\n"
    lines = to_text(made).splitlines()
    assert lines[0] == "model         a|b" and lines[2] == "x               1" and lines[-1] == "A caption."
    out = io.StringIO()
    Console(file=out, width=80).print(to_rich(made))
    assert "longer [red]" in out.getvalue() and "A caption." in out.getvalue()
    write_table(tmp_path / "deep" / "table.md", made)
    assert (tmp_path / "deep" / "table.md").read_text() == to_markdown(made)
    with pytest.raises(ValueError, match="2 columns"):
        Table(("a", "b"), (("only one",),))
