"""Settings from strangers (run.json, provenance.json, --config): a Run or a study's settings, or a ValueError."""

import dataclasses
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.data_scaling import DataScaling
from vitlab.runs.run import Data, Run, build, from_settings
from vitlab.study.command_line import plain
from vitlab.tasks.settings import TASKS, Classify, FewShot, MaskedPatch, Recipe

KINDS = (Data, Recipe, Classify, MaskedPatch, FewShot, DataScaling)


def _names(kind: type) -> Iterator[str]:
    return (field.name for field in dataclasses.fields(kind))


NAMES = st.sampled_from(sorted({name for kind in (*KINDS, Run) for name in _names(kind)})) | st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*TASKS, "ViT-Pico/4"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
RUNS = st.fixed_dictionaries(
    {"model": VALUES, "data": st.dictionaries(NAMES, VALUES, max_size=3)},
    optional={name: VALUES for name in ("recipe", "task", "init", "options", "seed", "snapshots")},
)


def only_value_errors(found: object, kind: type, run: dict[str, object]) -> None:
    for make in (lambda: build(kind, found), lambda: from_settings(run)):
        try:
            make()
        except ValueError as error:
            assert str(error) and len(str(error)) < 2000


@settings(max_examples=100)
@given(found=VALUES, kind=st.sampled_from(KINDS), run=RUNS)
def test_random_settings_give_value_errors(found, kind, run):
    only_value_errors(found, kind, run)


@pytest.mark.fault
@settings(max_examples=1000)
@given(found=VALUES, kind=st.sampled_from(KINDS), run=RUNS)
def test_many_random_settings(found, kind, run):
    only_value_errors(found, kind, run)


def test_a_value_of_another_type_is_named():
    with pytest.raises(ValueError, match="Setting steps of Recipe: 'many' is not a whole number"):
        build(Recipe, {"steps": "many"})
    with pytest.raises(ValueError, match="Settings of Recipe: a list of 0 is not"):
        build(Recipe, [])
    with pytest.raises(ValueError, match="measure of DataScaling: 'tset' is not one of test, few_shot"):
        build(DataScaling, {"measure": "tset"})


def test_steps_by_size_come_back_from_json():
    kept = DataScaling("cifar10", train_sizes=(500,), steps_by_size={500: 3000, 49_000: 24_000})
    assert build(DataScaling, json.loads(json.dumps(plain(kept)))) == kept
