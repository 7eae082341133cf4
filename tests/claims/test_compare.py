"""Every verdict on two arms against closed forms, where all seeds agree: then the test split's own error is all that
their intervals are made of, and a verdict that forgot it would decide anything.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from vitlab.claims.compare import closing, compare, gains, last_gain, losses, per_doubling
from vitlab.claims.fronts import fronts, lead, still_gains

SEEDS, IMAGES, X = 4, 400, "data.train_size"
SIZES = [100, 200, 800, 3200]
SCORES = pd.DataFrame({"A": [0.45, 0.55, 0.62, 0.71], "B": [0.36, 0.40, 0.58, 0.75]}, index=SIZES)
LOST = pd.DataFrame({"A": [0.71, 0.66], "B": [0.75, 0.41]}, index=[0, 4])
VALUES = {"points": lambda p: p, "odds": lambda p: np.log(p / (1 - p))}
SQUARED_ERRORS = {"points": lambda p: p * (1 - p) / IMAGES, "odds": lambda p: 1 / (IMAGES * p * (1 - p))}
SLOPE = np.polyfit(np.log2(SIZES), np.eye(len(SIZES)), 1)[0]  # what each size counts in the least-squares slope


def rows_of(scores: pd.DataFrame, by: str) -> pd.DataFrame:
    """Rows of both splits: each model at each value of `by`, the same in every seed."""
    about = {"title": "Digits", "classes": 10, "images": IMAGES, "train_images": 3200}
    return pd.DataFrame(
        {"model": model, "seed": seed, by: at, "score": scores.loc[at, model], "split": split, **about}
        for model in scores
        for at in scores.index
        for seed in range(SEEDS)
        for split in ("validation", "test")
    )


def table() -> pd.DataFrame:
    return rows_of(SCORES, X).query("split == 'test'")


def check(interval, kind: str, weights: pd.DataFrame, scores: pd.DataFrame = SCORES) -> None:
    """The interval is of the sum of weighted scores (or their log-odds), each with its own binomial error."""
    mean = float((weights * VALUES[kind](scores)).to_numpy().sum())
    error = math.sqrt((weights**2 * SQUARED_ERRORS[kind](scores)).to_numpy().sum())
    assert (interval.mean, interval.n) == (pytest.approx(mean, abs=1e-9), SEEDS)
    half = stats.t.ppf(0.975, SEEDS - 1) * error / math.sqrt(SEEDS)
    assert interval.high - interval.mean == pytest.approx(half, rel=1e-6), kind


def weighted(a, b, index=SIZES) -> pd.DataFrame:
    return pd.DataFrame({"A": a, "B": b}, index=index, dtype=float)


def test_a_lead_at_one_size(above) -> None:
    verdict = compare(above, table(), "A", "B", at={X: 800})
    at = weighted([0, 0, 1, 0], [0, 0, -1, 0])
    check(verdict.interval, "points", at)
    check(verdict.odds, "odds", at)
    assert not verdict.failed and verdict.about == {X: 800, "first": "A", "second": "B"}


@pytest.mark.parametrize(
    ("how", "kind", "weights"),
    [(closing, "odds", SLOPE), (last_gain, "odds", [0, 0, -1, 1]), (gains, "points", [-1, 0, 0, 1])],
)
def test_a_trend_of_the_lead(how, kind, weights, above) -> None:
    verdict = how(above, table(), "A", "B", x=X)
    check(verdict.interval, kind, weighted(weights, -np.array(weights)))
    if kind == "points":
        check(verdict.odds, "odds", weighted(weights, -np.array(weights)))
    assert not verdict.failed and (verdict.about["few"], verdict.about["many"]) == (100, 3200)


@pytest.mark.parametrize("second", ["B", None])
def test_what_a_doubling_gains(second, above) -> None:
    verdict = per_doubling(above, table(), "A", second, x=X)
    for kind, interval in (("points", verdict.interval), ("odds", verdict.odds)):
        check(interval, kind, weighted(SLOPE, -SLOPE if second else 0 * SLOPE))
    only = table().query(f"model == 'A' or `{X}` == 100")
    assert per_doubling(above, only, "A", "B", x=X) is None, "B has one size"


@pytest.mark.parametrize("second", ["B", None])
def test_what_is_lost_under_a_change(second, above) -> None:
    rows = rows_of(LOST, "data.shuffle").query("split == 'test'")
    verdict = losses(above, rows, "A", second, by="data.shuffle", before=0, after=4)
    weights = weighted([1, -1], [-1, 1] if second else [0, 0], index=[0, 4])
    check(verdict.interval, "points", weights, LOST)
    if second:
        check(verdict.odds, "odds", weights, LOST)
    assert losses(above, rows, "A", "B", by="data.shuffle", before=0, after=1) is None


def test_one_point_at_chance_cannot_hide_among_others(above) -> None:
    """The mean over both train sizes is far above chance; a model at chance loses nothing and gains all."""
    sizes = [
        rows_of(scores, "data.shuffle").assign(train_images=n) for n, scores in ((50, LOST * 0 + 0.11), (800, LOST))
    ]
    rows = pd.concat(sizes).query("split == 'test'")
    verdict = losses(above, rows, "A", by="data.shuffle", before=0, after=4)
    reason = "A is 1.0 points above chance (11.0% of 10 classes), not 5 (train images: 50)"
    assert verdict.failed == (reason,)
    alone = losses(above, rows[rows["train_images"] == 50], "A", by="data.shuffle", before=0, after=4)
    assert alone.failed == (reason.removesuffix(" (train images: 50)"),)
    grown = rows_of(pd.DataFrame({"A": [0.11, 0.7, 0.8]}, index=SIZES[:3]), X).query("split == 'test'")
    assert per_doubling(above, grown, "A", x=X).failed == (f"{reason.partition(' (train')[0]} (data.train size: 100)",)


@pytest.mark.parametrize("vanishes", [False, True])
def test_a_lead_at_the_ends_of_two_fronts(vanishes, above) -> None:
    axes = {"by": "family", "cost": "flops"}
    rows = rows_of(SCORES, X).assign(flops=lambda rows: 3.0 * rows[X], family=lambda rows: rows["model"])
    found = fronts(rows, **axes)
    verdict = lead(above, found, "A", "B", vanishes=vanishes, **axes)
    ends = np.array([1, 0, 0, -1 if vanishes else 0])
    for kind, interval in (("points", verdict.interval), ("odds", verdict.odds)):
        check(interval, kind, weighted(ends, -ends))
    assert (verdict.about["few"], verdict.about["many"]) == ("300", "9,600")
    assert lead(above, found, "A", "C", **axes) is None
    apart = found | {"B": found["B"].assign(flops=32 * found["B"]["flops"])}
    assert lead(above, apart, "A", "B", **axes) is None, "B begins where A ends"


def test_what_the_last_doubling_of_a_front_gains(above) -> None:
    """The smaller end of the doubling lies half way between two points; its error is taken as large as the last's."""
    axes = {"by": "model", "cost": "flops"}
    rows = rows_of(SCORES, X).assign(flops=lambda rows: rows[X])
    verdict = still_gains(above, fronts(rows, **axes), "A", **axes)
    odds, last = np.log(SCORES["A"] / (1 - SCORES["A"])), SCORES["A"].iloc[-1]
    assert verdict.interval.mean == pytest.approx((odds[3200] - odds[800]) / 2)
    error = math.sqrt(2 / (IMAGES * last * (1 - last)))
    assert verdict.interval.high - verdict.interval.mean == pytest.approx(stats.t.ppf(0.975, 3) * error / 2)
