"""An epoch of a data set ten times larger than the memory that it takes: the batches of data in memory.

What counts is anonymous memory (RssAnon), which the system cannot get back: pages of mapped files it can, and limits of
an address space count what libraries only reserve (Arrow's allocator a gigabyte at once). A memory cgroup limits what
is used, pages of files included; where one can be made, an epoch goes through in a tenth of the data beside the
libraries. The disk then does most of the work: minutes, more where it reads far ahead (`blockdev --getra`).
"""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

pytestmark = pytest.mark.fault

SIDE = 128
IMAGES = 96_000  # 4.7 GB, on disk and decoded
SHARD = 6_000  # images
EPOCH = """
import json, os, re, sys, threading, time, zlib
from pathlib import Path
import datasets, pyarrow.parquet, torch
from vitlab.data import DataModule, load_data

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.005)

torch.set_num_threads(1)
before = anonymous()
if len(sys.argv) > 4:  # a memory cgroup, and what may be used from here on: what is there already counts elsewhere
    group = Path(sys.argv[4])
    limit = next(path for path in map(group.joinpath, ("memory.limit_in_bytes", "memory.max")) if path.exists())
    limit.write_text(sys.argv[5])
    (group / "cgroup.procs").write_text(str(os.getpid()))
peak = [before]
threading.Thread(target=watch, daemon=True).start()
data = load_data(sys.argv[1], image_size=128, cache=Path(sys.argv[2]), memory_fraction=float(sys.argv[3]))
steps = -(-len(data.train) // 64)
module = DataModule(data, batch_size=64, steps_per_round=steps, seed=3, augment=("crop", "mixup"), workers=0)
seen = 0
for batch in module.train_dataloader():
    seen = zlib.crc32(module.finish(batch).images.numpy(), seen)
about = {"steps": steps, "seen": seen, "mean": data.mean, "std": data.std}
print(json.dumps({"streaming": data.train.streaming, "memory": peak[0] - before, "epoch": about}))
"""


def picture(rng, label):
    """Noise whose brightness tells the class, stored without compression, so that bytes on disk are bytes of pixels."""
    file = io.BytesIO()
    pixels = rng.integers(0, 160, (SIDE, SIDE, 3), dtype=np.uint8) + np.uint8(9 * label)
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def shards(tmp_path):
    """A folder of parquet files, with row groups of a hundred images; every image comes 48 times."""
    rng, folder = np.random.default_rng(0), tmp_path / "noise"
    folder.mkdir()
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    pictures = [picture(rng, index % 10) for index in range(2_000)]
    for first in range(0, IMAGES, SHARD):
        chosen = [index % len(pictures) for index in range(first, first + SHARD)]
        images, labels = arrow.array([pictures[index] for index in chosen], kind), [index % 10 for index in chosen]
        file = folder / f"train-{first // SHARD:05}.parquet"
        parquet.write_table(
            arrow.table({"image": images, "label": labels}), file, row_group_size=100, use_dictionary=False
        )
    yield folder
    shutil.rmtree(tmp_path)  # 14 GB


@pytest.fixture
def group():
    """A new memory cgroup, of either version."""
    for root in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        made = root / f"vitlab_{os.getpid()}"
        try:
            made.mkdir()
        except OSError:
            continue
        if (made / "memory.limit_in_bytes").exists() or (made / "memory.max").exists():
            yield made
            made.rmdir()
            return
        made.rmdir()
    pytest.skip("needs a memory cgroup, which only the administrator of a machine may make")


def epoch(shards, cache, fraction, *limit):
    command = [sys.executable, "-c", EPOCH, str(shards), str(cache), str(fraction), *map(str, limit)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])


def test_ten_times_the_memory_that_an_epoch_takes(tmp_path, shards):
    stored = sum(file.stat().st_size for file in shards.iterdir())
    streamed = epoch(shards, tmp_path / "cache", 0.0)
    print(f"{stored:,} bytes of images took {streamed['memory']:,} bytes of memory")
    assert streamed["streaming"] and 10 * streamed["memory"] <= min(stored, IMAGES * 3 * SIDE**2)
    resident = epoch(shards, tmp_path / "cache", 1.0)
    assert not resident["streaming"] and resident["epoch"] == streamed["epoch"]


@pytest.mark.cluster
def test_in_a_tenth_of_the_data_that_the_system_allows(tmp_path, shards, group):
    allowed = min(sum(file.stat().st_size for file in shards.iterdir()), IMAGES * 3 * SIDE**2) // 10
    limited = epoch(shards, tmp_path / "cache", 0.0, group, allowed)
    resident = epoch(shards, tmp_path / "cache", 1.0)
    assert limited["streaming"] and limited["epoch"] == resident["epoch"]
    print(f"{10 * allowed:,} bytes of images went through {allowed:,} bytes of memory beside the libraries")
