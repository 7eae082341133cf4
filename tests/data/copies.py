"""A parquet copy of a data set, as the hub has them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet

from tests.data.conftest import noise

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def write_parquet(
    file: Path, count: int, names: tuple[str, ...] | None, seed: int, image: str = "img", numbers: int = 10
) -> None:
    """`count` images of noise in `file`, labelled 0, 1, ... `numbers` - 1 in turn."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.parent / "one.png"
    images = []
    for index in range(count):
        noise(seed + index, 32).crop((0, 0, 32, 32)).save(scratch)
        images.append({"bytes": scratch.read_bytes(), "path": f"{index}.png"})
    scratch.unlink()
    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    table = arrow.table({image: arrow.array(images, kind), "label": arrow.array([i % numbers for i in range(count)])})
    features = {image: {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(names or [])}}
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, file)
