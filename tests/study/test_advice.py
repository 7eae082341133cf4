"""The advice on rows whose answer is known by construction: closed-form curves of each arm, plus noise."""

import numpy as np
import pandas as pd
import pytest

from vitlab.claims.learning_curve import LearningCurve
from vitlab.report.evidence import Evidence
from vitlab.study.advice import advised, chosen, shared_size

VIT, CNN, TUNED = "ViT-Pico/4", "ResNet-Pico", "ViT-Pico/4 of pets, fine-tuned"
SIZES = (100, 200, 400, 800, 1600)
# The ViT's error is the ResNet's with a quarter of the images, so that it needs four times as many, at each accuracy.
CURVES = {CNN: LearningCurve(0.4 * 10, 0.5, 0.05), VIT: LearningCurve(0.4 * 20, 0.5, 0.05)}
FLOORS = {"majority class": 0.12, "nearest neighbour on pixels": 0.4}


def rows(curves=CURVES, *, sizes=SIZES, seeds=3, noise=0.002, every=1600, floors=FLOORS) -> pd.DataFrame:
    chance, found = np.random.default_rng(0), []
    for seed in range(seeds):
        for n in sizes:
            about = {"seed": seed, "train_images": n, "images": 10_000, "classes": 10, "data.name": "d", "init": None}
            ended = {"task.kind": "classify", "steps": 100, "best_step": 50, "late_gain": 0.0}
            for model, curve in curves.items():
                own = about | ended | {"model": model, "run": f"{model}{seed}{n}"}
                own |= {"init": "pets"} if "fine-tuned" in model else {}
                for split in ("validation", "test"):
                    found.append(own | {"split": split, "score": curve.accuracy(n) + noise * chance.normal()})
            for name, score in floors.items():
                floor = about | {"model": name, "split": "test", "score": score, "run": f"{seed}{n}"}
                found.append(floor | {"task.kind": "floors", "train_split": every})
    return pd.DataFrame(found)


def test_the_better_model_is_taken_with_what_more_images_bring() -> None:
    told = advised(rows())
    true = CURVES[CNN]
    said = told.summary
    assert said.startswith(f"With all 1,600 training images take {CNN}: {100 * true.accuracy(1600):.1f}% [")
    assert "may be as good" not in said and "majority class 12.0%, nearest neighbour on pixels 40.0%." in said
    assert f"Expect of {CNN} with twice as many (3,200) " in said and " and with ten times as many (16,000) " in said
    assert f"{VIT} needs 4 [" in said or f"{VIT} needs 3.9 [" in said or f"{VIT} needs 4.1 [" in said
    frame = told.tables[0].frame
    for name, curve in CURVES.items():
        for n in (3200, 16_000):
            cell = frame.loc[name, f"{n:,}"]
            assert cell.mean == pytest.approx(curve.accuracy(n), abs=0.01) and cell.low < curve.accuracy(n) < cell.high
        assert abs(frame.loc[name, "check (points)"]) < 0.01
    assert list(told.figures) == ["expected"] and len(told.figures["expected"].series) == 4


def test_all_images_are_expected_where_not_all_were_trained_on() -> None:
    told = advised(rows(every=3000))
    assert told.summary.startswith(f"With 1,600 of the 3,000 training images take {CNN}")
    assert "Expect of ResNet-Pico with all 3,000 images " in told.summary
    assert told.tables[0].frame.loc[CNN, "3,000"].mean == pytest.approx(CURVES[CNN].accuracy(3000), abs=0.01)


def test_a_tie_is_said_and_its_curve_used_where_the_best_has_none() -> None:
    straight = LearningCurve((1 - CURVES[CNN].accuracy(1600)) * 1600**0.7, 0.7, 0.0)
    told = advised(rows({CNN: CURVES[CNN], VIT: LearningCurve(straight.a * 0.99, 0.7, 0.0)}, noise=0.0))
    assert f"take {VIT}" in told.summary and f"{CNN} may be as good: it is not told apart from it." in told.summary
    assert f"bring {VIT} cannot be said: the error still falls" in told.summary and f"Expect of {CNN} " in told.summary
    assert told.tables[1].frame.index.tolist() == [VIT]


