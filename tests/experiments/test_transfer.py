"""The transfer study: its presets, its plan, what it makes of rows, and `quick` made smaller from end to end."""

from dataclasses import replace

import pandas as pd
import pytest

from experiments.transfer import INTERPOLATE, PRESETS, SIZE, STUDY, draw, plan, worth
from tests.data.conftest import write_folder
from vitlab.data.cards import group_of
from vitlab.runs.stored import drawable, read_rows
from vitlab.study.command_line import parse
from vitlab.study.study import main
from vitlab.tasks.settings import LinearProbe

LOCAL = ("tiny_imagenet", "tiny_imagenet_cpu", "weights_cpu")  # these need paths of local copies to be planned


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_parses_to_itself_and_can_be_planned(name):
    settings, how = parse("experiments.transfer", "", PRESETS, ["--preset", name])
    assert settings == PRESETS[name] and how.preset == name
    if name in LOCAL:
        settings = replace(settings, data="digits", downstream=("cifar10", "eurosat"))
    runs = plan(settings)
    assert len(set(runs)) == len(runs) and {run.data.train_size for run in runs} == {settings.finetune_size}
    assert {run.recipe.lr for run in runs if not isinstance(run.task, LinearProbe)} == set(settings.rates)


def conditions(settings, model):
    runs = plan(replace(settings, models=(model,), seeds=1, rates=(0.1,)))
    return [(run.data.name, run.data.image_size, type(run.task).__name__, run.task.positions) for run in runs]


def test_higher_resolutions_have_a_control_where_there_are_positions():
    settings = replace(PRESETS["quick"], resolutions=(1.0, 1.5, 2.0), downstream=("digits",), resolution_sets=())
    assert conditions(settings, "ViT-Pico/2") == [
        ("digits", 8, "Classify", "interpolate"),
        *[("digits", size, "Classify", kind) for size in (12, 16) for kind in ("interpolate", "fresh")],
        *[("digits", 8, "LinearProbe", kind) for kind in ("interpolate", "zero")],
    ]
    assert conditions(settings, "ResNet-Pico") == [("digits", size, "Classify", "interpolate") for size in (8, 12, 16)]
    other = replace(settings, downstream=("digits@3,5,8",), resolution_sets=("digits@3,5,8",))
    assert conditions(other, "ViT-Pico/2"), "a set is named as --downstream names it, too"
    with pytest.raises(ValueError, match="--resolution_sets has pets; the downstream sets are digits"):
        plan(replace(settings, resolution_sets=("pets",)))


def test_sets_of_a_preset_that_other_ones_take_the_place_of_are_not_asked_for(tmp_path):
    own = str(write_folder(tmp_path / "own"))
    settings = replace(PRESETS["quick"], downstream=(own,), seeds=1, models=("ViT",), rates=(0.1,), finetune_size=18)
    sizes = {run.data.image_size for run in plan(settings)}
    assert sizes == {8, 12} and {run.data.name for run in plan(settings)} == {"own"}
    both = plan(replace(settings, downstream=("digits@3,5,8", own)))
    assert {run.data.name for run in both if run.data.image_size == 12} == {"digits@3,5,8"}


def test_lower_resolutions_are_refused_since_the_lowest_counts_as_that_of_pre_training():
    with pytest.raises(ValueError, match=r"--resolutions has 0\.5; give multiples from 1 on"):
        replace(PRESETS["quick"], resolutions=(0.5, 1.0, 2.0))


def test_groups_are_those_of_the_cards():
    assert [group_of(name) for name in ("digits@3,5", "eurosat_64", "cifar10", "my_photos")] == [
        *("natural", "specialized", "natural", "other")
    ]


