"""The masked-patch study: its plan, what it makes of rows, and what it writes when `quick` is made smaller."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from experiments.masked_patch import (
    CLAIMS,
    LABELS,
    LONG,
    MAIN,
    MASKED,
    PRESETS,
    PROBE,
    SCRATCH,
    STUDY,
    SUPERVISED,
    draw,
    plan,
    starts,
)
from tests.data.conftest import write_folder
from vitlab.report.evidence import Evidence
from vitlab.runs.rows import flat
from vitlab.runs.stored import drawable, read_rows
from vitlab.study.command_line import parse
from vitlab.study.study import main
from vitlab.tasks.settings import Classify, MaskedPatch

QUICK = PRESETS["quick"]
SMALL = """--seeds 1 --label_shares 0.05 1.0 --rates 3e-3 --pretrain.steps 20 --pretrain.evaluations 4
    --steps 4 --evaluations 2 --ablations target steps --wandb off""".split()


def study(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(STUDY, [str(word) for word in words])
    return end.value.code


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    assert study(*SMALL, "--results", folder / "results", "--runs", folder / "runs") == 0
    return folder


def test_the_study_writes_rows_tables_figures_and_pictures(done):
    folder = done / "results" / "masked_patch" / "digits"
    pictures = {f"pictures_{target}.png" for target in ("mean_color", "downsized", "pixels")}
    names = {path.name for path in folder.iterdir()}
    assert {"rows.csv.gz", "evidence.json", "evidence.md", "figure.png", "provenance.json"} | pictures <= names
    accuracy, by_way = Evidence.loads((folder / "evidence.json").read_text()).tables
    assert list(accuracy.frame.index[:4]) == list(MAIN)
    assert list(accuracy.frame.index[4:]) == [f"{one} − {two}" for one, two in list(CLAIMS.values())[:3]]
    assert {MASKED, "target mean_color", "target pixels", "steps / 10", SUPERVISED, "untrained"} <= set(
        by_way.frame.index
    )
    text = (folder / "evidence.md").read_text()
    assert "with 29 labels" in text and "nan" not in text


def test_rows_hold_settings_and_results_alone(done):
    rows = read_rows(done / "results" / "masked_patch" / "digits")
    assert not rows.columns.isin(("arm", "label_share", "ratio", "target", "pretrain_steps")).any()
    tuned = rows[rows["recipe.batch_size"].eq(32) & rows["task.kind"].eq("classify") & rows["init"].isna()]
    assert set(tuned["steps"]) == {4, 4 + 20 * 64 // 32}


def test_redraw_needs_no_run_and_keeps_the_pictures(done):
    folder = done / "results" / "masked_patch" / "digits"
    before = {name: (folder / name).read_bytes() for name in ("evidence.md", "figure.png", "pictures_pixels.png")}
    (folder / "evidence.md").unlink()
    assert study("--redraw", "--results", done / "results", "--runs", done / "none") == 0
    assert {name: (folder / name).read_bytes() for name in before} == before


def arm_of(run) -> str:
    if run.init is None:
        return SCRATCH if run.recipe.steps == QUICK.recipe.steps else LONG
    return MASKED if isinstance(run.init.task, MaskedPatch) else SUPERVISED


def test_every_arm_gets_the_same_trials_subsets_and_steps():
    runs = [run for run in dict.fromkeys(plan(replace(QUICK, ablations=()))) if isinstance(run.task, Classify)]
    trials = Counter((arm_of(run), run.data.train_size) for run in runs)
    assert set(trials) == {(arm, size) for arm in (SCRATCH, LONG, MASKED, SUPERVISED) for size in (29, None)}
    assert set(trials.values()) == {3 * len(QUICK.rates)}
    assert all(run.seed == run.data.subset_seed and (run.init is None or run.init.seed == run.seed) for run in runs)
    before = {arm_of(run): run.init.recipe for run in runs if run.init}
    assert replace(before[MASKED], lr=1) == replace(before[SUPERVISED], lr=1), "as many steps and images for (c)"


def test_both_kinds_of_pretraining_try_as_many_rates():
    every = {link for run in plan(QUICK) for link in run.chain() if link.seed == 0}
    own = starts(QUICK)[MASKED].task
    masked = {run.recipe.lr for run in every if run.task == own and run.recipe.steps == QUICK.pretrain.steps}
    supervised = {run.recipe.lr for run in every if run.data.classes == (0, 1, 2, 4, 6)}
    assert len(masked) == len(supervised) == 1 + len(QUICK.rate_factors)


def test_ablations_change_one_thing_and_share_what_the_study_did():
    found = {run.init for run in plan(replace(QUICK, seeds=1)) if run.init and isinstance(run.init.task, MaskedPatch)}
    tasks = Counter((run.task.ratio, run.task.target, run.task.mask) for run in found)
    half = (0.5, "mean_color", 0.8)
    assert tasks[half] == 6 and sum(tasks.values()) == len(found) == 11
    assert {run.recipe.steps for run in found} == {40, 100, 200, 400}
    assert {run.recipe.lr for run in found} == {7.5e-4, 3e-3, 1.2e-2}
    assert set(tasks) - {half} == {
        (0.15, "mean_color", 0.8),
        (0.75, "mean_color", 0.8),
        (0.5, "downsized", 0.8),
        (0.5, "pixels", 0.8),
        (0.75, "pixels", 1.0),
    }
    assert {run.data.train_size for run in plan(QUICK) if run.init and run.init.task != half} >= {29}


def made_rows(**gaps: float) -> pd.DataFrame:
    """Five seeds of every run of the plan, by formula; `gaps` are added to the accuracy of an arm or way."""
    scores = {SCRATCH: 0.5, LONG: 0.52, MASKED: 0.5 + gaps.get("b", 0.0), SUPERVISED: 0.5 + gaps.get("c", 0.0)}
    known = {run: name for name, run in starts(QUICK).items()}
    found = []
    for run in dict.fromkeys(link for one in plan(replace(QUICK, seeds=5, ablation_seeds=5)) for link in one.chain()):
        rate = run.recipe.lr / (3e-3 if run.init or run.recipe.batch_size == 32 else QUICK.pretrain.lr)
        score = 0.4 - 0.1 * (rate != 1)
        labels = run.data.train_size or 575
        if isinstance(run.task, Classify) and run.recipe.batch_size == 32:
            way = known.get(replace(run.init, data=type(run.data)(""), seed=0), "") if run.init else ""
            score = scores[arm_of(run)] + gaps.get(way, 0.0) + 0.003 * run.seed - 0.1 * (rate != 1) + labels / 1e4
        about = {"run": run.id, "status": "finished", **flat(run), "classes": 5, "title": run.data.name, LABELS: labels}
        probed = {"shots": 5, "draw": 0} if run.task == PROBE else {}
        for split in ("test",) if run.task == PROBE else ("validation", "test"):
            worse = 0.3 if split == "test" and rate != 1 else 0.0  # the test split must have no say in the rate
            found.append(about | probed | {"split": split, "score": score + worse, "images": 10_000})
    return pd.DataFrame(found)


def verdicts(rows: pd.DataFrame) -> dict:
    return {(found.claim.id, found.about[LABELS]): found for found in draw(drawable(rows), QUICK).verdicts}


def test_claims_are_judged_by_seed_at_each_number_of_labels():
    found = verdicts(made_rows(b=0.05, c=0.02, **{"ratio 0.15": -0.03, "steps / 10": -0.04, "target pixels": 0.02}))
    arms = {(f"ssl.{name}", labels) for name in ("scratch", "equal_steps", "supervised") for labels in (29, 575)}
    assert set(found) == arms | {(f"ssl.{name}", 29) for name in ("target", "downsized", "ratio", "short")}
    assert not any(verdict.failed for verdict in found.values())
    means = {key: round(verdict.interval.mean, 6) for key, verdict in found.items()}
    assert [means["ssl.scratch", n] for n in (29, 575)] == [0.05] * 2
    assert means["ssl.equal_steps", 29] == 0.03 and means["ssl.supervised", 575] == -0.03
    assert means["ssl.ratio", 29] == 0.03 and means["ssl.short", 29] == 0.04 and means["ssl.target", 29] == -0.02
    assert all(verdict.interval.n == 5 for verdict in found.values())


def test_rates_that_were_not_searched_are_no_test():
    rows = made_rows(b=0.05)
    trials = rows["task.kind"].eq("masked_patch") & rows["recipe.lr"].ne(QUICK.pretrain.lr)
    found = verdicts(rows[~trials])
    assert "only learning rate" in found["ssl.scratch", 29].failed[0]
    better = rows.assign(score=rows["score"].mask(trials, 0.9))
    assert "0.00075 was better on validation" in verdicts(better)["ssl.scratch", 29].failed[0]
    edge = rows[~(rows["task.kind"].eq("classify") & rows["recipe.lr"].eq(1e-2))]
    assert any("at the edge" in words for words in verdicts(edge)["ssl.scratch", 29].failed)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_parses(preset):
    settings, _ = parse("experiments.masked_patch", "", PRESETS, ["--preset", preset, "--seeds", "1"])
    assert settings == replace(PRESETS[preset], seeds=1)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--label_shares", "0.001"], "one image a class"),
        (["--label_shares", "1.5"], "1.5"),
        (["--ablations", "ratios"], "ratio"),
        (["--pretrain.epochs", "3"], "steps"),
        (["--models", "ResNet-Pico"], "ResNet"),
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
    rows = made_rows()
    found = draw(drawable(rows[rows["task.kind"] == "masked_patch"]), QUICK)
    assert found.answer == "No fine-tuning has finished yet." and not found.tables and json.loads(found.dumps())


@pytest.mark.parametrize(
    ("data", "upstream"), [("digits", "digits"), ("digits@3,5", "digits"), ("digits@3,5", "digits@5,6")]
)
def test_labels_of_the_same_classes_are_no_other_set(data, upstream):
    with pytest.raises(ValueError, match=f"--upstream {upstream} has classes of --data {data}"):
        plan(replace(QUICK, data=data, upstream=upstream))


def test_a_copy_of_the_images_is_no_other_set_whatever_it_is_called(tmp_path):
    images = write_folder(tmp_path / "animals")
    copy = shutil.copytree(images, tmp_path / "zoo")
    with pytest.raises(ValueError, match="zoo has classes of --data"):
        plan(replace(QUICK, data=str(images), label_shares=(1.0,), upstream=str(copy)))


def test_other_images_of_one_name_are_refused_as_such(tmp_path, capsys):
    images, others = write_folder(tmp_path / "animals"), write_folder(tmp_path / "other" / "animals", seed=100)
    sets = ("--data", images, "--unlabelled", images, "--upstream", others, "--label_shares", 1.0)
    assert study(*sets, "--dry_run", "--results", tmp_path / "results", "--runs", tmp_path / "runs") == 2
    said = capsys.readouterr().err
    assert "both called animals" in said and "rename one folder" in said and "has classes of" not in said
