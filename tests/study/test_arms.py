"""Arms at their own rates: only seeds that have every rate of their arm count, and rows keep the order of the arms."""

import pandas as pd
import pytest

from vitlab.runs.rows import flat
from vitlab.study.arms import ARM, Ablation, at_own_rate, rate_table
from vitlab.study.plan import RATE

ARMS = {"b": {}, "a": {"options.pooling": "gap"}}
SETTINGS = Ablation(seeds=2, rates=(0.1, 0.2))


def rows_of(*scores: tuple[str, int, float, float]) -> pd.DataFrame:
    """Rows of both splits from (arm, seed, rate, validation score)."""
    keys = ("model", ARM, "seed", RATE)
    found = [
        {**dict(zip(keys, ("m", *row[:3]), strict=True)), "split": split, "score": row[3], "images": 100}
        for row in scores
        for split in ("validation", "test")
    ]
    return pd.DataFrame(found)


def test_every_arm_has_every_rate_with_every_seed():
    runs = SETTINGS.trainings(ARMS, {"options.depth": (1, 2)})
    assert len({run.id for run in runs}) == 2 * 2 * 2 * 2
    assert [run.seed for run in runs] == [0] * 8 + [1] * 8
    (one,) = Ablation(seeds=1, learning_rates={"ViT": 0.5}).trainings({"b": {}})
    assert one.recipe.lr == 0.5 and one.options == ()


def test_rows_are_named_whatever_their_rate_and_model_and_come_in_the_order_of_the_arms():
    runs = SETTINGS.trainings(ARMS)
    rows = pd.DataFrame([flat(run) for run in reversed(runs)])
    named = SETTINGS.named(rows.assign(model="another"), ARMS)
    assert named[ARM].tolist() == ["b"] * 4 + ["a"] * 4
    assert named[named[ARM] == "a"]["options.pooling"].eq("gap").all()
    assert SETTINGS.named(rows.assign(**{"recipe.steps": 7}), ARMS).empty


def test_a_seed_without_all_rates_plays_no_part():
    rows = rows_of(("a", 0, 0.1, 0.5), ("a", 0, 0.2, 0.6), ("a", 1, 0.1, 0.9), ("b", 0, 0.1, 0.4))
    own = at_own_rate(rows).query("split == 'test'").set_index(ARM)
    assert own[RATE].to_dict() == {"a": 0.2, "b": 0.1} and own["seed"].tolist() == [0, 0]
    frame = rate_table("rates", rows).frame
    assert frame["own rate"].tolist() == [0.2, 0.1]
    assert frame["at its own rate"].map(lambda cell: cell.mean).tolist() == pytest.approx([0.6, 0.4])
    assert frame["rate 0.1"].map(lambda cell: cell.n).tolist() == [2, 1]


def test_an_arm_without_a_complete_seed_has_no_rate_of_its_own():
    frame = rate_table("rates", rows_of(("a", 0, 0.1, 0.5), ("a", 1, 0.2, 0.6))).frame
    assert frame["own rate"].tolist() == ["–"] and frame["at its own rate"].iloc[0].n == 0
