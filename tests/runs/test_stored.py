"""rows.csv: read back bit for bit, never written over by less, and an edit by hand shows."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from vitlab.runs.stored import (
    checksum,
    frame,
    merged,
    read_rows,
    rows_by_run,
    rows_content,
    rows_file,
    rows_folders,
    to_csv,
    write_rows,
)


def rows(*runs: str, score: float = 0.1, status: str = "finished") -> pd.DataFrame:
    return pd.DataFrame(
        [{"run": run, "study": "s", "status": status, "seed": i, "score": score + i / 3} for i, run in enumerate(runs)]
    )


def stored(folder, table: pd.DataFrame):
    folder.mkdir(exist_ok=True)
    text = to_csv(table)
    (folder / "rows.csv").write_text(text)
    record = {"settings": {}, "rows": {"checksum": checksum(text)}}
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder


def test_rows_are_read_back_bit_for_bit(tmp_path):
    table = frame(rows("12e456789012", "000000000001").assign(commit="12e4567", torch="2.10", shots=[5, np.nan]))
    back = read_rows(stored(tmp_path, table))
    assert back["score"].tolist() == table["score"].tolist() and back["run"].tolist() == table["run"].tolist()
    assert set(back["commit"]) == {"12e4567"} and set(back["torch"]) == {"2.10"}
    assert to_csv(back) == to_csv(table)


def test_large_rows_are_compressed_as_they_grow_and_read_back_the_same(tmp_path):
    folder = tmp_path / "study" / "data"
    folder.mkdir(parents=True)
    for count in (3, 30_000, 3):
        text = to_csv(frame(rows(*(f"{i:012x}" for i in range(count)))))
        write_rows(folder, dict([rows_content(folder, text)]))
        name = "rows.csv" if count == 3 else "rows.csv.gz"
        assert [path.name for path in folder.iterdir()] == [name] and rows_folders(tmp_path) == [folder]
        assert to_csv(read_rows(folder)) == text
        assert len(pd.read_csv(folder / name)) == count


def test_rows_that_a_folder_holds_twice_are_not_chosen_from(tmp_path):
    folder = stored(tmp_path, frame(rows("a", "b")))
    (folder / "rows.csv.gz").write_bytes(gzip.compress(to_csv(frame(rows("a"))).encode()))
    with pytest.raises(ValueError, match=r"both rows\.csv and rows\.csv\.gz.*remove"):
        read_rows(folder)
    (folder / "rows.csv").unlink()
    assert rows_file(folder) == folder / "rows.csv.gz"
    with pytest.raises(ValueError, match=r"rows\.csv\.gz is not what its provenance\.json describes"):
        read_rows(folder)


def test_compressed_rows_that_say_the_same_keep_their_bytes(tmp_path):
    text = to_csv(frame(rows(*(f"{i:012x}" for i in range(30_000)))))
    other = gzip.compress(text.encode(), compresslevel=1)
    (tmp_path / "rows.csv.gz").write_bytes(other)
    assert rows_content(tmp_path, text) == ("rows.csv.gz", other)
    assert rows_content(tmp_path, text + "\n")[1] != other


@pytest.mark.parametrize("cut", [0, 5, 200])
def test_damaged_compressed_rows_are_one_message_with_their_name(tmp_path, cut):
    whole = gzip.compress(to_csv(frame(rows(*"abcdefgh"))).encode())
    (tmp_path / "rows.csv.gz").write_bytes(whole[:cut] if cut < len(whole) else b"no gzip" * 9)
    with pytest.raises(ValueError, match=r"rows\.csv\.gz"):
        read_rows(tmp_path)


def test_an_edit_by_hand_is_named_and_taken_only_if_asked(tmp_path):
    folder = stored(tmp_path, frame(rows("a", "b")))
    path = folder / "rows.csv"
    path.write_text(path.read_text().replace("0.1", "0.9"))
    with pytest.raises(ValueError, match="--accept_edited"):
        read_rows(folder)
    assert read_rows(folder, accept_edited=True)["score"].max() == 0.9


@pytest.mark.parametrize("word", ["0.5", "many", "inf"])
def test_a_count_that_is_no_whole_number_is_named_with_its_line(tmp_path, word):
    (tmp_path / "rows.csv").write_text(f"study,status,train_images\na,finished,100\na,finished,{word}\n")
    with pytest.raises(ValueError, match=rf"rows.csv says {word} in line 3 for train_images"):
        read_rows(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"\x00\xff\x00", b'run,"status\n1,2,3,4\n"'])
def test_a_damaged_file_is_one_message_with_its_name(tmp_path, damage):
    (tmp_path / "rows.csv").write_bytes(damage)
    with pytest.raises(ValueError, match="rows.csv"):
        rows_by_run(read_rows(tmp_path))


def test_evidence_never_shrinks():
    old, new = rows("a", "b", "c"), rows("b", score=0.5)
    both = merged(old, new).set_index("run")["score"]
    assert set(both.index) == {"a", "b", "c"} and both["b"] == 0.5 and both["a"] == 0.1


def test_a_failure_does_not_replace_what_was_finished():
    kept = merged(rows("a", "b"), rows("a", "x", status="failed"))
    assert kept.set_index("run")["status"].to_dict() == {"a": "finished", "b": "finished", "x": "failed"}


def test_columns_and_rows_have_a_stable_order():
    table = rows("b", "a").assign(hardware="h", date="d", **{"recipe.lr": 0.1, "data.name": "digits"})
    assert list(frame(table).columns)[:4] == ["run", "study", "status", "score"]
    assert list(frame(table).columns)[-2:] == ["hardware", "date"]
    pd.testing.assert_frame_equal(frame(table), frame(table.iloc[::-1, ::-1]))
