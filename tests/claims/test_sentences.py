from dataclasses import replace

import pytest

from vitlab.claims.compare import closing
from vitlab.claims.phrases import catches_up
from vitlab.claims.rule import decide
from vitlab.claims.sentences import answer, clause, readable

FEW = {"holds": "with {small:,} images the {cnn} is {amount} ahead", "undecided": "at {small:,} nothing is told apart"}
MANY = {"undecided": "at {large:,} the two are not told apart"}
ABOUT = {"small": 500, "large": 49_000, "cnn": "ResNet"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(9.3, "9"), (-12.6, "-13"), (1234.5, "1,234"), (2.04, "2"), (2.26, "2.3"), (0.98, "1"), (0.423, "0.42"), (0, "0")],
)
def test_numbers_for_reading(number: float, text: str) -> None:
    assert readable(number) == text


def test_the_answer_is_one_plain_sentence(above, judged) -> None:
    many = replace(above, id="data.overtake", says=MANY)
    found = decide(
        [
            judged(replace(above, says=FEW), [0.09, 0.093, 0.088], about=ABOUT),
            judged(many, [0.01, -0.02, 0.01], about=ABOUT),
        ]
    )
    expected = "With 500 images the ResNet is 9 points ahead; at 49,000 the two are not told apart."
    assert answer(found) == expected


def test_one_point_is_singular(above, judged) -> None:
    verdict = decide([judged(replace(above, says=FEW), [0.01, 0.0105, 0.0098], about=ABOUT)])[0]
    assert clause(verdict) == "with 500 images the ResNet is 1 point ahead"


def test_what_is_held_against_a_number_is_said_as_exactly(above, judged) -> None:
    claim = replace(above, bound=0.7136, digits=2, says={"holds": "it reaches {exact}%"})
    assert answer(decide([judged(claim, [0.7142, 0.7141, 0.7143])])) == "It reaches 71.42%."


def test_what_is_not_decided_says_why(above, judged) -> None:
    one, wide, failed = decide(
        [
            judged(above, [0.2]),
            judged(above, [0.05, -0.01, 0.06, 0.03]),
            judged(above, [0.2, 0.3], failed=["ViT is 0.9 points above chance", "b", "c"]),
        ]
    )
    statement = "whether with few images the CNN is ahead"
    assert clause(one) == f"it stays undecided {statement} (one seed decides nothing)"
    assert clause(wide) == f"it stays undecided {statement} (4 seeds; {wide.seeds_needed} seeds would decide it)"
    reasons = "ViT is 0.9 points above chance; and 2 more reasons"
    assert clause(failed) == f"it cannot be tested here {statement} ({reasons})"


def test_a_reason_that_all_verdicts_share_is_said_once(above, judged) -> None:
    first, second = (judged(above, [0.2, 0.3], failed=[*own, "no rates were tried"]) for own in (["a"], []))
    assert answer(decide([first, second])) == "None of the 2 claims can be tested here: no rates were tried."
    assert "whether" in answer(decide([first]))


def test_points_against_log_odds_are_said_with_any_template(above, judged) -> None:
    claim = replace(above, says=FEW)
    verdict = decide([judged(claim, [0.02, 0.021, 0.019], odds={0: -0.2, 1: -0.21, 2: -0.19}, about=ABOUT)])[0]
    assert clause(verdict) == "at 500 nothing is told apart (points and log-odds speak for opposite signs)"


def test_primary_claims_come_first_and_the_rest_is_counted(above, judged) -> None:
    second = replace(above, primary=False, says={"holds": "second"})
    first = [replace(above, says={"holds": f"first {i}"}) for i in range(3)]
    gaps = [0.1, 0.11, 0.09]
    found = decide(
        [judged(claim, gaps) for claim in [second, *first]] + [judged(second, gaps), judged(above, [-x for x in gaps])]
    )
    assert answer(found) == ("First 0; first 1; first 2. Of 3 more claims 2 hold and 1 does not hold.")
    assert answer(found[:4]).endswith("One more claim holds.")
    assert answer([]) == "Nothing has been compared yet."


def test_what_a_template_cannot_name_and_raw_verdicts_are_refused(above, judged) -> None:
    raw = judged(replace(above, says={"holds": "{colour}"}), [0.1, 0.11])
    with pytest.raises(ValueError, match="data.few are not decided yet"):
        answer([raw])
    sure = decide([judged(replace(above, says={"holds": "{colour}"}), [0.1, 0.11, 0.105])])
    with pytest.raises(ValueError, match="'colour'; it can name effect, size, amount"):
        answer(sure)


def test_who_gains_on_whom_is_said_without_a_word_on_who_is_ahead(above, scaling) -> None:
    claim = replace(above, says=catches_up("from {few:,} to {many:,} images"))
    sizes = scaling[scaling["train_images"] > 500].assign(title="Digits")
    sizes["train_images"] = sizes["train_images"].astype(float)  # as beside rows without a size
    for vit, cnn, verb in (("ViT", "ResNet", "gains on"), ("ResNet", "ViT", "loses ground to")):
        (verdict,) = decide([closing(claim, sizes, vit, cnn, x="train_images")])
        assert clause(verdict) == f"{vit} {verb} {cnn} from 2,000 to 512,000 images"
