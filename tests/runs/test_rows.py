"""Rows say all of their run: every setting is a column, and a row alone gives the Run back."""

import dataclasses

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.runs.rows import complete, defaults, flat, labelled, run_of, text_columns, with_init
from vitlab.runs.run import Data, Run
from vitlab.runs.stored import TEXT, to_csv
from vitlab.tasks.settings import Classify, FewShot, MaskedPatch, Recipe

BASE = Run("ViT-Pico/2", Data("digits", "abc", train_size=100, subset_seed=3), Recipe(lr=0.003), seed=3)

recipes = st.builds(
    Recipe,
    steps=st.integers(1, 9999),
    epochs=st.none() | st.floats(0.5, 90),
    lr=st.floats(1e-6, 1.0),
    augment=st.lists(st.sampled_from(["crop", "flip", "trivial"]), max_size=3).map(tuple),
    compile=st.booleans(),
)
tasks = st.one_of(
    st.builds(Classify, label_smoothing=st.floats(0, 0.5)),
    st.builds(MaskedPatch, ratio=st.floats(0.1, 0.9)),
    st.builds(FewShot, shots=st.lists(st.integers(1, 25), min_size=1, max_size=4).map(tuple)),
)
VALUES = {
    "pooling": st.sampled_from(["gap", "cls"]),
    "depth": st.integers(1, 9),
    "drop_path": st.floats(0.01, 0.9),
    "dropout": st.sampled_from([0, 0.0, 1.0, 0.1]),
    "class_token": st.booleans(),
    "layers": st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
}
# In any order, which is part of the identity and is searched for: of more than four that takes seconds.
options = st.lists(st.sampled_from(sorted(VALUES)), max_size=4, unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), VALUES[name]) for name in names))
)
data = st.builds(Data, st.just("digits"), st.just("00ff"), train_size=st.none() | st.integers(10, 999))
runs = st.builds(Run, st.just("ViT-Pico/2"), data, recipes, tasks, st.integers(0, 9), options=options)


@settings(max_examples=60)
@given(runs, st.none() | runs)
def test_a_row_gives_its_run_back_through_a_file(tmp_path_factory, run, init):
    run = dataclasses.replace(run, init=init)
    table = pd.DataFrame([{"run": link.id, **flat(link)} for link in run.chain()])
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    path.write_text(to_csv(table))
    kinds = dict.fromkeys(TEXT | text_columns(), "str")
    rows = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""]).to_dict("records")
    assert run_of(rows[-1], rows) == run and run_of(rows[-1], rows).id == run.id


def test_every_setting_is_a_column_and_tuples_are_words():
    found = flat(dataclasses.replace(BASE, recipe=Recipe(augment=("crop", "flip")), options=(("pooling", "gap"),)))
    recipe = {f"recipe.{f.name}" for f in dataclasses.fields(Recipe)}
    assert recipe <= set(found) and "data.source" not in found
    assert found["recipe.augment"] == "crop flip" and found["options.pooling"] == "gap"
    assert found["task.kind"] == "classify" and found["data.train_size"] == 100


def test_an_altered_row_is_refused():
    row = {"run": BASE.id, **flat(BASE)}
    with pytest.raises(ValueError, match="altered"):
        run_of(row | {"recipe.lr": 0.004})
    with pytest.raises(ValueError, match="classify"):
        run_of(row | {"task.kind": "clasify"})
    with pytest.raises(ValueError, match="recipe.steps"):
        run_of(row | {"recipe.steps": "many"})


def test_a_setting_that_is_newer_than_the_rows_is_at_its_default():
    rows = pd.DataFrame([flat(BASE), flat(dataclasses.replace(BASE, task=MaskedPatch()))])
    old = rows.drop(columns=["recipe.grad_clip", "task.target"])
    found = complete(old)
    assert (found["recipe.grad_clip"] == defaults()["recipe.grad_clip"]).all()
    assert found["task.target"].isna().tolist() == [True, False] and found["task.target"].iloc[1] == "mean_color"


def test_rows_carry_the_run_that_they_start_from():
    probe = dataclasses.replace(BASE, task=FewShot(), init=BASE)
    rows = pd.DataFrame([{"run": run.id, "split": "test", **flat(run)} for run in (BASE, probe)])
    found = with_init(rows).set_index("run")
    assert found.loc[probe.id, "init.recipe.lr"] == 0.003 and pd.isna(found.loc[BASE.id, "init.recipe.lr"])


def test_runs_are_known_by_their_settings_whatever_their_data_and_seed():
    other = dataclasses.replace(BASE, options=(("pooling", "gap"),))
    rows = pd.DataFrame([flat(dataclasses.replace(run, seed=seed)) for run in (BASE, other) for seed in (0, 1)])
    named = {"plain": dataclasses.replace(BASE, data=Data("")), "pooled": dataclasses.replace(other, data=Data(""))}
    assert labelled(rows, "arm", named)["arm"].tolist() == ["plain", "plain", "pooled", "pooled"]
    assert labelled(rows, "arm", {"pooled": other})["seed"].tolist() == [0, 1]
