"""Evidence on disk: it never shrinks, and verdicts on one data set are decided together whoever wrote them."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from vitlab.claims.claim import Claim
from vitlab.claims.rule import judge
from vitlab.report.build import curves
from vitlab.report.evidence import Evidence
from vitlab.runs.stored import read_rows
from vitlab.study.publish import conclude, in_markdown, outdated, recorded, show, together
from vitlab.study.settings import Settings
from vitlab.study.study import Study


def study(name: str, claim: str, spread: float) -> Study:
    """A study whose evidence is one verdict on the scores of its rows."""

    def draw(rows: pd.DataFrame, settings: Settings) -> Evidence:
        values = {seed: 0.1 + spread * score for seed, score in zip(rows["seed"], rows["score"], strict=True)}
        return Evidence((judge(Claim(claim, "1", "it holds"), values, data="Digits", subject="it"),))

    return Study(name, "1", "Does it hold?", {"quick": Settings()}, draw)


def written(results, made: Study, runs: list[str]):
    rows = [
        {"run": run, "status": "finished", "seed": i, "score": i % 3 - 1, "task.kind": "classify"}
        for i, run in enumerate(runs)
    ]
    folder = results / made.name / "digits"
    old = read_rows(folder) if folder.exists() else None
    table = together(old, rows, made.name)
    record = {**recorded(made, Settings(), [], [], table), "plan": runs}
    return conclude(made, Settings(), folder, table, record)


def test_new_evidence_on_a_data_set_can_change_the_verdicts_that_stand_there(tmp_path):
    first = study("one", "a.b", 0.035)
    (alone,) = written(tmp_path, first, ["a", "b", "c"]).evidence.verdicts
    assert alone.outcome == "holds" and alone.adjusted_p == alone.p < 0.05
    written(tmp_path, study("two", "c.d", 0.2), ["a", "b", "c"])
    (after,) = Evidence.loads((tmp_path / "one" / "digits" / "evidence.json").read_text()).verdicts
    assert after.adjusted_p == pytest.approx(2 * alone.p) and after.p == alone.p
    assert after.outcome == "undecided" and "undecided" in (tmp_path / "one" / "digits" / "evidence.md").read_text()


def test_a_claim_stays_primary_though_its_last_verdict_is_of_a_pair_that_is_not(tmp_path):
    made = study("one", "a.b", 0.035)

    def draw(rows: pd.DataFrame, settings: Settings) -> Evidence:
        (first,) = made.draw(rows, settings).verdicts
        return Evidence((first, replace(first, claim=replace(first.claim, primary=False))))

    for _ in range(2):
        written(tmp_path, replace(made, draw=draw), ["a", "b", "c"])
        ledger = json.loads((tmp_path / "ledger.json").read_text())
        assert [claim["primary"] for claim in ledger["claims"]] == [True]
        assert [line["primary"] for line in ledger["lines"]] == [True, False]


def test_evidence_never_shrinks_though_a_plan_asks_for_less_and_that_is_said(tmp_path, capsys):
    made = study("one", "a.b", 0.01)
    show(written(tmp_path, made, ["a", "b", "c"]))
    assert "not drawn" not in capsys.readouterr().out
    show(written(tmp_path, made, ["b"]))
    assert "2 runs of earlier plans stay in rows.csv and are not drawn" in capsys.readouterr().out
    assert set(read_rows(tmp_path / "one" / "digits")["run"]) == {"a", "b", "c"}


def test_rows_that_stay_undrawn_are_said_to_be_in_the_file_that_has_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vitlab.runs.stored.MOST", 0)
    made = study("one", "a.b", 0.01)
    written(tmp_path, made, ["a", "b", "c"])
    show(written(tmp_path, made, ["b"]))
    assert "2 runs of earlier plans stay in rows.csv.gz and are not drawn" in capsys.readouterr().out


def test_names_are_no_markup_in_the_text_of_evidence():
    points = pd.DataFrame({"model": "M", "seed": 0, "n": [1.0, 2.0], "score": [0.1, 0.2]})
    chart = curves(points, x="n", title="of *cats* and <b>", xlabel="x", ylabel="y")
    text = in_markdown(Evidence(figures={"figure": chart}, summary="_dog_ is ViT-Pico/4 of digits@3,5."), "Is *it*?")
    assert text == (
        "# Is \\*it\\*?\n\n\\_dog\\_ is ViT-Pico/4 of digits@3,5.\n\n![of \\*cats\\* and \\<b>](figure.png)\n"
    )


def test_the_seeds_of_the_page_are_those_of_the_plan_s_runs(tmp_path):
    made = study("one", "a.b", 0.01)
    for runs, seeds in ((["a", "b", "c"], [0, 1, 2]), (["b"], [0])):
        folder = written(tmp_path, made, runs).folder
        assert json.loads((folder / "provenance.json").read_text())["rows"]["seed"] == seeds


@pytest.mark.parametrize("diverged", [True, False])
def test_a_study_that_asks_for_them_draws_the_rows_of_runs_that_diverged(tmp_path, diverged):
    rows = pd.DataFrame({"run": ["a", "b", "c"], "status": ["finished", "failed", "failed"], "task.kind": "classify"})
    rows = rows.assign(study="one", failure=[None, "certain", "killed"], seed=range(3), init=None)
    seen = []
    made = replace(
        study("one", "a.b", 0.01), diverged=diverged, draw=lambda rows, _: seen.extend(rows["run"]) or Evidence()
    )
    conclude(made, Settings(), tmp_path / "one" / "digits", rows, recorded(made, Settings(), [], [], rows))
    assert seen == ["a", "b"][: 1 + diverged]


def test_damaged_evidence_beside_it_costs_nothing_and_is_named(tmp_path, capsys):
    written(tmp_path, study("two", "c.d", 0.2), ["a", "b"])
    (tmp_path / "two" / "digits" / "evidence.json").write_text('{"verdicts": 3')
    found = written(tmp_path, study("one", "a.b", 0.01), ["a", "b", "c"])
    assert not math.isnan(found.evidence.verdicts[0].adjusted_p)
    assert "two/digits/evidence.json" in capsys.readouterr().err


def test_the_page_of_own_runs_shows_the_committed_ones_beside_them(tmp_path, monkeypatch):
    for module in ("vitlab.report.site", "vitlab.study.publish"):
        monkeypatch.setattr(f"{module}.COMMITTED", tmp_path / "results")
    made = study("one", "a.b", 0.01)
    written(tmp_path / "results", made, ["a", "b", "c"])
    written(tmp_path / "runs" / "results", made, ["d", "e"])
    page = (tmp_path / "runs" / "results" / "index.html").read_text()
    assert 'href="one/digits/index.html"' in page and 'href="../../results/one/digits/index.html"' in page
    assert "your own runs" in page and "2 seeds" in page and "3 seeds" in page
    assert "your own runs" not in (tmp_path / "results" / "index.html").read_text()


def test_charts_of_evidence_that_is_replaced_go_and_pictures_that_cannot_be_made_stay(tmp_path):
    made = study("one", "a.b", 0.01)

    def draw(names):
        points = pd.DataFrame({"model": "M", "seed": 0, "n": [1.0, 2.0], "score": [0.1, 0.2]})
        chart = curves(points, x="n", title="t", xlabel="x", ylabel="y")
        return lambda rows, settings: replace(made.draw(rows, settings), figures=dict.fromkeys(names, chart))

    folder = written(tmp_path, replace(made, draw=draw(("figure", "expected"))), ["a", "b", "c"]).folder
    (folder / "confusion.png").write_bytes((folder / "figure.png").read_bytes())
    assert (folder / "expected.png").exists()
    written(tmp_path, replace(made, draw=draw(("figure",))), ["a", "b", "c"])
    assert {path.name for path in folder.glob("*.png")} == {"figure.png", "confusion.png"}
    assert outdated(folder, ["figure.png"], every=True) == {"confusion.png"}
