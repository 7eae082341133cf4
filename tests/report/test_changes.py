"""A change is what lies beyond the intervals; noise within them is none."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.interval import MISSING, Interval
from vitlab.report.changes import Change, beyond, changes
from vitlab.report.evidence import Evidence, Table

OLD = Interval(0.5, 0.45, 0.55, 3)
ALONE = Interval(0.5, math.nan, math.nan, 1)


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (OLD, False),
        (Interval(0.54, 0.5, 0.58, 3), False),
        (Interval(0.56, 0.4, 0.72, 3), True),
        (Interval(0.54, 0.53, 0.55, 3), True),
        (Interval(0.54, math.nan, math.nan, 1), False),
        (MISSING, True),  # it came, or went
    ],
)
def test_a_mean_has_changed_outside_of_either_interval(new: Interval, changed: bool) -> None:
    assert beyond(OLD, new) == beyond(new, OLD) == changed


def test_without_intervals_any_difference_counts() -> None:
    assert beyond(ALONE, replace(ALONE, mean=0.51)) and not beyond(ALONE, ALONE) and not beyond(MISSING, MISSING)
    assert beyond(ALONE, MISSING) and beyond(MISSING, ALONE)


def evidence(interval: Interval = OLD, outcome: str = "holds", cells: tuple = (OLD, 3, "a", math.nan)) -> Evidence:
    verdict = Verdict(Claim("data.few", "4.3", "the CNN is ahead"), "Digits", "ViT", {}, interval, 0.01, outcome)
    frame = pd.DataFrame([cells], index=pd.Index(["ViT"], name="model"), columns=["score", "n", "word", "none"])
    return Evidence((verdict,), (Table("accuracy", frame.astype(object)),))


def test_every_kind_of_change_is_named_with_both_readings() -> None:
    same = {"a/b": evidence(), "c/d": evidence()}
    assert list(changes(same, same)) == []
    far = Interval(0.7, 0.68, 0.72, 3)
    after = {"a/b": evidence(outcome="undecided", cells=(far, 4, "a", math.nan)), "e/f": evidence()}
    assert list(changes(same, after)) == [
        Change("a/b", "data.few, Digits, ViT", "holds, +50.0 [+45.0, +55.0]", "undecided, +50.0 [+45.0, +55.0]"),
        Change("a/b", "accuracy: ViT, score", "50.0 [45.0, 55.0]", "70.0 [68.0, 72.0]"),
        Change("a/b", "accuracy: ViT, n", "3", "4"),
        Change("c/d", "evidence", "there", "–"),
        Change("e/f", "evidence", "–", "there"),
    ]
    assert len(list(changes({"a/b": evidence()}, {"a/b": evidence(far)}))) == 1
