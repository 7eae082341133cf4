"""A study on ten times more data than its processes may have in memory: the rows of the same study without a limit."""

import io
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from tests.runs.processes import start
from vitlab.runs.stored import read_rows

pytestmark = pytest.mark.fault

ROOM = 384 * 2**20  # bytes that a process may have beside what its libraries take
SIDE = 128
IMAGES = 10 * ROOM // (3 * SIDE**2) + 1
SHARD = 5_000  # images
WORDS = f"--image_size {SIDE} --models ViT-Pico/32 --seeds 1 --batch_size 256 --steps 60 --evaluations 1".split()
WORDS += ["--wandb", "off", "--jobs", "1", "--cpus_per_run", "1"]
UNTIMED = ["wall_s", "images_per_s", "date", "commit"]
LIBRARIES = "import vitlab.runs.preload, vitlab.runs.execute, datasets; print(open('/proc/self/status').read())"
MAP = "import numpy, sys; numpy.load(sys.argv[1], mmap_mode='c')"


def picture(rng, label):
    """Noise whose brightness tells the class, stored without compression, so that bytes on disk are bytes of pixels."""
    file = io.BytesIO()
    pixels = rng.integers(0, 160, (SIDE, SIDE, 3), dtype=np.uint8) + np.uint8(9 * label)
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def shards(tmp_path):
    """A folder of parquet files, with row groups of a hundred images; every image comes about forty times."""
    rng, folder = np.random.default_rng(0), tmp_path / "noise"
    folder.mkdir()
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    pictures = [picture(rng, index % 10) for index in range(2_000)]
    for first in range(0, IMAGES, SHARD):
        chosen = [index % len(pictures) for index in range(first, min(first + SHARD, IMAGES))]
        images, labels = arrow.array([pictures[index] for index in chosen], kind), [index % 10 for index in chosen]
        file = folder / f"train-{first // SHARD:05}.parquet"
        parquet.write_table(arrow.table({"image": images, "label": labels}), file, row_group_size=100)
    yield folder
    shutil.rmtree(tmp_path)  # 12 GB


def rows_of(folder):
    return read_rows(folder / "results" / "data_scaling" / "noise").drop(columns=UNTIMED)


def test_ten_times_the_memory(tmp_path, shards):
    said = subprocess.run([sys.executable, "-c", LIBRARIES], stdout=subprocess.PIPE, text=True, check=True).stdout
    limit = int(re.search(r"VmData:\s+(\d+)", said)[1]) * 1024 + ROOM
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))}
    stored = sum(file.stat().st_size for file in shards.iterdir())
    assert stored >= 10 * ROOM and IMAGES * 3 * SIDE**2 >= 10 * ROOM  # on disk, and decoded

    words = [*WORDS, "--data", str(shards), "--name", "noise", "--train_sizes", str(7 * IMAGES // 10)]
    whole = start(tmp_path / "whole", *words)
    assert whole.wait(3600) == 0, whole.stdout.read()
    (decoded,) = (tmp_path / "whole" / "runs" / "cache").glob("*.npy")
    mapped = subprocess.run([sys.executable, "-c", MAP, str(decoded)], stderr=subprocess.PIPE, text=True, **limited)
    assert "Cannot allocate memory" in mapped.stderr  # the limit holds
    os.unlink(decoded)

    study = start(tmp_path / "limited", *words, **limited)
    assert study.wait(3600) == 0, study.stdout.read()
    assert not list((tmp_path / "limited" / "runs" / "cache").glob("*.npy"))
    assert rows_of(tmp_path / "limited").equals(rows_of(tmp_path / "whole"))