def made_rows(worth_of_positions: float = 0.1, gain: float = 0.05, fresh: float = 0.04) -> pd.DataFrame:
    """Five seeds of a ViT and a CNN: fine-tuned at 8 and 12 px at three rates, and the probes of positions."""
    found = []
    usual = {"status": "finished", "data.name": "d", "title": "d", "images": 10_000, "classes": 10, "init": "a"}
    for seed in range(5):
        noise = 0.002 * seed
        kinds = {"ViT-Pico/2": ("interpolate", "fresh"), "ResNet-Pico": ("interpolate",)}
        for model, positions in kinds.items():
            about = usual | {"model": model, "seed": seed}
            at = [(8, "interpolate", 0.6), *((12, kind, 0.6 + gain - fresh * (kind == "fresh")) for kind in positions)]
            for size, kind, score in at:
                for lr, worse in ((0.01, 0.1), (0.1, 0.0), (1.0, 0.1)):
                    for split in ("validation", "test"):
                        row = about | {
                            "split": split,
                            "score": score - worse + noise * (1 + size / 12),
                            "recipe.lr": lr,
                        }
                        run = f"{model}{seed}{size}{kind}{lr}"
                        found.append(
                            row | {"task.kind": "classify", "task.positions": kind, "image_size": size, "run": run}
                        )
        for kind, score in (("interpolate", 0.5), ("zero", 0.5 - worth_of_positions)):
            about = usual | {
                "model": "ViT-Pico/2",
                "seed": seed,
                "split": "test",
                "image_size": 8,
                "run": f"p{seed}{kind}",
            }
            found.append(
                about | {"task.kind": "linear_probe", "task.positions": kind, "score": score, "recipe.lr": 1e-3}
            )
    return pd.DataFrame(found)


def verdicts(rows: pd.DataFrame) -> dict:
    found = draw(drawable(rows), PRESETS["quick"]).verdicts
    return {(verdict.claim.id, verdict.about["first"].partition("/")[0][:6]): verdict for verdict in found}


def test_resolution_and_interpolation_are_judged_by_seed_at_the_rate_of_validation():
    found = verdicts(made_rows())
    assert set(found) == {(SIZE.id, "ViT-Pi"), (SIZE.id, "ResNet"), (INTERPOLATE.id, "ViT-Pi")}
    for verdict in found.values():
        assert not verdict.failed and verdict.data == "d" and verdict.interval.n == 5
    assert found[SIZE.id, "ViT-Pi"].interval.mean == pytest.approx(0.05 + 0.004 * 4 / 12)
    assert found[INTERPOLATE.id, "ViT-Pi"].interval.mean == pytest.approx(0.04)
    assert found[SIZE.id, "ViT-Pi"].subject == "ViT-Pico/2 at 12 px against ViT-Pico/2 at 8 px"


def test_positions_that_are_worth_nothing_cannot_test_interpolation():
    (failed,) = verdicts(made_rows(worth_of_positions=0.01))[INTERPOLATE.id, "ViT-Pi"].failed
    assert failed == "positions of ViT-Pico/2 are worth 1.0 points, not 2"
    rows = made_rows()
    (failed,) = verdicts(rows[rows["task.kind"] == "classify"])[INTERPOLATE.id, "ViT-Pi"].failed
    assert failed == "what positions are worth was not measured"
    assert worth(rows) == {("ViT-Pico/2", "d"): []}


def test_quick_made_smaller_gives_table_and_pictures(tmp_path, capsys):
    words = """--models ViT ResNet --seeds 2 --rates 0.01 --finetune_size 40 --steps 30 --finetune.steps 8
        --finetune.evaluations 1""".split()
    places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path / "results"), "--wandb", "off", "--jobs", "2"]
    with pytest.raises(SystemExit) as ended:
        main(STUDY, [*words, *places])
    assert ended.value.code == 0
    folder = tmp_path / "results" / "transfer" / "digits"
    rows = read_rows(folder)
    tuned = rows[rows["init"].notna() & (rows["task.kind"] == "classify")]
    assert set(tuned["image_size"]) == {8, 12} and set(tuned["task.positions"]) == {"interpolate", "fresh"}
    assert set(tuned["train_images"]) == {40}
    probes = rows[rows["task.kind"] == "linear_probe"].query("split == 'test'")
    assert set(probes["task.positions"]) == {"interpolate", "zero"} and len(probes) == 4
    means = probes.groupby("task.positions")["score"].mean()
    assert means["interpolate"] != means["zero"], "zeros in place of positions must change the features"
    assert {p.name for p in folder.glob("*.png")} == {"figure.png", "vtab.png"}
    text = (folder / "evidence.md").read_text()
    assert "ViT-Pico/2, fresh positions" in text and "mean of the sets" in text
    assert "at the edge of those tried" in text and "nan" not in text
