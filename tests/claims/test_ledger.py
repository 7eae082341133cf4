import json
from dataclasses import replace

import pytest

from vitlab.claims.ledger import catalogue, decided, ledger

GAPS = [0.02, 0.025, 0.023]


@pytest.fixture
def found(above, alike, judged):
    """The verdicts of two folders on digits and one on CIFAR-10."""
    verdicts = {
        "data_scaling/cifar10": [judged(above, GAPS, data="cifar10")],
        "data_scaling/digits": [judged(above, GAPS), judged(above, GAPS, subject="Nano")],
        "heads/digits": [judged(alike, [0.05, 0.0, 0.01])],
    }
    return decided(verdicts)


def test_folders_of_one_data_set_are_decided_together(found, above) -> None:
    assert list(found) == ["data_scaling/cifar10", "data_scaling/digits", "heads/digits"]
    alone, among = found["data_scaling/cifar10"][0], found["data_scaling/digits"]
    assert alone.adjusted_p == alone.p
    assert [verdict.adjusted_p for verdict in among] == pytest.approx([3 * alone.p] * 2)
    assert [verdict.subject for verdict in among] == ["Pico", "Nano"]


def test_every_claim_has_a_cell_for_every_data_set(found, above, alike) -> None:
    unknown = replace(above, id="block.pre", statement="nobody ran this")
    table = ledger(found.items(), [unknown, above])
    assert [claim.id for claim in table.claims] == ["block.pre", "data.few", "d3.head"]
    assert table.data == ("digits", "cifar10"), "the one that most verdicts are about comes first"
    assert [line.outcome for line in table.cell("block.pre", "digits")] == ["not run"]
    assert [line.outcome for line in table.cell("d3.head", "cifar10")] == ["not run"]
    assert [line.verdict.subject for line in table.cell("data.few", "digits")] == ["Pico", "Nano"]
    assert table.cell("d3.head", "digits")[0].folder == "heads/digits"
    assert len(ledger([], [above]).lines) == 1, "no data set at all"


def test_the_ledger_as_json(found, above) -> None:
    reworded = replace(above, statement="the CNN leads on few images")
    data = json.loads(json.dumps(ledger(found.items(), [reworded]).to_json(), allow_nan=False))
    line = next(line for line in data["lines"] if line["data"] == "cifar10")
    assert (line["claim"], line["data"], line["outcome"]) == ("data.few", "cifar10", "holds")
    assert line["statement"] == "the CNN leads on few images" and line["paper"] == "Figure 3"
    assert line["effect"] == pytest.approx(2.266667) and line["seeds"] == 3 and line["unit"] == "points"
    assert line["shown"] == "+2.3 [+1.6, +2.9]"
    undecided = [line for line in data["lines"] if line["outcome"] == "undecided"]
    assert undecided[0]["would_decide"].endswith("seeds")


def test_what_is_wrong_names_its_folder(found, above) -> None:
    with pytest.raises(ValueError, match="data.few stand twice"):
        ledger(found.items(), [above, above])
    with pytest.raises(ValueError, match=r"cifar10: data.few was judged by bound = 0.0 and has -0.01 now"):
        ledger(found.items(), [replace(above, bound=-0.01)])


def test_a_ledger_remembers_the_claims_that_were_not_run(found, above, tmp_path) -> None:
    unknown = replace(above, id="block.pre", says={"holds": "it does"})
    path = tmp_path / "ledger.json"
    assert catalogue(path) == []
    path.write_text(json.dumps(ledger(found.items(), [unknown]).to_json()))
    assert catalogue(path)[0] == unknown and [claim.id for claim in catalogue(path)][1:] == ["data.few", "d3.head"]
    path.write_text('{"claims": ["block.pre"]}')
    with pytest.raises(ValueError, match="ledger.json is no ledger"):
        catalogue(path)
