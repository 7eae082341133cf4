"""The rates of the recipes are those that the stored trials chose on the validation split, with as many a family."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.peak_rates import TRIALS, UNTUNED, Trials, rate_doubts
from vitlab.report.families import called
from vitlab.runs.stored import drawable, read_rows

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize("trials", TRIALS, ids=lambda trials: trials.evidence[0])
def test_rates_are_those_that_the_trials_chose(trials: Trials) -> None:
    rows = pd.concat([drawable(read_rows(RESULTS / folder)) for folder in trials.evidence])
    seen = rows[rows["split"] == "validation"]
    whose = {model: next(name for name in called(model) if name in trials.chosen) for model in seen["model"].unique()}
    seen = seen.assign(whose=seen["model"].map(whose))
    assert set(seen["data.name"]) <= set(trials.data) and seen["steps"].max() == trials.longest
    assert len({len(tried) for tried in trials.tried.values()}) == 1, "every family has as many trials"
    for name, chosen in trials.chosen.items():
        own = seen[seen["whose"] == name]
        left_behind = set(own["recipe.lr"]) - set(trials.tried[name])  # by a grid that was moved from its edge
        assert left_behind == ({1e-2} if name == "ViT-Micro" else set())
        assert set(own["recipe.lr"]) - left_behind == set(trials.tried[name])
        by_size = own.groupby(["recipe.lr", "train_images"])["score"].mean()
        assert by_size.groupby("recipe.lr").mean().idxmax() == chosen
        inside = min(trials.tried[name]) < chosen < max(trials.tried[name])
        assert inside == (trials.doubt(own["model"].iloc[0], chosen) == "")


def test_a_size_with_trials_of_its_own_is_judged_by_them_and_not_by_its_familys() -> None:
    def doubts(model: str, rate: float) -> list[str]:
        return rate_doubts(pd.DataFrame({"data.name": ["eurosat_64"], "model": [model], "recipe.lr": [rate]}))

    assert doubts("ViT-Nano/4", 0.001) == doubts("ViT-Pico/4", 0.003) == []
    assert doubts("ViT-Nano/4", 0.003) == [
        "the rate of ViT-Nano/4, 0.003, is not 0.001, the best of those that were tried"
    ]
    assert doubts("ViT-Pico/4", 0.001) != []


@pytest.mark.parametrize(("name", "lengths"), [("eurosat", [2500, 8000, 24_000]), ("cifar10", [600, 3200, 6000])])
def test_a_rate_counts_for_trainings_up_to_three_doublings_longer_than_its_trials(
    name: str, lengths: list[int]
) -> None:
    rate, tried = (0.003, 2500) if name == "eurosat" else (0.001, 600)
    rows = pd.DataFrame({"data.name": name, "model": "ViT-Pico/4", "recipe.lr": rate, "steps": lengths})
    assert rate_doubts(rows[rows["steps"] < lengths[-1]]) == []
    (words,) = rate_doubts(rows)
    short = f"was tried for {tried:,} steps at most, not for {lengths[-1]:,}"
    assert words.endswith(short if name == "eurosat" else "is not 0.003, the best of those that were tried")


def test_a_rate_that_trials_rejected_is_no_tuned_one() -> None:
    def doubts(rates: dict[str, float], tried: int | None = None) -> list[str]:
        rows = pd.DataFrame({"data.name": "cifar10", "model": list(rates), "recipe.lr": list(rates.values())})
        return rate_doubts(rows if tried is None else rows.assign(tried=tried))

    assert doubts({"ViT-Pico/4": 0.001, "ResNet-Pico": 0.01}) == []  # the best of 800 steps
    assert doubts({"ViT-Pico/4": 0.003, "ResNet-Pico": 0.03}) == []  # ... and of thousands
    # The longer trials lack it, and in the others it was not the best.
    assert doubts(UNTUNED) == ["the rate of ResNet, 0.001, is none of those that were tried"]
    assert doubts({"ResNet-Pico": 0.003}) == [
        "the rate of ResNet-Pico, 0.003, is not 0.03, the best of those that were tried"
    ]
    assert doubts({"ResNet-Pico": 0.003}, tried=4) == [], "the rows chose it themselves"
    assert doubts({"ResNet-Pico": 0.003}, tried=1) != []
