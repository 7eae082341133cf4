"""The identity of a run: what changes it, what does not, and that it never changes by itself."""

from dataclasses import replace

import pytest

from vitlab.runs.rows import flat, run_of
from vitlab.runs.run import Data, Run, from_settings, settings
from vitlab.tasks.settings import Classify, FewShot, MaskedPatch, Recipe

BASE = Run("ViT-Pico/2", Data("digits", "abc", train_size=100))


def test_pinned_identities():
    """Results in stores everywhere hang on these: a default that changes, or a renamed setting, shows here."""
    chained = Run("ViT-Pico/2", Data("digits", "abc"), task=FewShot(), init=BASE)
    assert (BASE.id, replace(BASE, task=MaskedPatch()).id, chained.id) == PINNED


PINNED = ("c0664e9b7d8d", "f08b6d06b853", "58d6820ce312")


def test_pinned_identities_of_shuffled_data():
    shuffled = [replace(BASE, data=replace(BASE.data, shuffle=side, shuffle_seed=seed)) for side, seed in SHUFFLES]
    assert tuple(run.id for run in shuffled) == PINNED_SHUFFLED


SHUFFLES = ((None, 0), (1, 0), (2, 0), (2, 1))
PINNED_SHUFFLED = ("c0664e9b7d8d", "e2dadd4acd6e", "ca6cba49e52e", "cc2121575232")


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, seed=1),
        replace(BASE, model="ViT-Pico/4"),
        replace(BASE, recipe=Recipe(lr=2e-3)),
        replace(BASE, data=replace(BASE.data, subset_seed=1)),
        replace(BASE, data=replace(BASE.data, fingerprint="other")),
        replace(BASE, task=Classify(loss="sigmoid")),
        replace(BASE, init=BASE),
        replace(BASE, options=(("dropout", 0.1),)),
    ],
)
def test_what_determines_the_numbers_is_in_the_identity(other):
    assert other.id != BASE.id


def test_where_the_images_are_is_not_in_the_identity():
    moved = replace(BASE, data=replace(BASE.data, source="/elsewhere/digits"))
    assert moved.id == BASE.id and moved == BASE


def test_a_default_that_is_written_out_changes_nothing():
    assert replace(BASE, recipe=Recipe(lr=1e-3), task=Classify(loss="softmax")).id == BASE.id


def test_a_whole_number_is_one_value_however_it_is_written():
    whole, point = (replace(BASE, recipe=Recipe(epochs=n, weight_decay=w)) for n, w in ((90, 0), (90.0, 0.0)))
    assert whole == point and whole.id == point.id
    assert run_of({"run": whole.id, **flat(whole)}) == whole
    shots = [replace(BASE, task=FewShot(l2=l2)) for l2 in ((1024,), (1024.0,))]
    assert shots[0].id == shots[1].id


def test_settings_give_the_same_run_again():
    run = Run(
        "ViT-Pico/2",
        Data("digits", classes=(5, 6)),
        recipe=Recipe(epochs=2.5, augment=("crop", "flip")),
        task=FewShot(shots=(1, 5), l2=(1.0, 2.0)),
        init=replace(BASE, task=MaskedPatch(target="pixels")),
        options=(("pool", "gap"),),
    )
    assert from_settings(settings(run)) == run and from_settings(settings(run)).id == run.id


def test_an_unknown_setting_is_named():
    with pytest.raises(ValueError, match="'stepz'.*'steps'"):
        from_settings({"model": "ViT-Pico/2", "data": {"name": "digits"}, "recipe": {"stepz": 3}})


def test_a_chain_is_in_the_order_of_execution():
    second = replace(BASE, init=BASE, seed=1)
    third = replace(BASE, init=second, seed=2)
    assert [run.seed for run in third.chain()] == [0, 1, 2]


@pytest.mark.parametrize(("steps", "epochs", "size"), [(7, None, 50), (400, None, 50), (1, None, 5), (9, 3.0, 100)])
def test_rounds_come_close_to_the_budget(steps, epochs, size):
    recipe = Recipe(steps=steps, epochs=epochs, batch_size=32, evaluations=4)
    rounds, each = recipe.rounds(size)
    budget = steps if epochs is None else epochs * size / 32
    assert 1 <= rounds <= 4 and abs(rounds * each - budget) <= rounds / 2 + 1