def test_with_few_seeds_nothing_is_said_of_trends() -> None:
    two, one = (advised(rows(seeds=seeds)).summary for seeds in (2, 1))
    assert "cannot be said: only 2 seeds, not 3" in two and "takes 3 seeds to say" in two
    assert "one seed tells no models apart" in one and "Expect" not in one + two
    assert advised(rows(seeds=2)).figures == {}


def test_a_model_that_is_not_ahead_of_pixels_is_said_so() -> None:
    behind, beside = (advised(rows(floors={"nearest neighbour on pixels": score})).summary for score in (0.95, 0.851))
    assert "The nearest neighbour on pixels is ahead of the model" in behind and "train longer" in behind
    assert "The nearest neighbour on pixels may be as good as the model" in beside
    assert "The nearest neighbour" not in advised(rows()).summary
    alone = advised(rows(seeds=1, floors={"nearest neighbour on pixels": 0.1})).summary
    assert "nearest neighbour on pixels 10.0%." in alone and "The nearest neighbour" not in alone, "one seed tells none"
    without = advised(rows(floors={})).summary
    assert "Without a model" not in without and without.startswith("With 1,600 training images"), "all are not known"


def test_pre_trained_weights_are_better_with_few_images_and_worse_with_many() -> None:
    said = advised(rows(CURVES | {TUNED: LearningCurve(0.5, 0.5, 0.25)})).summary
    assert f"are better with 100 images ({TUNED} against {CNN}: +" in said
    assert f"and worse with 1,600 images ({TUNED} against {CNN}: -" in said
    assert f"take {CNN}" in said
    alike = advised(rows({CNN: CURVES[CNN], TUNED: CURVES[CNN]}, noise=0.01)).summary
    assert "are not told apart with 100 images (" in alike
    assert "Pre-trained" not in advised(rows()).summary


def test_whether_the_vit_needs_more_is_not_decided_where_the_curves_are_one() -> None:
    said = advised(rows({CNN: CURVES[CNN], VIT: CURVES[CNN]}, noise=0.01)).summary
    assert f"Whether {VIT} needs more images than {CNN} is not decided (" in said


def test_a_small_factor_that_is_decided_reads_as_one() -> None:
    ahead = LearningCurve(CURVES[CNN].a * 0.98, CURVES[CNN].b, CURVES[CNN].c)
    told = advised(rows({CNN: ahead, VIT: CURVES[CNN]}, noise=0.0).assign(images=10**8))
    assert f"{VIT} needs 1.04 [1.04, 1.04] times as many images as {CNN}" in told.summary


def test_models_are_held_together_where_all_of_them_have_been() -> None:
    """The ViT alone has been trained on most images so far: that says nothing of the other."""
    table = rows()
    part = table[~((table["model"] == CNN) & (table["train_images"] == 1600))]
    assert shared_size(part[part["task.kind"] == "classify"]) == 800
    assert advised(part).summary.startswith(f"With 800 of the 1,600 training images take {CNN}")


def test_validation_chooses_and_test_is_reported() -> None:
    table = rows()
    of_vit = (table["model"] == VIT) & (table["split"] == "validation")
    table.loc[of_vit, "score"] += 0.2
    assert chosen(table[table["train_images"] == 1600]) == VIT
    assert f"take {VIT}: {100 * CURVES[VIT].accuracy(1600):.0f}" in advised(table).summary
    assert f"chosen on validation; {CNN} is ahead of it in test." in advised(table).summary
    assert "ahead of it in test" not in advised(rows()).summary


def test_it_is_kept_as_evidence() -> None:
    told = advised(rows(seeds=2))
    kept = Evidence((), told.tables, told.figures, told.summary, told.pictures)
    assert Evidence.loads(kept.dumps()).dumps() == kept.dumps()
    assert advised(rows().query("split == 'test'")).summary == ""
