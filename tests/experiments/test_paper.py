"""All studies at once: the list, the whole plan, one store, everything redrawn; and two results held together."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import NAMES, compare, paper, recipes, studies
from experiments.data_scaling import STUDY
from vitlab.runs.place import WorkerDied
from vitlab.study.study import main

ROOT = Path(__file__).parents[2]
SMALL = "--models ViT ResNet --train_sizes 50 100 --seeds 2 --steps 6 --evaluations 2 --wandb off".split()


def ended(run, *words: object) -> int:
    with pytest.raises(SystemExit) as end:
        run([str(word) for word in words])
    return end.value.code


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    words = [*SMALL, "--results", folder / "results", "--runs", folder / "runs", "--export"]
    assert ended(lambda arguments: main(STUDY, arguments), *words) == 0
    return folder / "results"


def test_every_study_is_in_the_list_with_an_own_protocol_and_claims_of_its_own():
    there = {path.stem for path in (ROOT / "experiments").glob("*.py") if "STUDY = Study(" in path.read_text()}
    assert set(NAMES) == there
    found = studies()
    claims = [claim.id for study in found.values() for claim in study.claims]
    assert len(claims) == len(set(claims))
    assert all(study.name == name and len(study.protocol) > 200 for name, study in found.items())
    said = subprocess.run([sys.executable, "-m", "experiments"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert all(name in said.stdout for name in NAMES) and "data.few" in said.stdout
    with pytest.raises(ValueError, match="Did you mean 'few_shot'"):
        studies(["few_shots"])


def test_every_claim_has_the_papers_number_or_the_words_for_why_there_is_none():
    for claim in (claim for study in studies().values() for claim in study.claims):
        numbers = re.sub(r"(Figures?|Table) \d+|\b[A-Z]+\+?[\w+]*/\d+|R\d+(x\d)?|\d-D|\d+-shot", "", claim.paper)
        told = re.search(r"\d", numbers) or re.search("qualitative|no number", claim.paper)
        assert told, f"{claim.id} has neither: {claim.paper!r}"


def test_presets_of_the_paper_are_those_of_the_studies():
    assert [paper.is_of("cpu", name) for name in ("quick", "cifar10_cpu", "cifar10")] == [False, True, False]
    assert [paper.is_of("gpu", name) for name in ("quick", "cifar10_cpu", "cifar10")] == [False, False, True]
    assert {part.study.name for part in paper.parts(paper.Paper())} == set(NAMES)
    assert {part.arguments[1] for part in paper.parts(paper.Paper("cpu", ("scratch",)))} == {
        "cifar10_cpu", "cifar10_best_cpu", "cifar10_long_cpu",
    }  # fmt: skip


def test_local_copies_stand_in_for_cards(tmp_path):
    for name in ("cifar10", "eurosat_64", "other"):
        (tmp_path / name).mkdir()
    settings = STUDY.presets["tiny_imagenet_cpu"]
    options = paper.local_data(settings, tmp_path)
    assert options[0] == "--downstream" and options[1] == str(tmp_path / "cifar10")
    assert options[3] == str(tmp_path / "eurosat_64") and options[2] == "caltech101"
    assert paper.local_data(STUDY.presets["quick"], tmp_path) == []


def test_the_plan_is_said_with_its_hours_and_runs_of_several_count_once(tmp_path, capsys):
    words = ["--studies", "scratch", "--dry_run", "--runs", tmp_path, "--results", tmp_path / "results"]
    assert ended(paper.main, *words) == 0
    said = capsys.readouterr().out
    assert "scratch --preset quick: 1 claims; 27 runs to do" in said and "In all about" in said
    assert not (tmp_path / "results").exists()
    found = paper.parts(paper.Paper(studies=("scratch",), runs=tmp_path))
    paper.forecast(both := [*found, *paper.parts(paper.Paper(studies=("scratch",), runs=tmp_path))])
    assert both[0].left == 27 and both[1].left == 0 and both[0].seconds > 0 == both[1].seconds


def test_runs_that_other_evidence_holds_are_not_counted_as_left(tmp_path):
    (part,) = paper.parts(paper.Paper(studies=("compute_scaling",), runs=tmp_path))
    also = (str(ROOT / "results" / "data_scaling" / "digits"),)
    part.settings = replace(part.settings, seeds=3, recipe=recipes.DIGITS_RECIPE, also=also)
    paper.forecast([part])
    known = part.study.known(part.settings)
    assert known and part.left == len({run.id for run in part.study.plan(part.settings)} - set(known))


def test_only_what_was_done_counts_as_done(tmp_path, capsys, monkeypatch):
    codes = iter((0, 1, 2, 3))
    monkeypatch.setattr("vitlab.study.conduct.conduct", lambda *_: next(codes))
    words = ["--studies", "scratch", "head", "block", "shape", "--runs", tmp_path, "--results", tmp_path]
    assert ended(paper.main, *words) == 1
    assert "1 of 4 studies are done" in capsys.readouterr().out


@pytest.mark.parametrize(("error", "code"), [(WorkerDied("killed"), 1), (OSError("full"), 1), (ValueError("no"), 2)])
def test_an_error_of_one_study_does_not_end_the_others(error, code, tmp_path, capsys, monkeypatch):
    asked = []

    def conduct(study, *_):
        asked.append(study.name)
        if study.name == "scratch":
            raise error
        return 0

    monkeypatch.setattr("vitlab.study.conduct.conduct", conduct)
    assert ended(paper.main, "--studies", "scratch", "head", "--runs", tmp_path, "--results", tmp_path) == code
    said = capsys.readouterr()
    assert asked == ["scratch", "head"] and f"error: {error}" in said.err and "1 of 2 studies are done" in said.out


@pytest.mark.parametrize("error", [WorkerDied("killed"), OSError("no space")])
def test_a_study_that_cannot_be_prepared_has_its_reason_in_the_plan(error, tmp_path, monkeypatch):
    def prepared(*_):
        raise error

    monkeypatch.setattr("vitlab.study.conduct.prepared", prepared)
    found = paper.parts(paper.Paper(studies=("scratch",), runs=tmp_path))
    paper.forecast(found)
    assert [part.reason for part in found] == [str(error)]


def test_stored_runs_are_made_again_only_where_there_are_any(tmp_path, capsys, monkeypatch):
    assert "again" in {part.study.name for part in paper.parts(paper.Paper())} and not capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert "again" not in {part.study.name for part in paper.parts(paper.Paper())}
    assert capsys.readouterr().out == "again is left out: there is no folder results here to draw stored runs from.\n"
    assert [part.study.name for part in paper.parts(paper.Paper(studies=("again",)))] == ["again"]


def test_an_unknown_study_is_refused(capsys):
    assert ended(paper.main, "--studies", "nope") == 2 and "data_scaling" in capsys.readouterr().err


def test_everything_is_redrawn_from_rows_and_claims_that_were_not_run_appear(results, tmp_path):
    folder = Path(shutil.copytree(results, tmp_path / "results"))
    place = folder / "data_scaling" / "digits"
    expected = {name: (place / name).read_bytes() for name in ("evidence.json", "evidence.md", "figure.png")}
    for path in (*map(place.joinpath, expected), folder / "index.html", folder / "ledger.json"):
        path.unlink()
    code = "import sys\nfrom experiments.paper import main\ntry: main(sys.argv[1:])\n"
    code += "except SystemExit as end: assert end.code == 0\nassert 'torch' not in sys.modules"
    words = ["--redraw", "--results", str(folder), "--studies", "data_scaling"]
    subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, check=True, capture_output=True)
    assert {name: (place / name).read_bytes() for name in expected} == expected
    ledger = json.loads((folder / "ledger.json").read_text())
    outcomes = {line["claim"]: line["outcome"] for line in ledger["lines"]}
    assert outcomes["scratch.slides"] == "not run" and outcomes["data.few"] != "not run"
    assert "scratch.slides" in (folder / "index.html").read_text()
    before = (folder / "ledger.json").read_bytes()
    redrawn = ["--redraw", "--results", folder]  # by one study alone, which remembers the others' claims
    assert ended(lambda arguments: main(STUDY, arguments), *redrawn) == 0
    assert (folder / "ledger.json").read_bytes() == before
    assert ended(paper.main, "--redraw", "--results", tmp_path / "empty") == 2


def test_export_writes_what_a_paper_takes(results):
    folder = results / "data_scaling" / "digits" / "export"
    assert {"accuracy.tex", "accuracy.csv", "verdicts.tex", "figure.pdf"} <= {path.name for path in folder.iterdir()}
    assert r"\toprule" in (folder / "accuracy.tex").read_text() and (folder / "figure.pdf").read_bytes()[:4] == b"%PDF"


def test_two_results_are_held_against_each_other(results, tmp_path, capsys, monkeypatch):
    assert ended(compare.main, results, results) == 0 and "Nothing changed" in capsys.readouterr().out
    other = Path(shutil.copytree(results, tmp_path / "results"))
    path = other / "data_scaling" / "digits" / "evidence.json"
    evidence = json.loads((results / "data_scaling" / "digits" / "evidence.json").read_text())
    evidence["verdicts"][0]["outcome"] = "does not hold"
    path.write_text(json.dumps(evidence))
    assert ended(compare.main, results, other) == 1 and "does not hold" in capsys.readouterr().out
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "results/data_scaling"], [*me, "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert ended(compare.main, "HEAD", results) == 1 and "One thing changed" in capsys.readouterr().out
    assert ended(compare.main, "nowhere", results) == 2 and "no git revision" in capsys.readouterr().err


def test_a_revision_has_evidence_of_any_name_also_where_the_project_is_a_part_of_the_repository(
    results, tmp_path, capsys, monkeypatch
):
    project = tmp_path / "studies"
    for name in ("digits", "ziffern_groß"):
        shutil.copytree(results / "data_scaling" / "digits", project / "results" / "data_scaling" / name)
    me = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*me, "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.chdir(project)
    assert set(compare.evidence_of("HEAD")) == {"data_scaling/digits", "data_scaling/ziffern_groß"}
    assert ended(compare.main, "HEAD", "results") == 0 and "Nothing changed" in capsys.readouterr().out
