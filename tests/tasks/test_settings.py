"""Settings as people meet them: what --help says of each, and what a wrong word is answered."""

import dataclasses
import re

import pytest

from experiments.data_scaling import PRESETS
from vitlab.runs.run import build, from_settings
from vitlab.study.command_line import parse
from vitlab.tasks.settings import Classify, FewShot, Inspect, MaskedPatch, NearestNeighbours, Recipe, choices


def test_help_says_what_each_setting_of_a_recipe_is_and_which_words_it_takes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse("experiments.data_scaling", "", PRESETS, ["--help"])
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    for setting in dataclasses.fields(Recipe):
        said = re.search(rf"--{setting.name}\b (.*?)\(default", text) or re.search(rf"--{setting.name}, (.*?)\(", text)
        assert said and len(said[1].split()) >= 4, setting.name
    for words in choices(Recipe).values():
        assert "{" + ",".join(words) + "}" in text


@pytest.mark.parametrize(
    ("kind", "found", "message"),
    [
        (Recipe, {"optimizer": "adamm"}, "Unknown optimizer 'adamm'; allowed: adamw, adam, sgd. Did you mean 'adam"),
        (Recipe, {"schedule": "cos"}, "allowed: cosine, linear, constant"),
        (Recipe, {"precision": "fp16"}, "allowed: fp32, bf16. Did you mean"),
        (Recipe, {"decay": "kernel"}, "Unknown decay 'kernel'; allowed: matrices, kernels. Did you mean 'kernels'"),
        (Recipe, {"decay": None}, "Unknown decay None"),
        (Classify, {"loss": "sigmod"}, "allowed: softmax, sigmoid. Did you mean 'sigmoid'"),
        (Classify, {"positions": "interpolated"}, "Did you mean 'interpolate'"),
        (MaskedPatch, {"target": "pixel"}, "Did you mean 'pixels'"),
    ],
)
def test_a_wrong_word_from_json_is_answered_with_the_right_ones(kind, found, message):
    with pytest.raises(ValueError, match=message):
        build(kind, found)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 0.0), ("lr", -0.1), ("lr", float("nan")), ("epochs", 0.0), ("steps", 0), ("weight_decay", -1e-9),
     ("warmup_steps", -1), ("grad_clip", -1.0)],
)  # fmt: skip
def test_a_number_that_trains_nothing_or_the_wrong_way_is_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} is .*give"):
        Recipe(**{setting: value})


def test_a_stored_run_with_a_wrong_word_is_refused_when_it_is_read():
    with pytest.raises(ValueError, match="Unknown loss 'hinge'"):
        from_settings({"model": "m", "data": {"name": "d"}, "task": {"kind": "classify", "loss": "hinge"}})


@pytest.mark.parametrize(
    "made", [lambda: FewShot(shots=()), lambda: FewShot(draws=0), lambda: NearestNeighbours(k=0), lambda: Inspect(0)]
)
def test_a_probe_of_nothing_is_refused(made):
    with pytest.raises(ValueError, match="from 1 on"):
        made()


@pytest.mark.parametrize("made", [lambda: FewShot(l2=(0.0,)), lambda: Classify(label_smoothing=1.0)])
def test_shares_and_regularisers_out_of_range_are_refused_before_anything_runs(made):
    with pytest.raises(ValueError, match="regularisers above 0|from 0 to below 1"):
        made()
