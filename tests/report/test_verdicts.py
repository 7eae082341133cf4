"""The table of verdicts shows what decided each of them."""

import math

import pytest

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.interval import Interval
from vitlab.report.evidence import Evidence
from vitlab.report.verdicts import cells, format_p, to_html, to_markdown

CLAIM = Claim("data.few", "4.3, Fig. 3", "with few images the CNN is ahead", paper="B/16 1")
FOUND = Interval(0.093, 0.061, 0.125, 5)


def verdict(claim: Claim = CLAIM, subject: str = "ViT | ResNet", **about) -> Verdict:
    values = {seed: 0.09 for seed in range(FOUND.n)}
    given = {"interval": FOUND, "p": 0.001, "adjusted_p": 0.0123, "outcome": "holds", "values": values, **about}
    return Verdict(claim, "cifar10", subject, **given)


def test_a_verdict_that_holds() -> None:
    assert cells(verdict()) == [
        "with few images the CNN is ahead (ViT | ResNet)",
        "holds",
        "+9.3 [+6.1, +12.5] points",
        "0.012",
        "5",
        "B/16 1",
        "4.3, Fig. 3",
    ]


def test_the_others_say_why() -> None:
    undecided = verdict(outcome="undecided", adjusted_p=0.2, seeds_needed=11)
    assert cells(undecided)[1] == "undecided (11 seeds would decide)"
    failed = verdict(outcome="cannot be tested here", failed=("accuracy 12% is not 5 points above chance",))
    assert cells(failed)[1] == "cannot be tested here (accuracy 12% is not 5 points above chance)"
    alike = Claim("d3.head", "D.3", "heads are alike", test="alike", margin=0.01)
    assert cells(verdict(alike))[2].endswith("points, within ±1")
    bound = Claim("scratch", "slides", "passes the slides", bound=0.02)
    assert cells(verdict(bound))[2].endswith("points, against 2")
    one = verdict(interval=Interval(0.1, math.nan, math.nan, 1), p=math.nan, adjusted_p=math.nan, outcome="undecided")
    assert cells(one)[1:5] == ["undecided (at least 2 seeds would decide)", "+10.0 (n=1) points", "–", "1"]


@pytest.mark.parametrize(("p", "text"), [(0.0004, "< 0.001"), (0.0312, "0.031"), (math.nan, "–")])
def test_p_for_reading(p: float, text: str) -> None:
    assert format_p(p) == text


def test_markdown_and_html_are_escaped() -> None:
    found = [verdict(), verdict(subject="<b>", outcome="does not hold")]
    text = to_markdown(found)
    assert (
        text.splitlines()[0] == "| statement | outcome | effect [95% interval] | adjusted p | seeds | paper | section |"
    )
    assert "(ViT \\| ResNet) | **holds** | +9.3 [+6.1, +12.5] points | 0.012 | 5 |" in text
    html = to_html(found)
    assert '<span class="badge does-not-hold">does not hold</span>' in html and "(&lt;b&gt;)" in html
    assert html.count('<th scope="col">') == 7 and html.count('<th scope="row">') == 2


def test_verdicts_are_part_of_the_evidence() -> None:
    evidence = Evidence((verdict(), verdict(adjusted_p=math.nan)))
    back = Evidence.loads(evidence.dumps())
    assert back.verdicts[0] == evidence.verdicts[0] and math.isnan(back.verdicts[1].adjusted_p)
