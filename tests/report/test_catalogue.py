"""The pages that lead to the evidence say what is stored, and the committed ones are up to date."""

from pathlib import Path

from vitlab.report.catalogue import catalogue, with_tables
from vitlab.report.provenance import provenance, write_evidence

ROOT = Path(__file__).parents[2]


def test_the_committed_pages_are_those_that_the_stored_results_give():
    assert (ROOT / "results" / "README.md").read_text() == catalogue(ROOT / "results")
    readme = (ROOT / "README.md").read_text()
    assert readme == with_tables(readme, ROOT)


def test_a_section_says_command_seeds_hardware_and_answer(tmp_path):
    rows = [
        {"run": str(seed), "seed": seed, "hardware": "2 x Thing", "torch": "2.15", "wall_s": 1800} for seed in (0, 1)
    ]
    record = provenance({}, ["python", "-m", "experiments.x", "a b"], rows) | {"question": "Why?", "answer": "So."}
    write_evidence(tmp_path / "x" / "digits", rows=rows, table_md="t", figures={}, provenance=record)
    text = catalogue(tmp_path)
    for part in ("## x/digits", "Why?", "So.", "experiments.x 'a b'", "2 rows, 2 seeds; 2 x Thing; 1 h of training"):
        assert part in text


def test_a_marked_block_is_replaced_by_the_file(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "t.md").write_text("| new |\n")
    readme = "before\n<!-- results/t.md -->\n| old |\n<!-- end -->\nafter\n"
    assert with_tables(readme, tmp_path) == "before\n<!-- results/t.md -->\n| new |\n<!-- end -->\nafter\n"
