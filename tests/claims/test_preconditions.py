import numpy as np
import pandas as pd
import pytest

from vitlab.claims.compare import closing, gains, last_gain, preconditions
from vitlab.claims.preconditions import at_edge, cut_short, near_floor, not_best, true_untrained


def test_near_chance_and_near_untrained_weights() -> None:
    rows = pd.DataFrame({"model": ["ViT", "ViT", "ResNet"], "score": [0.013, 0.015, 0.2], "classes": 200})
    assert near_floor(rows) == ["ViT is 0.9 points above chance (1.4% of 200 classes), not 5"]
    untrained = pd.DataFrame({"model": ["ResNet"], "score": [0.18], "classes": 200})
    assert near_floor(rows[2:], untrained) == ["ResNet is 2.0 points above its untrained weights, not 5"]
    assert near_floor(rows[2:], untrained.assign(score=0.1)) == []
    assert near_floor(rows[2:], untrained.assign(model="MLP")) == []
    sets = rows[2:].assign(**{"data.name": "digits"})
    both = pd.concat([sets, sets.assign(score=0.01, **{"data.name": "pets"})])
    assert near_floor(both) == ["ResNet on pets is 0.5 points above chance (1.0% of 200 classes), not 5"]


def test_below_untrained_weights_is_said_so() -> None:
    rows = pd.DataFrame({"model": ["ResNet"], "score": [0.6], "classes": 3})
    assert near_floor(rows, rows.assign(score=0.7)) == [
        "ResNet is 10.0 points below its untrained weights, not 5 above"
    ]


def test_only_a_rate_that_is_at_the_edge_is() -> None:
    rows = pd.DataFrame({"model": ["ViT", "ResNet", "MLP"], "score": 0.5, "classes": 10, "recipe.lr": 0.01})
    trained_beside_fine_tunings = rows.assign(at_edge=[float("nan"), False, True])
    assert preconditions(trained_beside_fine_tunings) == ["the rate of MLP, 0.01, is at the edge of those tried"]


def test_runs_that_were_cut_short() -> None:
    rows = pd.DataFrame({"model": "ViT", "best_step": [800, 800, 700], "steps": 800, "late_gain": [0.02, 0.01, 0.03]})
    expected = "ViT was cut short: the best evaluation is the last in 2 of 3 runs"
    assert cut_short(rows) == [f"{expected}, 1.5 points gained over the last fifth"]
    assert cut_short(rows.drop(columns="late_gain")) == [expected]
    assert cut_short(rows.assign(late_gain=0.004)) == [], "had stopped gaining"
    assert cut_short(rows.assign(best_step=[800, 700, 700])) == [], "one in three ends on its best by chance"
    assert cut_short(rows.assign(best_step=np.nan)) == [] and cut_short(rows[["model"]]) == []


def test_a_rate_at_the_edge_of_its_grid() -> None:
    rates = [0.001, 0.0003, 0.003]
    assert at_edge(rates, 0.001, who="ViT") == []
    assert at_edge(rates, 0.003, who="ViT") == [
        "ViT: the learning rate 0.003 is the largest of 3 tried (0.0003 to 0.003)"
    ]
    assert "smallest" in at_edge(rates, 0.0003, who="ViT")[0]
    assert at_edge([0.1], 0.1, who="ViT") == ["ViT: 0.1 is the only learning rate that was tried"]
    with pytest.raises(ValueError, match="0.5 of ViT is not among those tried: 0.0003, 0.001, 0.003"):
        at_edge(rates, 0.5, who="ViT")


