"""A disk that is really full or read-only: a small file system of its own, where mounting one is allowed."""

import shutil
import subprocess

import pytest

from tests.runs.processes import TINY, start
from vitlab.files import whole
from vitlab.runs.stored import read_rows

pytestmark = pytest.mark.fault
WORDS = [word if word != "1" else "8" for word in TINY[:7]] + TINY[7:]  # eight seeds


def mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True).returncode == 0


@pytest.fixture
def runs(tmp_path):
    """A store on a file system of 80 megabytes."""
    folder = tmp_path / "runs"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)):
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_study_whose_disk_fills_goes_on_when_there_is_room(tmp_path, runs):
    """Six megabytes are left: a run needs four while it is trained and keeps half of one, so that eight do not fit."""
    assert start(tmp_path / "whole", *WORDS).wait(600) == 0
    assert start(tmp_path, *WORDS, "--time_budget", "1s").wait(600) == 3  # which decodes the images
    (runs / "filler").write_bytes(bytes(shutil.disk_usage(runs).free - 6 * 2**20))
    full = start(tmp_path, *WORDS)
    said, _ = full.communicate(timeout=600)
    assert full.returncode == 1 and said.count("No space left on device") == 1 and "Traceback" not in said, said
    done = {path: path.read_bytes() for path in runs.glob("*/rows.json")}
    assert done and all(whole(path) for path in runs.glob("*/*") if path.is_file())
    (runs / "filler").unlink()
    again = start(tmp_path, *WORDS)
    assert again.wait(600) == 0, again.stdout.read()
    assert all(path.read_bytes() == content for path, content in done.items())
    untimed = ["wall_s", "images_per_s", "date", "commit"]
    one, two = (read_rows(folder / "results/data_scaling/digits") for folder in (tmp_path / "whole", tmp_path))
    assert one.drop(columns=untimed).equals(two.drop(columns=untimed)) and one["seed"].nunique() == 8


def test_a_read_only_store_is_said_before_anything_is_trained(tmp_path, runs):
    assert mount("-o", "remount,ro", str(runs))
    study = start(tmp_path, *TINY)
    said, _ = study.communicate(timeout=600)
    assert study.returncode == 2 and "Traceback" not in said and str(runs) in said, said
