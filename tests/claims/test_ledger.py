import json
from dataclasses import replace
from pathlib import Path

import pytest

from vitlab.claims.ledger import catalogue, collect, ledger

GAPS = [0.02, 0.025, 0.023]


@pytest.fixture
def results(tmp_path: Path, above, alike, judged):
    """Two folders on digits and one on CIFAR-10."""

    def write(folder: str, *verdicts) -> None:
        (tmp_path / folder).mkdir(parents=True)
        evidence = {"verdicts": [verdict.to_json() for verdict in verdicts], "tables": []}
        (tmp_path / folder / "evidence.json").write_text(json.dumps(evidence))

    write("data_scaling/digits", judged(above, GAPS), judged(above, GAPS, subject="Nano"))
    write("data_scaling/cifar10", judged(above, GAPS, data="cifar10"))
    write("heads/digits", judged(alike, [0.05, 0.0, 0.01]))
    return tmp_path


def test_folders_of_one_data_set_are_decided_together(results, above) -> None:
    found = dict(collect(results))
    assert list(found) == ["data_scaling/cifar10", "data_scaling/digits", "heads/digits"]
    alone, among = found["data_scaling/cifar10"][0], found["data_scaling/digits"]
    assert alone.adjusted_p == alone.p
    assert [verdict.adjusted_p for verdict in among] == pytest.approx([3 * alone.p] * 2)
    assert [verdict.subject for verdict in among] == ["Pico", "Nano"]


def test_every_claim_has_a_cell_for_every_data_set(results, above, alike) -> None:
    unknown = replace(above, id="block.pre", statement="nobody ran this")
    table = ledger(collect(results), [unknown, above])
    assert [claim.id for claim in table.claims] == ["block.pre", "data.few", "d3.head"]
    assert table.data == ("cifar10", "digits")
    assert [line.outcome for line in table.cell("block.pre", "digits")] == ["not run"]
    assert [line.outcome for line in table.cell("d3.head", "cifar10")] == ["not run"]
    assert [line.verdict.subject for line in table.cell("data.few", "digits")] == ["Pico", "Nano"]
    assert table.cell("d3.head", "digits")[0].folder == "heads/digits"
    assert len(ledger(collect(results / "heads"), [above]).lines) == 1, "no data set at all"


def test_the_ledger_as_json(results, above) -> None:
    reworded = replace(above, statement="the CNN leads on few images")
    data = json.loads(json.dumps(ledger(collect(results), [reworded]).to_json(), allow_nan=False))
    line = data["lines"][0]
    assert (line["claim"], line["data"], line["outcome"]) == ("data.few", "cifar10", "holds")
    assert line["statement"] == "the CNN leads on few images" and line["paper"] == "Figure 3"
    assert line["effect"] == pytest.approx(2.266667) and line["seeds"] == 3 and line["unit"] == "points"
    assert line["shown"] == "+2.3 [+1.6, +2.9]"
    undecided = [line for line in data["lines"] if line["outcome"] == "undecided"]
    assert undecided[0]["would_decide"].endswith("seeds")


def test_what_is_wrong_names_its_folder(results, above) -> None:
    with pytest.raises(ValueError, match="data.few stand twice"):
        ledger(collect(results), [above, above])
    with pytest.raises(ValueError, match=r"cifar10: data.few was judged by bound = 0.0 and has -0.01 now"):
        ledger(collect(results), [replace(above, bound=-0.01)])
    (results / "heads" / "digits" / "evidence.json").write_text('{"verdicts": [{"p": 1}]}')
    with pytest.raises(ValueError, match=r"heads/digits/evidence.json: The verdict lacks claim"):
        collect(results)
    (results / "heads" / "digits" / "evidence.json").write_text("{")
    with pytest.raises(ValueError, match="heads/digits/evidence.json"):
        collect(results)


def test_a_ledger_remembers_the_claims_that_were_not_run(results, above, tmp_path) -> None:
    unknown = replace(above, id="block.pre", says={"holds": "it does"})
    path = tmp_path / "ledger.json"
    assert catalogue(path) == []
    path.write_text(json.dumps(ledger(collect(results), [unknown]).to_json()))
    assert catalogue(path)[0] == unknown and [claim.id for claim in catalogue(path)][1:] == ["data.few", "d3.head"]
    path.write_text('{"claims": ["block.pre"]}')
    with pytest.raises(ValueError, match="ledger.json is no ledger"):
        catalogue(path)
