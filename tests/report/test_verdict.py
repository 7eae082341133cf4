import pytest

from vitlab.report.intervals import Interval, bootstrap_mean
from vitlab.report.verdict import Verdict, decide, judge, to_markdown


@pytest.mark.parametrize(
    ("interval", "p", "claim", "holds"),
    [
        (Interval(0.1, 0.05, 0.15, 5), 0.01, "above", "yes"),
        (Interval(0.1, 0.05, 0.15, 5), 0.01, "below", "no"),
        (Interval(-0.1, -0.15, -0.05, 5), 0.01, "below", "yes"),
        (Interval(0.1, -0.05, 0.15, 5), 0.01, "above", "undecided"),
        (Interval(0.1, 0.05, 0.15, 5), 0.06, "above", "undecided"),
        (Interval(0.1, float("nan"), float("nan"), 1), float("nan"), "above", "undecided"),
    ],
)
def test_only_interval_and_test_together_decide(interval: Interval, p: float, claim, holds: str) -> None:
    assert decide(interval, p, claim) == holds


def test_alike_needs_an_interval_inside_the_margin() -> None:
    assert decide(Interval(0.0, -0.005, 0.005, 5), 0.9, "alike", margin=0.01) == "yes"
    assert decide(Interval(0.0, -0.05, 0.05, 5), 0.9, "alike", margin=0.01) == "undecided"
    assert decide(Interval(0.1, 0.05, 0.15, 5), 0.0, "alike", margin=0.01) == "no"
    with pytest.raises(ValueError, match="margin above 0"):
        decide(Interval(0, 0, 0, 2), 0.0, "alike")
    with pytest.raises(ValueError, match="'higher'"):
        decide(Interval(0, 0, 0, 2), 0.0, "higher")


def test_judge_prints_its_numbers() -> None:
    gaps = [-0.12, -0.13, -0.11, -0.125]
    verdict = judge("ResNet leads on small sets", gaps, "below", source="Figure 4", interval=bootstrap_mean(gaps))
    assert verdict.holds == "yes"
    assert verdict.evidence.startswith("-12.1 [") and verdict.evidence.endswith("points, p < 0.001, n = 4")
    assert verdict.sentence().startswith("Holds: ResNet leads on small sets (")


def test_markdown_and_bad_words() -> None:
    text = to_markdown([Verdict("a | b", "undecided", "n=1", "section 4.3")])
    assert "| a \\| b | **undecided** | n=1 | section 4.3 |" in text
    with pytest.raises(ValueError, match="'maybe'"):
        Verdict("a", "maybe", "", "")  # type: ignore[arg-type]
