"""Damaged weight files and wrong descriptions, drawn at random: every one is refused with a message that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.models.described import parts_of, rewrite, small
from vitlab import models
from vitlab.models.checkpoint import KEY

FEW = settings(max_examples=60, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=300, suppress_health_check=list(HealthCheck))


class Whole(dict[str, bytes]):
    def __repr__(self) -> str:  # in the report of a failure
        return "the whole files"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """One whole file of each kind, by its ending."""
    folder, model = tmp_path_factory.mktemp("whole"), small(head="tanh")
    models.save_checkpoint(model, folder / "a.safetensors", metadata={"mean": [0.5] * 3})
    models.save(model, folder / "a.npz")
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, folder / "a.pt")
    torch.save(model.state_dict(), folder / "a.pth", _use_new_zipfile_serialization=False)
    return Whole((file.suffix, file.read_bytes()) for file in folder.iterdir())


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["gelu", "1d", "gap"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["name", "image_size", "num_classes", "in_channels", "overrides", "mean", "classes", "card"])
OVERRIDES = st.sampled_from([*models.ViTConfig.__dataclass_fields__, "layers", "stage", "numerics", "nothing"])


def only_value_errors(path: Path) -> None:
    for read in (models.load, models.read_metadata, lambda source: models.load(small(), source)):
        try:
            read(path)
        except ValueError as error:
            assert str(path) in str(error) and " object at " not in str(error)


def flipped(content: bytes, spots: list[float], cut: float | None) -> bytes:
    damaged = bytearray(content)
    for spot in spots:  # the first and the last few kilobytes are read, and what lies between is numbers
        near = int(spot * 4000) if spot < 0.5 else len(damaged) - 1 - int((1 - spot) * 8000)
        damaged[near % len(damaged)] ^= 1 << int(spot * 1e6) % 8
    return bytes(damaged[: int(cut * len(damaged))] if cut is not None else damaged)


def damage(files: Whole, folder: Path, draw: tuple[str, list[float], float | None]) -> None:
    suffix, spots, cut = draw
    path = folder / f"damaged{suffix}"
    path.write_bytes(flipped(files[suffix], spots, cut))
    only_value_errors(path)


DAMAGE = st.tuples(
    st.sampled_from([".safetensors", ".npz", ".pt", ".pth"]),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=20),
    st.none() | st.floats(0, 1),
)
RECORDS = st.tuples(st.dictionaries(KEYS, JSONS, max_size=2), st.dictionaries(OVERRIDES, JSONS, max_size=2))


def describe_wrongly(folder: Path, draw: tuple[dict[str, Any], dict[str, Any]]) -> None:
    path = folder / "described.safetensors"
    models.save_checkpoint(small(), path)
    record = json.loads(parts_of(path)[0]["__metadata__"][KEY])
    record["overrides"] |= draw[1]
    only_value_errors(rewrite(path, json.dumps(record | draw[0])))


@FEW
@given(draw=DAMAGE)
def test_damaged_files_give_value_errors(draw, files, tmp_path_factory):
    damage(files, tmp_path_factory.getbasetemp(), draw)


@FEW
@given(draw=RECORDS)
def test_wrong_descriptions_give_value_errors(draw, tmp_path_factory):
    describe_wrongly(tmp_path_factory.getbasetemp(), draw)


@pytest.mark.fault
@MANY
@given(draw=DAMAGE)
def test_many_damaged_files(draw, files, tmp_path_factory):
    damage(files, tmp_path_factory.getbasetemp(), draw)


@pytest.mark.fault
@MANY
@given(draw=RECORDS)
def test_many_wrong_descriptions(draw, tmp_path_factory):
    describe_wrongly(tmp_path_factory.getbasetemp(), draw)
