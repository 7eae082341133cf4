"""SIGKILL at random moments, to the study or to one of its workers: what is started again gives the same rows."""

import os
import random
import shutil
import signal
import time

import pytest

from tests.runs.processes import start, until, workers
from vitlab.runs.stored import read_rows

SMALL = "--models ViT ResNet --train_sizes 50 100 --seeds 3 --steps 40 --evaluations 8 --wandb off --jobs 2".split()
UNTIMED = ["wall_s", "images_per_s", "date", "commit"]
KILLS = 20


def rows_of(folder):
    return read_rows(folder / "results" / "data_scaling" / "digits").drop(columns=UNTIMED)


@pytest.mark.fault
def test_twenty_kills_at_random_moments_lose_nothing(tmp_path):
    chance, kills, studies = random.Random(17), {"study": 0, "worker": 0}, 0
    assert start(tmp_path / "whole", *SMALL).wait(600) == 0
    while sum(kills.values()) < KILLS:
        folder = tmp_path / "killed"
        study = start(folder, *SMALL)
        until(lambda study=study: study.poll() is not None or len(workers(study.pid)) == 2)
        for whom in chance.choices(list(kills), k=2):
            time.sleep(chance.uniform(0.2, 3.0))  # the moment of the kill
            found = {"study": [study.pid], "worker": workers(study.pid)}[whom]
            if study.poll() is None and found:
                os.kill(chance.choice(found), signal.SIGKILL)
                kills[whom] += 1
        if study.poll() is None:
            os.kill(study.pid, signal.SIGTERM)
        study.wait(30)
        if len(list((folder / "runs").glob("*/rows.json"))) == 12:  # done, and so another one from the start
            assert start(folder, *SMALL).wait(600) == 0 and rows_of(folder).equals(rows_of(tmp_path / "whole"))
            shutil.rmtree(folder)
            studies += 1
    assert start(tmp_path / "killed", *SMALL).wait(600) == 0
    assert rows_of(tmp_path / "killed").equals(rows_of(tmp_path / "whole"))
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".tmp", ".part", ".ckpt", ".damaged"))]
    print(f"{kills} kills in {studies + 1} studies, nothing lost")
