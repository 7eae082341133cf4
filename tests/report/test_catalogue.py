"""The pages that lead to the evidence say what is stored, and the committed ones are up to date."""

from pathlib import Path

from vitlab.report.catalogue import catalogue, with_evidence
from vitlab.report.provenance import provenance, write_evidence

ROOT = Path(__file__).parents[2]


def test_the_committed_pages_are_those_that_the_stored_results_give():
    assert (ROOT / "results" / "README.md").read_text() == catalogue(ROOT / "results")
    readme = (ROOT / "README.md").read_text()
    assert readme == with_evidence(readme, ROOT)


def test_a_section_says_command_seeds_hardware_and_answer(tmp_path):
    rows = [
        {"run": str(seed), "seed": seed, "hardware": "2 x Thing", "torch": "2.15", "wall_s": 1800} for seed in (0, 1)
    ]
    command = ["python", "-m", "experiments.x", "a b", "--time_budget", "9m"]
    record = provenance({}, command, rows) | {"question": "Why?", "answer": "So."}
    write_evidence(tmp_path / "x" / "digits", rows=rows, table_md="t", figures={}, provenance=record)
    text = catalogue(tmp_path)
    for part in ("## x/digits", "Why?", "So.", "experiments.x 'a b'", "2 rows, 2 seeds; 2 x Thing; 1 h of training"):
        assert part in text
    assert "9m" not in text


def test_a_marked_block_shows_the_evidence_of_its_folder(tmp_path):
    rows = [{"run": "a", "seed": 0, "hardware": "2 x Thing", "torch": "2.15"}]
    record = provenance({}, ["python", "-m", "experiments.x"], rows) | {"answer": "Yes.\nAnd no."}
    write_evidence(tmp_path / "results" / "x" / "y", rows=rows, table_md="| new |\n", figures={}, provenance=record)
    readme = (
        "".join(f"a\n<!-- {kind}: results/x/y -->\n| old |\n<!-- end -->\n" for kind in ("table", "answers")) + "c\n"
    )
    shown = with_evidence(readme, tmp_path)
    table = "a\n<!-- table: results/x/y -->\n| new |\n\n    python -m experiments.x\n\n1 row, 1 seed; 2 x Thing"
    assert shown.startswith(table) and "old" not in shown and "h of training" not in shown
    assert shown.endswith("\n- [x/y](results/README.md#xy): Yes. And no.\n<!-- end -->\nc\n")
    assert with_evidence(shown, tmp_path) == shown
