"""Every kind of figure is made from synthetic rows, saved without a warning, and says what it shows."""

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from vitlab.report.charts import bars, heatmap, scatter, waterfall
from vitlab.report.curves import lines
from vitlab.report.intervals import Interval, bootstrap_mean
from vitlab.report.scaling import accuracy_against_size

from vitlab.report.pictures import image_grid, map_grid, mask_by, overlay, resized, to_uint8
from vitlab.report.style import FAMILY_COLOURS, render, save, series_styles


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ticks(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def test_accuracy_against_size_says_what_it_shows(rows) -> None:
    figure = accuracy_against_size(rows())
    upper, lower = figure.axes
    assert figure.get_suptitle() == "Test accuracy against the number of training images: CIFAR-10 (JPEG)"
    assert upper.get_ylabel() == "test accuracy (%)" and lower.get_ylabel() == "gap (points)"
    assert lower.get_xlabel() == "training images (log scale)" and lower.get_xscale() == "log"
    assert ticks(lower) == ["500", "1,000", "2,000", "5,000", "10,000"]
    assert "3 seeds" in upper.get_title(loc="left") and "95%" in upper.get_title(loc="left")
    assert lower.get_title(loc="left") == "gap: ViT-Micro/4 − ResNet-Micro"
    legend = [text.get_text() for text in upper.get_legend().get_texts()]
    assert legend == ["ViT-Micro/4 (1.2 M)", "HybridViT-Micro/4 (1.2 M)", "ResNet-Micro (1.2 M)"]


def test_accuracy_curves_hold_the_means_and_the_gap(rows) -> None:
    table = rows()
    upper, lower = accuracy_against_size(table).axes
    means = table[table.model == "ViT-Micro/4"].groupby("train_size").test_best.mean() * 100
    assert upper.lines[0].get_ydata() == pytest.approx(means.to_numpy())
    resnet = table[table.model == "ResNet-Micro"].groupby("train_size").test_best.mean() * 100
    assert lower.lines[0].get_ydata() == pytest.approx((means - resnet).to_numpy())


def test_one_seed_has_no_bands_and_says_so(rows) -> None:
    figure = accuracy_against_size(rows(seeds=1))
    assert "one seed" in figure.axes[0].get_title(loc="left")
    render(figure, "png")


def test_two_sizes_of_each_family_get_a_column_each_on_one_scale(rows) -> None:
    small = {"ViT-Nano/4": (350_000, 0.3, 0.14), "ResNet-Nano": (350_000, 0.44, 0.23)}
    large = {"ViT-Micro/4": (1_200_000, 0.33, 0.16), "ResNet-Micro": (1_250_000, 0.48, 0.26)}
    table = rows(models=small | large)
    upper, upper_right, lower, lower_right = accuracy_against_size(table).axes
    assert [axes.texts[0].get_text() for axes in (upper, upper_right)] == [
        "Nano, 0.35 M parameters",
        "Micro, 1.2 M parameters",
    ]
    assert [text.get_text() for text in upper_right.get_legend().get_texts()] == ["ViT", "ResNet"]
    assert upper.get_ylim() == upper_right.get_ylim() and lower.get_ylim() == lower_right.get_ylim()
    for axes, size in ((lower, "Nano"), (lower_right, "Micro")):
        vit, resnet = (
            table[table.model == name].groupby("train_size").test_best.mean() * 100
            for name in (f"ViT-{size}/4", f"ResNet-{size}")
        )
        assert axes.lines[0].get_ydata() == pytest.approx((vit - resnet).to_numpy())


def test_sizes_without_a_pair_or_with_one_across_share_a_panel(rows) -> None:
    small, large = (350_000, 0.3, 0.14), (1_200_000, 0.33, 0.16)
    every = {name: small for name in ("ViT-Nano/4", "ResNet-Nano")} | {
        name: large for name in ("ViT-Micro/4", "ResNet-Micro")
    }
    across = [("ViT-Nano/4", "ResNet-Nano"), ("ViT-Micro/4", "ResNet-Nano")]
    upper, lower = accuracy_against_size(rows(models=every), pairs=across).axes
    assert len(upper.get_legend().get_texts()) == 4 and len(lower.get_legend().get_texts()) == 2
    assert len(accuracy_against_size(rows(models={"ViT-Nano/4": small})).axes) == 1
    figure = accuracy_against_size(rows(models={"ViT-Nano/4": small, "ViT-Micro/4": large}))
    assert len(figure.axes) == 1 and len(figure.axes[0].get_legend().get_texts()) == 2


def test_crowded_ticks_keep_their_marks_and_lose_labels(rows) -> None:
    table = rows().replace({"train_size": {5000: 9500}})
    lower = accuracy_against_size(table).axes[1]
    assert ticks(lower) == ["500", "1,000", "2,000", "", "10,000"]
    assert list(lower.get_xticks()) == [500, 1000, 2000, 9500, 10_000]


def test_nothing_to_draw_is_said(rows) -> None:
    with pytest.raises(ValueError, match="no finished runs"):
        accuracy_against_size(rows().iloc[:0])
    with pytest.raises(ValueError, match="no column accuracy"):
        accuracy_against_size(rows(), value="accuracy")


def test_same_rows_give_the_same_bytes(rows, tmp_path) -> None:
    first, second = (accuracy_against_size(rows(seeds=2)) for _ in range(2))
    assert render(first, "svg") == render(second, "svg")
    assert render(first, "png") == render(second, "png")
    png, svg = save(first, tmp_path / "figure")
    assert png.read_bytes()[:4] == b"\x89PNG" and b"<svg" in svg.read_bytes() and b"<dc:date>" not in svg.read_bytes()


def test_lines_for_any_study(rows) -> None:
    table = rows().rename(columns={"train_size": "shots"})
    figure = lines(
        table,
        x="shots",
        y="test_best",
        xlabel="images per class",
        ylabel="accuracy (%)",
        title="Few-shot",
        references={"chance": 0.1},
        unit=["seed"],
        log_x=True,
    )
    (axes,) = figure.axes
    assert axes.get_xlabel() == "images per class" and figure.get_suptitle() == "Few-shot"
    assert [text.get_text() for text in axes.get_legend().get_texts()][-1] == "chance"
    assert axes.get_ylim()[0] < 10
    render(figure, "svg")


def test_families_keep_their_colours_and_sizes_their_dashes() -> None:
    styles = series_styles(["ViT-Nano/4", "ViT-Micro/4", "ResNet-Nano", "other", "another"])
    assert styles["ViT-Nano/4"].colour == styles["ViT-Micro/4"].colour == FAMILY_COLOURS["ViT"]
    assert styles["ViT-Nano/4"].dash != styles["ViT-Micro/4"].dash
    assert len({style.colour for style in styles.values()}) == 4


def test_bars_waterfall_scatter_heatmap() -> None:
    speeds = pd.DataFrame(
        {"loop": ["ours", "ours", "theirs", "theirs"], "precision": "bf16", "v": [478.0, 480, 251, 250]}
    )
    figure = bars(speeds, category="loop", value="v", series="precision", xlabel="images/s", title="Throughput")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ours", "theirs"]
    assert [patch.get_width() for patch in figure.axes[0].patches] == [479, 250.5]
    steps = [
        ("plain", bootstrap_mean([0.6, 0.61])),
        ("+ flip", bootstrap_mean([0.7, 0.71])),
        ("one", Interval(0.69, np.nan, np.nan, 1)),
    ]
    falls = waterfall(steps, xlabel="accuracy (%)", title="Steps", reference=("slides", 0.7136))
    shown = [text.get_text() for text in falls.axes[0].texts]
    assert shown == ["60.5", "70.5  (+10.0)", "69.0  (-1.5)"]
    heads = pd.DataFrame({"layer": [1, 1, 2, 2], "px": [2.0, 4, 6, 8], "model": "ViT-Micro/4"})
    dots = scatter(
        heads,
        x="layer",
        y="px",
        series="model",
        xlabel="layer",
        ylabel="px",
        title="Distance",
        mean_line=True,
        integer_x=True,
    )
    assert list(dots.axes[0].lines[0].get_ydata()) == [3, 7]
    square = heatmap(
        [[1, -2], [0, -0.01]],
        rows="ab",
        columns="cd",
        xlabel="x",
        ylabel="y",
        colour_label="points",
        title="t",
        centre=0,
    )
    assert [text.get_text() for text in square.axes[0].texts] == ["1.0", "-2.0", "0.0", "0.0"]
    assert square.axes[1].get_ylabel() == "points"
    with pytest.raises(ValueError, match="2 row and 3 column"):
        heatmap([[1, 2]], rows="ab", columns="cde", xlabel="", ylabel="", colour_label="", title="")
    for made in (figure, falls, dots, square):
        render(made, "png")


def test_grids_of_images_and_maps() -> None:
    image = np.random.default_rng(0).integers(0, 255, (12, 8, 3), dtype=np.uint8)
    figure = image_grid(
        [[image, None], [image, image]], title="Images", columns=["a", "b"], rows=["r", "s"], captions=[["x", "y"]]
    )
    assert (
        figure.axes[0].get_title() == "a" and figure.axes[2].get_ylabel() == "s" and figure.axes[1].get_xlabel() == "y"
    )
    with pytest.raises(ValueError, match="uint8, not float64"):
        image_grid([[image / 255]], title="")
    with pytest.raises(ValueError, match="no images"):
        image_grid([], title="")
    maps = map_grid(
        np.random.default_rng(0).normal(size=(2, 3, 4, 4)), title="Maps", colour_label="cosine", diverging=True
    )
    assert maps.axes[-1].get_ylabel() == "cosine"
    each = map_grid(np.ones((1, 2, 3, 5)), title="Maps", colour_label="attention", each=True)
    with pytest.raises(ValueError, match="shape"):
        map_grid(np.ones((2, 2)), title="", colour_label="")
    for made in (figure, maps, each):
        render(made, "png")


def test_overlay_is_strongest_where_the_map_is() -> None:
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    heat = np.zeros((4, 6))
    heat[1, 4] = 1.0
    bright = overlay(image, heat)
    assert bright.shape == image.shape and bright.dtype == np.uint8
    difference = np.abs(bright.astype(int) - 90).sum(axis=-1)
    peak = np.unravel_index(mask_by(image, heat)[..., 0].argmax(), (40, 60))
    assert 10 <= peak[0] < 20 and 40 <= peak[1] < 50
    assert difference[15, 45] > 2 * difference[35, 5]


def test_resizing_and_scaling_in_closed_form() -> None:
    assert resized(np.full((2, 3), 0.7), 9, 7) == pytest.approx(np.full((9, 7), 0.7))
    ramp = resized(np.arange(4.0)[None].repeat(4, 0), 8, 8)
    assert ramp[0] == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    assert to_uint8([[0.0, 0.5], [1.0, 0.25]]).tolist() == [[0, 128], [255, 64]]
    assert to_uint8([[3.0, 3.0]]).tolist() == [[0, 0]]
