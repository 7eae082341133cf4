import json
import math

import pytest

from vitlab.claims.claim import Claim, Verdict
from vitlab.claims.rule import decide


def test_a_verdict_goes_to_json_and_back(above, judged) -> None:
    words = {"small": 500, "rate": math.nan, "who": "ResNet-Nano"}
    settings = {"odds": {0: 0.5, 1: 0.6, 2: 0.4}, "about": words, "failed": ["cut short by 1.2 points"]}
    for verdict in decide([judged(above, [0.1, 0.2, 0.12], **settings), judged(above, [0.1])]):
        text = json.dumps(verdict.to_json(), allow_nan=False)
        back = Verdict.from_json(json.loads(text))
        assert json.dumps(back.to_json()) == text
        assert back.claim == verdict.claim and back.values == verdict.values and back.outcome == verdict.outcome
    assert math.isnan(back.interval.low) and math.isnan(back.p)


def test_a_claim_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="d1.adam.*'below'"):
        Claim("d1.adam", "D.1", "", test="below")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="margin above 0, not 0"):
        Claim("d4.kind", "D.4", "", test="alike", margin=0)
    with pytest.raises(ValueError, match="'maybe'"):
        Claim("d4.kind", "D.4", "", says={"maybe": ""})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": "yes"}, "not 'yes'"),
        ({"colour": 1}, "no field colour"),
        ({"p": "small"}, "p is a number or null, not 'small'"),
        ({"interval": [1, 2]}, "interval is an object"),
        ({"values": {"first": 1.0}}, "from seed to number"),
        ({"values": [1.0]}, "from seed to number"),
        ({"claim": {"id": "d4.kind"}}, "claim d4.kind lacks section, statement"),
        ({"claim": "d4.kind"}, "A claim in JSON is an object"),
    ],
)
def test_broken_json_is_named(above, judged, change, words) -> None:
    with pytest.raises(ValueError, match=words):
        Verdict.from_json(judged(above, [0.1, 0.2]).to_json() | change)
    with pytest.raises(ValueError, match="verdict lacks claim, data"):
        Verdict.from_json({})


def test_a_field_with_a_default_may_be_missing(above, judged) -> None:
    old = judged(above, [0.1, 0.2]).to_json()
    del old["odds"], old["about"], old["claim"]["paper"]
    assert Verdict.from_json(old).claim.paper == ""
