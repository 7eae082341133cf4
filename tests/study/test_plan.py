"""A plan is a grid, and of several rates the one with the best validation score counts."""

import pandas as pd
import pytest

from vitlab.runs.run import Data, Run
from vitlab.study.plan import RATE, SEED, best_rate, changed, grid
from vitlab.study.settings import Sized

BASE = Run("ViT-Pico/2", Data("digits"))


def test_a_grid_goes_seed_by_seed_and_has_every_combination_once():
    runs = grid(
        [BASE, changed(BASE, {"model": "ResNet-Pico"})], {SEED: range(2), RATE: (0.1, 0.2), "options.depth": (3,)}
    )
    assert len({run.id for run in runs}) == len(runs) == 8
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4
    assert all(run.data.subset_seed == run.seed and run.options == (("depth", 3),) for run in runs)
    assert [run.model for run in runs[:2]] == ["ViT-Pico/2", "ResNet-Pico"]


def test_a_default_in_a_grid_is_the_same_run_as_without_it():
    assert grid(BASE, {RATE: (BASE.recipe.lr,), "options.depth": (None,)}) == [BASE]


@pytest.mark.parametrize(("name", "said"), [("recipe.rl", "'lr'"), ("sed", "'seed'"), ("data.size", "Data")])
def test_a_setting_that_there_is_not_is_named(name, said):
    with pytest.raises(ValueError, match=said):
        grid(BASE, {name: (1,)})


def trials(**scores: list[float]) -> pd.DataFrame:
    """Validation rows of two seeds at each rate, and test rows that say the opposite."""
    found = []
    for model, values in scores.items():
        for i, score in enumerate(values):
            for seed in (0, 1):
                row = {"model": model, "seed": seed, RATE: 10.0**i}
                found.append({**row, "split": "validation", "score": score + 0.01 * seed})
                found.append({**row, "split": "test", "score": 1 - score})
    return pd.DataFrame(found)


def test_the_best_rate_is_chosen_by_validation_alone_and_an_edge_is_known():
    best = best_rate(trials(a=[0.1, 0.3, 0.2], b=[0.4, 0.3, 0.2]), ["model"])
    assert best.groupby("model")[RATE].first().to_dict() == {"a": 10.0, "b": 1.0}
    assert best.groupby("model")["at_edge"].first().to_dict() == {"a": False, "b": True}
    assert set(best["split"]) == {"validation", "test"} and (best["tried"] == 3).all() and len(best) == 8


def test_ties_go_to_the_smaller_rate_and_one_rate_is_no_search():
    assert set(best_rate(trials(a=[0.2, 0.2]), ["model"])[RATE]) == {1.0}
    assert best_rate(trials(a=[0.2]), ["model"])["at_edge"].all()


def test_a_seed_that_was_stopped_and_a_rate_that_diverges_choose_nothing():
    rows = trials(a=[0.40, 0.45, 0.41])
    stopped = rows[(rows["seed"] == 0) | (rows[RATE] == 1.0)]
    stopped = stopped.assign(score=stopped["score"].where(stopped["seed"] == 0, 0.9))
    assert set(best_rate(stopped, ["model"])[RATE]) == {10.0}, "seed 1 was stopped after its first rate"
    again = [trials(a=[0.80, 0.85]).assign(seed=lambda rows, by=by: rows["seed"] + by) for by in (0, 2)]
    survivors = pd.concat(again).query(f"`{RATE}` == 1 or seed == 0")
    best = best_rate(survivors, ["model"])
    assert set(best[RATE]) == {1.0} and set(best["tried"]) == {2} and best["seed"].nunique() == 4


def test_a_rate_that_diverges_in_every_seed_was_tried_and_others_are_compared_on_the_seeds_of_all():
    rows = trials(a=[0.2, 0.3, 0.1])
    gone = rows[(rows[RATE] == 100.0) & (rows["split"] == "test")].assign(split=None, score=float("nan"))
    best = best_rate(pd.concat([rows[rows[RATE] < 100.0], gone]), ["model"])
    assert set(best[RATE]) == {10.0} and set(best["tried"]) == {3} and not best["at_edge"].any()
    all_have = trials(a=[0.70, 0.72]).assign(seed=lambda rows: rows["seed"] + 2)
    parts = trials(a=[0.9, 0.1]).query(f"(`{RATE}` == 1) == (seed == 0)")
    assert set(best_rate(pd.concat([parts, all_have]), ["model"])[RATE]) == {10.0}, "seeds 0 and 1 have one rate each"


def test_train_sizes_are_those_of_the_classes_that_are_used():
    assert Sized("digits@0,1", train_sizes=(2, 200)).checked_sizes() == (2, 200)
    with pytest.raises(ValueError, match="300"):  # of 360 images in all splits
        Sized("digits@0,1", train_sizes=(300,)).checked_sizes()
    with pytest.raises(ValueError, match="'Resnet'.*Did you mean 'ResNet'.*HybridViT"):
        Sized("digits", learning_rates={"Resnet": 0.1})
