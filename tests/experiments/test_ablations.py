"""The ablations that compare arms, each run small from end to end, and their evidence of any part of the runs."""

import random
from collections import Counter

import pytest

from experiments import block, head, optimizer, position
from vitlab.claims.rule import decide
from vitlab.report.evidence import Evidence
from vitlab.runs.stored import drawable, read_rows
from vitlab.study.arms import NOTHING
from vitlab.study.command_line import parse
from vitlab.study.study import main
from vitlab.tasks.settings import Classify

SMALL = "--steps 4 --evaluations 2 --warmup_steps 1 --batch_size 16 --seeds 2".split()
WORDS = {
    "position": [],
    "head": ["--rates", "0.003", "0.01"],
    "block": ["--rates", "0.003", "0.01", "--depths", "1", "2"],
    "optimizer": ["--rates", "0.003", "0.01", "--sgd_rates", "0.03", "0.1"],
}
STUDIES = {study.STUDY.name: study.STUDY for study in (position, head, block, optimizer)}
RUNS = {"position": 16, "head": 8, "block": 16, "optimizer": 28}  # the last: 8 trainings, 16 + 4 probes


@pytest.fixture(scope="module", params=WORDS)
def done(request, tmp_path_factory):
    """A study, the settings of its small run and the folder of its evidence."""
    study, folder = STUDIES[request.param], tmp_path_factory.mktemp(request.param)
    words = [*SMALL, *WORDS[study.name], "--wandb", "off", "--jobs", "1", "--results", str(folder / "results")]
    with pytest.raises(SystemExit) as end:
        main(study, [*words, "--runs", str(folder / "runs")])
    assert end.value.code == 0
    return study, parse("", "", study.presets, words)[0], folder / "results" / study.name / "digits"


def test_a_study_gives_rows_tables_a_figure_and_a_verdict_on_every_claim(done):
    study, _, folder = done
    evidence = Evidence.loads((folder / "evidence.json").read_text())
    assert read_rows(folder)["run"].nunique() == RUNS[study.name]
    assert {verdict.claim.id for verdict in evidence.verdicts} == {claim.id for claim in study.claims}
    assert evidence.tables and set(evidence.figures) == {"figure"} and evidence.answer[-1] == "."
    assert (folder / "figure.png").stat().st_size > 10_000


def test_every_part_of_the_runs_is_drawn_or_declined(done):
    study, settings, folder = done
    rows = read_rows(folder)
    runs, draws = sorted(rows["run"].unique()), random.Random(0)
    answers = set()
    for _ in range(12):
        part = drawable(rows[rows["run"].isin(draws.sample(runs, draws.randint(1, len(runs))))])
        found = study.draw(part, settings)
        assert {verdict.data for verdict in found.verdicts} <= {verdict.data for verdict in found.verdicts[:1]}
        again = Evidence.loads(
            Evidence(tuple(decide(found.verdicts)), found.tables, found.figures, found.summary).dumps()
        )
        assert again.tables or (again.answer == NOTHING and not again.figures)
        answers.add(again.answer)
    assert len(answers) > 2
    assert study.draw(drawable(rows.iloc[:0]), settings).answer == NOTHING


@pytest.mark.parametrize(("name", "preset"), [(name, preset) for name in WORDS for preset in STUDIES[name].presets])
def test_every_preset_is_planned_with_as_many_trials_for_every_arm_and_seed(name, preset):
    settings = parse("", "", STUDIES[name].presets, ["--preset", preset])[0]
    assert settings == STUDIES[name].presets[preset]
    runs = STUDIES[name].plan(settings)
    assert len({run.id for run in runs}) == len(runs)
    trainings = {link for run in runs for link in run.chain() if isinstance(link.task, Classify)}
    trials = Counter((run.model, run.options, run.recipe.optimizer, run.seed) for run in trainings)
    assert set(trials.values()) == {len(settings.rates) or 1}
    assert len({run.recipe.steps for run in trainings}) == 1
