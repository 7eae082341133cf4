"""Fronts: chosen by validation, level where nothing dearer was better."""

import numpy as np
import pandas as pd
import pytest

from vitlab.claims.fronts import fronts, lead, less_cost, ratio_sampling, still_gains

AXES = {"by": "family", "cost": "flops"}


def trained(scores: dict[str, list[float]], seeds: int = 4) -> pd.DataFrame:
    """Rows of both splits of each family at costs 1, 2, 4, ...; a seed shifts all scores alike."""
    found = []
    for family, values in scores.items():
        for seed in range(seeds):
            for i, score in enumerate(values):
                run = {"family": family, "model": f"{family}-{i}", "seed": seed, "flops": 2.0**i, "title": "Digits"}
                run |= {"classes": 10, "images": 10_000, "score": score + 0.01 * (seed - (seeds - 1) / 2)}
                found += [{**run, "split": split} for split in ("validation", "test")]
    return pd.DataFrame(found)


@pytest.mark.parametrize("dearer", [[], [0.70, 0.69], [0.5, 0.3]])
def test_what_was_spent_in_vain_counts_against_a_front_that_still_gains(above, dearer):
    found = fronts(trained({"ViT": [0.5, 0.6, 0.7, *dearer]}), **AXES)
    verdict = still_gains(above, found, "ViT", **AXES)
    odds = np.log(0.7 / 0.3) - np.log(0.6 / 0.4)
    assert found["ViT"]["flops"].max() == 4 and not verdict.failed
    assert verdict.interval.mean == pytest.approx(odds if not dearer else 0.0, abs=0.01)
    assert verdict.interval.low < verdict.interval.mean, "an interval is never of width zero"


def test_a_lead_rests_on_the_points_around_its_budget(above):
    rows = trained({"ViT": [0.11, 0.3, 0.5, 0.6], "ResNet": [0.55, 0.65]})
    rows.loc[rows["family"] == "ResNet", "flops"] *= 5
    found = fronts(rows, **AXES)
    verdict = lead(above, found, "ResNet", "ViT", **AXES)
    assert verdict.about["few"] == "5" and verdict.failed == (), "the ViT is at chance at a budget of 1 alone"
    assert verdict.interval.mean == pytest.approx(0.55 - (0.5 + 0.1 * np.log2(5 / 4)))
    late = trained({"ViT": [0.09, 0.10, 0.11, 0.12], "ResNet": [0.55, 0.65]})
    late.loc[late["family"] == "ResNet", "flops"] *= 5
    (failed,) = lead(above, fronts(late, **AXES), "ResNet", "ViT", **AXES).failed
    assert failed == "ViT is 1.5 points above chance (11.5% of 10 classes), not 5"


def test_a_front_of_less_than_a_doubling_says_so(above):
    rows = trained({"ViT": [0.5, 0.6]})
    found = fronts(rows.assign(flops=rows["flops"] ** 0.5), **AXES)
    assert still_gains(above, found, "ViT", **AXES).failed == ("the front of ViT spans less than a doubling",)


def test_seeds_that_agree_know_a_ratio_no_better_than_the_test_split_does(above):
    rows = trained({"ViT": [0.5, 0.6, 0.7, 0.8], "ResNet": [0.4, 0.5, 0.6, 0.7]})
    verdict = less_cost(above, fronts(rows, **AXES), "ViT", "ResNet", **AXES)
    assert verdict.interval.mean == pytest.approx(1.0, abs=0.01)
    error = ratio_sampling(fronts(rows, **AXES), "ResNet", "ViT", cost="flops")
    assert 0 < error < 0.2 and verdict.interval.high - verdict.interval.low > 2 * error / np.sqrt(4)
