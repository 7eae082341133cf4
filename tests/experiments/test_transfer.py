"""The transfer study: its presets, its plan, what it makes of rows, and `quick` made smaller from end to end."""

from dataclasses import replace

import pandas as pd
import pytest

from experiments.data_scaling import model_names
from experiments.transfer import PRESETS, STUDY, conditions, group_of, plan, resolution_curves
from vitlab.study.command_line import parse
from vitlab.study.study import main

LOCAL = ("tiny_imagenet", "tiny_imagenet_cpu")  # these two need paths of local copies to be planned


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_parses_to_itself_and_can_be_planned(name):
    settings, how = parse("experiments.transfer", "", PRESETS, ["--preset", name])
    assert settings == PRESETS[name] and how.preset == name
    if name in LOCAL:
        settings = replace(settings, upstream="digits", downstream=("digits", "eurosat"))
    cells = sum(len(conditions(settings, model)) for model in model_names(settings))
    assert len({run.id for run in plan(settings)}) == cells * settings.seeds * len(settings.rates)


def test_higher_resolutions_have_a_control_where_there_are_positions():
    settings = replace(PRESETS["quick"], resolutions=(1.0, 1.5, 2.0), downstream=("digits",), resolution_sets=())
    assert conditions(settings, "ViT-Pico/2") == [
        ("digits", 8, "interpolate"),
        *[("digits", size, kind) for size in (12, 16) for kind in ("interpolate", "fresh")],
    ]
    assert conditions(settings, "ResNet-Pico") == [("digits", size, "interpolate") for size in (8, 12, 16)]
    with pytest.raises(ValueError, match="--resolution_sets has pets; the downstream sets are digits"):
        conditions(replace(settings, resolution_sets=("pets",)), "ViT-Pico/2")


def test_groups_are_those_of_the_cards():
    assert [group_of(name) for name in ("digits@3,5", "eurosat_64", "cifar10", "my_photos")] == [
        *("natural", "specialized", "natural", "other")
    ]


def test_the_point_at_the_size_of_pretraining_begins_both_curves():
    rows = pd.DataFrame(
        [
            {"data": "d", "model": "ViT", "image_size": 8, "positions": "interpolate", "test_best": 0.5},
            {"data": "d", "model": "ViT", "image_size": 12, "positions": "interpolate", "test_best": 0.6},
            {"data": "d", "model": "ViT", "image_size": 12, "positions": "fresh", "test_best": 0.4},
            {"data": "d", "model": "CNN", "image_size": 8, "positions": "interpolate", "test_best": 0.7},
            {"data": "d", "model": "CNN", "image_size": 12, "positions": "interpolate", "test_best": 0.8},
            {"data": "only one size", "model": "ViT", "image_size": 8, "positions": "interpolate", "test_best": 0.1},
        ]
    )
    curves = resolution_curves(rows).groupby("curve")["test_best"].apply(sorted).to_dict()
    assert curves == {"CNN": [0.7, 0.8], "ViT, interpolated": [0.5, 0.6], "ViT, re-drawn": [0.4, 0.5]}


def test_quick_made_smaller_gives_table_and_pictures(tmp_path, capsys):
    words = [
        "--models",
        "ViT",
        "ResNet",
        "--seeds",
        "2",
        "--rates",
        "0.01",
        "--train_size",
        "40",
        "--pretrain.steps",
        "30",
    ]
    places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--wandb", "off", "--jobs", "2"]
    with pytest.raises(SystemExit) as ended:
        main(STUDY, [*words, *places, "--finetune.steps", "8", "--finetune.evaluations", "1"])
    assert ended.value.code == 0
    folder = tmp_path / "results" / "transfer" / "digits"
    rows = pd.read_csv(folder / "rows.csv")
    tuned = rows[rows["init"].notna()]
    assert set(tuned["image_size"]) == {8, 12} and set(tuned["positions"]) == {"interpolate", "fresh"}
    assert set(tuned["upstream"]) == {"digits@0,1,2,4,6,7,9"} and set(tuned["train_size"]) == {40}
    assert {p.name for p in folder.glob("*.png")} == {"figure.png", "vtab.png"}
    table = (folder / "table.md").read_text()
    assert "ViT-Pico/2, re-drawn" in table and "mean of the group" in table
    said = capsys.readouterr().out
    assert "Mini-VTAB, mean of the sets" in said and "– points" not in said
