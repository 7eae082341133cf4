"""The masked-patch study: its plan, and what it writes when the quick preset is made smaller."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from experiments.masked_patch_evidence import ARMS, LONG, MASKED, SCRATCH, SUPERVISED, best_rates, judged

from experiments.masked_patch import PRESETS, STUDY, MaskedPatches, draw, labelled, plan
from vitlab.runs.run import Data
from vitlab.runs.stored import read_rows
from vitlab.study.command_line import parse
from vitlab.study.study import main
from vitlab.tasks.settings import MaskedPatch

SMALL = """--seeds 1 --label_shares 0.05 1.0 --rates 3e-3 --pretrain.steps 8 --pretrain.evaluations 4
    --supervise.steps 4 --finetune.steps 4 --finetune.evaluations 2 --ablations target steps --wandb off""".split()


def study(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(STUDY, [str(word) for word in words])
    return end.value.code


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    assert study(*SMALL, "--results", folder / "results", "--runs", folder / "runs") == 0
    return folder


def test_the_study_writes_rows_tables_figures_pictures_and_verdicts(done):
    folder = done / "results" / "masked_patch" / "digits"
    names = {path.name for path in folder.iterdir()}
    pictures = {f"pictures_{target}.png" for target in ("mean_color", "downsized", "pixels")}
    assert {"rows.csv", "table.md", "figure.png", "steps.png", "verdicts.md", "provenance.json"} | pictures <= names
    rows = read_rows(folder)
    tuned = rows[(rows["task"] == "classify") & rows["arm"].isin(ARMS)]
    at_all = tuned[tuned["label_share"] == 1.0]
    assert set(at_all["arm"]) == {SCRATCH, MASKED, SUPERVISED} and at_all["train_size"].nunique() == 1
    assert (tuned.loc[tuned["arm"] == LONG, "steps"] == 4 + 8 * 64 // 32).all()
    table = (folder / "table.md").read_text()
    assert "downsized" in table and f"{MASKED} − {SCRATCH}" in table and "nan" not in table


def test_the_fine_tunings_start_from_what_their_arm_says(done):
    rows = read_rows(done / "results" / "masked_patch" / "digits")
    task_of = rows.drop_duplicates("run").set_index("run")["task"]
    tuned = rows[(rows["task"] == "classify") & rows["arm"].isin(ARMS)]
    assert tuned.loc[tuned["arm"].isin([SCRATCH, LONG]), "init"].isna().all()
    assert (task_of[tuned.loc[tuned["arm"] == MASKED, "init"]] == "masked_patch").all()
    assert (task_of[tuned.loc[tuned["arm"] == SUPERVISED, "init"]] == "classify").all()


def test_redraw_needs_no_run_and_keeps_the_pictures(done):
    folder = done / "results" / "masked_patch" / "digits"
    before = {name: (folder / name).read_bytes() for name in ("table.md", "figure.png", "pictures_pixels.png")}
    (folder / "table.md").unlink()
    assert study("--redraw", "--results", done / "results", "--runs", done / "none") == 0
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_every_arm_gets_the_same_trials_and_subsets():
    runs = {run: place for run, place in plan(MaskedPatches()).items() if "label_share" in place}
    base = {run: place for run, place in runs.items() if place.get("ratio", 0.5) == 0.5}
    trials = Counter((place["arm"], place["label_share"]) for place in runs.values() if place["arm"] != MASKED)
    assert set(trials.values()) == {3 * 2} and {arm for arm, _ in trials} == {SCRATCH, LONG, SUPERVISED}
    assert all(run.seed == run.data.subset_seed for run in base)
    assert all(run.init is None or run.init.seed == run.seed for run in runs)


def test_ablations_change_one_thing_and_share_what_the_study_did():
    settings = replace(MaskedPatches(), ablation_seeds=1, seeds=1)
    starts = [run for run in plan(settings) if isinstance(run.task, MaskedPatch)]
    tasks = Counter((run.task.ratio, run.task.target, run.task.mask) for run in starts)
    half = (0.5, "mean_color", 0.8)
    assert tasks[half] == 5 and sum(tasks.values()) == len(starts) == 10
    assert {run.recipe.steps for run in starts} == {300, 600, 1200}
    assert {run.recipe.lr for run in starts} == {1.5e-3, 3e-3, 6e-3}
    assert set(tasks) - {half} == {
        (0.15, "mean_color", 0.8),
        (0.75, "mean_color", 0.8),
        (0.5, "downsized", 0.8),
        (0.5, "pixels", 0.8),
        (0.75, "pixels", 1.0),
    }


def made_rows(**gaps: float) -> pd.DataFrame:
    """Fine-tunings of three seeds at two numbers of labels; `gaps` are added to the accuracy of an arm."""
    found = []
    for arm, gap in {SCRATCH: 0.0, MASKED: gaps["b"], SUPERVISED: gaps["c"]}.items():
        for seed in range(3):
            for size in (50, 500):
                for lr, worse in ((1e-3, 0.0), (3e-3, 0.1)):
                    accuracy = 0.5 + gap + 0.01 * seed + size / 5000 - worse
                    names = {"target": None, "ratio": None, "masked_share": None}
                    names |= {"pretrain_rate": None, "pretrain_steps": None}
                    scores = {"validation_best": accuracy, "test_best": accuracy + (0.3 if worse else 0.0)}
                    found.append({"arm": arm, "seed": seed, "subset_seed": seed, "train_size": size, "lr": lr})
                    found[-1] |= {**names, **scores}
    return pd.DataFrame(found)


def test_the_rate_is_chosen_by_validation_and_the_claim_is_judged_by_seed():
    tuned = best_rates(made_rows(b=0.05, c=0.02))
    assert set(tuned["lr"]) == {1e-3}, "the test accuracy of the other rate is higher, and must not matter"
    verdicts = judged(tuned)
    assert [verdict.holds for verdict in verdicts["overall"]] == ["yes", "no"]
    assert len(verdicts["at each number of labels"]) == 4
    assert "+5.0" in verdicts["overall"][0].evidence and "-3.0" in verdicts["overall"][1].evidence


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_parses(preset):
    settings, _ = parse("experiments.masked_patch", "", PRESETS, ["--preset", preset, "--seeds", "1"])
    assert settings == replace(PRESETS[preset], seeds=1)


def test_shares_become_numbers_of_labels():
    data, sizes = labelled(MaskedPatches())
    assert data == Data("digits@3,5,7,8,9", data.fingerprint, classes=(3, 5, 7, 8, 9))
    assert sizes == {0.05: 29, 0.1: 57, 1.0: None}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--label_shares", "0.001"], "one image a class"),
        (["--label_shares", "1.5"], "1.5"),
        (["--ablations", "ratios"], "ratio"),
        (["--pretrain_rates", "0"], "above 0"),
        (["--pretrain.epochs", "3"], "steps"),
        (["--model", "ResNet-Pico"], "ResNet"),
        (["--masked.target", "color"], "mean_color"),
        (["--data", "digit"], "digits"),
    ],
)
def test_a_mistake_is_one_message_with_exit_code_2(words, named, tmp_path, capsys):
    places = ("--results", tmp_path / "results", "--runs", tmp_path / "runs", "--wandb", "off")
    assert study(*SMALL, *words, *places) == 2
    out, err = capsys.readouterr()
    assert named in out + err and "Traceback" not in out + err


def test_nothing_is_drawn_before_anything_is_done():
    rows = made_rows(b=0.0, c=0.0).assign(status="failed", task="classify")
    assert draw(rows, MaskedPatches()).answer
