"""The run store: what is damaged, lost or half written is noticed, said, and made again."""

import json
import os
import subprocess
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from vitlab.files import Damaged, sum_of, sweep, whole, write_all
from vitlab.runs.execute import execute
from vitlab.runs.place import Listener, Place, Stopped
from vitlab.runs.run import Data, Run
from vitlab.runs.store import Store
from vitlab.tasks.settings import FewShot, Recipe

RUN = Run("ViT-Pico/4", Data("digits", train_size=50), Recipe(steps=8, batch_size=16, evaluations=4), snapshots=2)
ROWS = [{"run": RUN.id, "status": "finished", "score": 0.5}]
SILENT = Listener(lambda event: None, lambda: False)
UNTIMED = {"wall_s", "images_per_s", "date"}


def numbers(rows):
    return [{name: value for name, value in row.items() if name not in UNTIMED} for row in rows]


def flip(path, bit=1000):
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    with store.open(RUN, lambda: False):
        store.finish(RUN, ROWS)
    return store


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[]", b"[1]", b'[{"run": "other"}]', b"\xff", b"[" * 9999])
@pytest.mark.parametrize("checked", [True, False])
def test_a_file_that_holds_no_rows_of_the_run_is_put_aside_and_the_run_is_not_done(store, content, checked, caplog):
    path = store.path(RUN, "rows.json")
    path.write_bytes(content)
    if not checked:  # as a store from before there were checksums
        sum_of(path).unlink()
    assert not store.finished(RUN) and store.rows(RUN) == []
    assert str(path) in caplog.text and len(caplog.records) == 1
    assert path.with_name("rows.json.damaged").read_bytes() == content
    store.finish(RUN, ROWS)
    assert store.finished(RUN) and store.rows(RUN) == ROWS


@how(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(bit=st.integers(0, 10**6))
def test_any_flipped_bit_of_the_rows_is_noticed(store, bit):
    store.finish(RUN, ROWS)
    flip(store.path(RUN, "rows.json"), bit)
    assert not store.finished(RUN)


def test_rows_from_before_there_were_checksums_count(store):
    sum_of(store.path(RUN, "rows.json")).unlink()
    assert store.finished(RUN) and store.rows(RUN) == ROWS


def test_the_old_file_is_whole_when_the_power_goes_between_the_two_renames(tmp_path):
    path = tmp_path / "file"
    write_all({path: b"one"}, checked=True)
    write_all({path: b"two"}, checked=True)
    path.write_bytes(b"one")  # the checksum of "two" was there first
    assert whole(path)
    path.write_bytes(b"three")
    assert not whole(path)


def test_checksums_are_those_of_b2sum(tmp_path):
    write_all({tmp_path / "a file": b"content"}, checked=True)
    subprocess.run(["b2sum", "-c", "a file.b2"], cwd=tmp_path, check=True, capture_output=True)


def test_left_over_temporary_files_are_swept(store):
    folder = store.path(RUN)
    left = [folder / name for name in (".rows.json.123.tmp", "model.safetensors.7.part", ".last.ckpt", ".run.json.9")]
    for path in left:
        path.write_text("half")
    with store.open(RUN, lambda: False):
        assert not any(path.exists() for path in left)
    left[0].write_text("of a writer that is at it")
    sweep(folder)
    assert left[0].exists() and store.rows(RUN) == ROWS


def test_temporary_files_of_the_living_stay_whatever_the_clocks_say(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours, theirs = tmp_path / f".a.{os.getpid()}.tmp", tmp_path / f".a.{gone.pid}.tmp"
    for path in (ours, theirs):
        path.write_text("half")
    for path in (ours, theirs, tmp_path):
        os.utime(path, times=(0, time.time() - 7200))
    sweep(tmp_path)  # the file server's clock is two hours behind
    assert ours.exists() and theirs.exists()
    os.utime(tmp_path)
    sweep(tmp_path)  # the clock was set two hours forward, or the machine slept; of `theirs` nobody is left
    assert ours.exists() and not theirs.exists()


def test_waiting_for_a_lock_can_be_stopped(store):
    with store.open(RUN, lambda: False), pytest.raises(Stopped), Store(store.folder).open(RUN, lambda: True):
        pass


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return numbers(execute(RUN, Place(folder, folder / "cache"), SILENT).rows)


def stopped_at(place, round):
    """Train RUN and stop after some rounds."""
    seen = []
    listener = Listener(lambda event: seen.append(event["kind"]), lambda: seen.count("round") >= round)
    assert execute(RUN, place, listener).status == "stopped"


@pytest.mark.parametrize("names", [["last.ckpt"], ["last.ckpt", "previous.ckpt"], ["model.safetensors"], ["run.json"]])
def test_a_damaged_file_of_an_unfinished_run_changes_no_number(tmp_path, rows, names, caplog):
    place = Place(tmp_path, tmp_path / "cache")
    stopped_at(place, 3)
    for name in names:
        flip(place.store.path(RUN, name), 30_000)
    begun = []
    outcome = execute(RUN, place, Listener(begun.append, lambda: False))
    assert numbers(outcome.rows) == rows
    rounds = [event["step"] for event in begun if event["kind"] == "round"]
    assert rounds[0] == {"last.ckpt": 6, "run.json": 8}.get(names[-1], 2)
    assert all(name in caplog.text for name in names if name != "run.json")
    assert not [*place.store.path(RUN).glob("*.ckpt"), *place.store.path(RUN).glob("*.ckpt.b2")]


@pytest.mark.parametrize("name", ["model.safetensors", "step_0000004.safetensors", "curve.csv", None])
def test_damaged_or_lost_weights_of_a_finished_run_are_made_again_for_those_who_need_them(tmp_path, rows, name, caplog):
    place = Place(tmp_path, tmp_path / "cache")
    execute(RUN, place, SILENT)
    if name:
        flip(place.store.path(RUN, name), 30_000)
    else:
        place.store.weights(RUN).unlink()
    assert place.store.finished(RUN)  # its rows are whole, and that is all that the study looks at
    outcome = execute(RUN, place, SILENT)
    assert numbers(outcome.rows) == rows and place.store.complete(RUN)
    assert (name or "model.safetensors") in caplog.text


def test_weights_that_are_damaged_while_the_study_is_at_it_are_a_passing_failure(tmp_path):
    place = Place(tmp_path, tmp_path / "cache")
    execute(RUN, place, SILENT)
    flip(place.store.weights(RUN), 30_000)
    with pytest.raises(Damaged, match="model.safetensors"):
        place.store.weights(RUN)
    probe = Run(RUN.model, RUN.data, task=FewShot(shots=(1,), draws=1, max_draws=1), init=RUN)
    execute(RUN, place, SILENT)
    flip(place.store.weights(RUN), 30_001)
    outcome = execute(probe, place, SILENT)
    assert (outcome.status, outcome.kind) == ("failed", "passing")
    assert execute(RUN, place, SILENT).status == execute(probe, place, SILENT).status == "finished"


def test_an_error_that_nobody_knows_keeps_the_checkpoint_once_and_not_twice(tmp_path, rows):
    """A checkpoint of another version, say, must not stand in the way for ever."""
    place = Place(tmp_path, tmp_path / "cache")
    stopped_at(place, 2)
    place.store.put_round(RUN, {}, b"no checkpoint at all")
    for kept in (True, False):
        outcome = execute(RUN, place, SILENT)
        assert (outcome.kind, place.store.path(RUN, "last.ckpt").exists()) == ("unknown", kept)
    assert numbers(execute(RUN, place, SILENT).rows) == rows


def test_what_is_in_the_store_of_a_finished_run(tmp_path):
    place = Place(tmp_path, tmp_path / "cache")
    execute(replace(RUN, snapshots=0), place, SILENT)
    names = {path.name for path in place.store.path(replace(RUN, snapshots=0)).iterdir()}
    files = {"run.json", "rows.json", "curve.csv", "model.safetensors", "images.json"}
    assert names == files | {f"{name}.b2" for name in files} | {"lease.1"}
    assert json.loads((place.store.path(replace(RUN, snapshots=0), "run.json")).read_text())["model"] == RUN.model