def test_a_rate_that_its_own_trials_reject_is_not_the_best() -> None:
    """Seed 1 has the rate that counts alone, and its score says nothing about the others."""
    scores = {(0, 0.001): 0.5, (0, 0.003): 0.7, (0, 0.01): 0.6, (1, 0.01): 0.99}
    trials = pd.DataFrame([(*key, score) for key, score in scores.items()], columns=["seed", "recipe.lr", "score"])
    assert not_best(trials, 0.003, who="ViT") == []
    assert not_best(trials, 0.01, who="ViT") == [
        "ViT: the learning rate 0.01 counts, and 0.003 was better on validation"
    ]
    rising = trials[trials["recipe.lr"] < 0.01]
    assert not_best(rising, 0.003, who="ViT") == [
        "ViT: the learning rate 0.003 is the largest of 2 tried (0.001 to 0.003)"
    ]
    none = ["ViT: no trials of its learning rate, 0.1, beside others"]
    assert not_best(trials, 0.1, who="ViT") == none and not_best(trials[:0], 0.1, who="ViT") == none


def test_what_untrained_weights_show_too_is_no_finding(above) -> None:
    assert true_untrained(above, {0: 0.0, 1: 0.01, 2: -0.01}) == []
    words = true_untrained(above, {0: 0.1, 1: 0.11, 2: 0.09})
    assert words == ["it holds for untrained weights too: +10.0 [+7.5, +12.5] points, n = 3"]


@pytest.mark.parametrize("how", [closing, last_gain, gains])
def test_two_seeds_claim_no_trend(how, above, scaling) -> None:
    rows = scaling.assign(title="Digits", score=scaling["score"] / 2 + 0.3)  # far from chance at every size
    two, three = (how(above, rows[rows["seed"] < seeds], "ResNet", "ViT", x="train_images") for seeds in (2, 3))
    assert two.failed == ("a trend takes 3 seeds, not 2",) and two.outcome == "cannot be tested here"
    assert not three.failed and three.outcome != "cannot be tested here"


def test_a_point_of_a_curve_that_was_cut_short_counts_where_it_takes_part(above, scaling) -> None:
    rows = scaling.assign(title="Digits", score=scaling["score"] / 2 + 0.3, steps=100, best_step=50, late_gain=0.02)
    sizes = sorted(set(rows["train_images"]))
    at = (rows["train_images"] == sizes[-2]) & (rows["model"] == "ViT")
    short = rows.assign(best_step=rows["best_step"].where(~at, 100))
    slope, last, ends = (how(above, short, "ResNet", "ViT", x="train_images") for how in (closing, last_gain, gains))
    assert slope.failed == last.failed and "ViT was cut short" in slope.failed[0]
    assert f"(train images: {sizes[-2]:,})" in slope.failed[0] and not ends.failed
    first = (rows["train_images"] == sizes[0]) & (rows["model"] == "ViT")
    early = rows.assign(best_step=rows["best_step"].where(~first, 100))
    assert last_gain(above, early, "ResNet", "ViT", x="train_images").failed == ()
    (both,) = closing(above, early.assign(best_step=100), "ResNet", "ViT", x="train_images").failed[:1]
    assert "and 5 more of its points" in both


def test_sizes_that_span_less_than_a_quadrupling_have_no_last_gain(above, scaling) -> None:
    rows = scaling.assign(title="Digits", score=scaling["score"] / 2 + 0.3)
    rows["train_images"] = rows["train_images"].rank(method="dense") + 10
    verdict = last_gain(above, rows, "ResNet", "ViT", x="train_images")
    assert verdict.failed[0] == "train images span less than a quadrupling"


@pytest.mark.parametrize("how", [closing, last_gain])
def test_a_trend_is_of_the_sizes_that_both_have(how, above, scaling) -> None:
    rows = scaling.assign(title="Digits", score=scaling["score"] / 2 + 0.3)
    sizes = sorted(set(rows["train_images"]))
    only = rows[(rows["model"] == "ResNet") | (rows["train_images"] == sizes[0])]
    assert how(above, only, "ResNet", "ViT", x="train_images") is None
    some = rows[(rows["model"] == "ResNet") | (rows["train_images"] < sizes[-1])]
    assert how(above, some, "ResNet", "ViT", x="train_images").about["many"] == sizes[-2]
