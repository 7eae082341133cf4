"""Evidence from strangers: whatever was done to rows.csv and provenance.json, a redraw draws or says why not."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from experiments.data_scaling import STUDY
from vitlab.study.study import main

RESULTS = Path(__file__).parents[2] / "results"
SHARES = st.floats(0, 1, exclude_max=True)
BYTES = st.lists(st.tuples(SHARES, st.integers(0, 255)), max_size=4)
CUTS = st.none() | SHARES
CELLS = st.lists(
    st.tuples(
        SHARES, SHARES, st.sampled_from(["", "nan", "inf", "-1", "1e400", "x", "<b>", "finished", "digits", "7"])
    ),
    max_size=3,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.lists(st.tuples(st.lists(SHARES, min_size=1, max_size=4), VALUES), max_size=2)
FEW = settings(
    max_examples=8, phases=(Phase.explicit, Phase.reuse, Phase.generate), suppress_health_check=list(HealthCheck)
)
MANY = settings(FEW, max_examples=20)


def damaged(data: bytes, changes: list[tuple[float, int]], cut: float | None) -> bytes:
    content = bytearray(data)
    for share, value in changes:
        content[int(share * len(content))] = value
    return bytes(content[: int(cut * len(content))] if cut is not None else content)


def with_cells(data: bytes, changes: list[tuple[float, float, str]]) -> bytes:
    lines = [line.split(",") for line in data.decode().splitlines()]
    for down, across, value in changes:
        line = lines[int(down * len(lines))]
        line[int(across * len(line))] = value
    return "\n".join(",".join(line) for line in lines).encode()


def with_values(data: bytes, changes: list[tuple[list[float], object]]) -> bytes:
    record = json.loads(data)
    for path, value in changes:
        at, name = record, ""
        for share in path:
            at = at[name] if name else at
            if not isinstance(at, dict) or not at:
                break
            name = list(at)[int(share * len(at))]
        if isinstance(at, dict) and name in at:
            at[name] = value
    return json.dumps(record).encode()


def redraws_or_says_why(place: Path, capsys: pytest.CaptureFixture[str], rows: bytes, record: bytes) -> None:
    folder = place / "data_scaling" / "digits"
    shutil.rmtree(place, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_bytes(rows)
    (folder / "provenance.json").write_bytes(record)
    words = ["--redraw", "--accept_edited", "--results", str(place), "--runs", str(place / "runs"), "--wandb", "off"]
    with pytest.raises(SystemExit) as end:
        main(STUDY, words)
    assert end.value.code in (0, 1, 2, 3)
    if end.value.code:
        assert capsys.readouterr().err.strip()


@pytest.fixture(scope="module")
def whole() -> tuple[bytes, bytes]:
    folder = RESULTS / "data_scaling" / "digits"
    return gzip.decompress((folder / "rows.csv.gz").read_bytes()), (folder / "provenance.json").read_bytes()


def test_what_is_whole_is_drawn(whole, tmp_path, capsys):
    redraws_or_says_why(tmp_path / "results", capsys, *whole)
    assert (tmp_path / "results" / "data_scaling" / "digits" / "evidence.json").exists()


@FEW
@given(changes=BYTES, cut=CUTS, cells=CELLS, keys=KEYS)
def test_damaged_evidence(changes, cut, cells, keys, whole, tmp_path_factory, capsys):
    rows, record = whole
    rows = damaged(with_cells(rows, cells), changes, cut)
    redraws_or_says_why(tmp_path_factory.getbasetemp() / "evidence", capsys, rows, with_values(record, keys))


@pytest.mark.fault
@MANY
@given(changes=BYTES, cut=CUTS, cells=CELLS, keys=KEYS)
def test_much_damaged_evidence(changes, cut, cells, keys, whole, tmp_path_factory, capsys):
    rows, record = whole
    rows = damaged(with_cells(rows, cells), changes, cut)
    redraws_or_says_why(tmp_path_factory.getbasetemp() / "evidence", capsys, rows, with_values(record, keys))
