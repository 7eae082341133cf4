"""Weight files of strangers: nothing that they claim is believed before it shows in their tensors."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.described import parts_of, rewrite, small
from vitlab import models
from vitlab.models.checkpoint import KEY
from vitlab.models.save import translated


def claiming(path: Path, model: torch.nn.Module | None = None, **claims: Any) -> Path:
    """A file of a small model whose description says something else."""
    models.save_checkpoint(model or small(), path)
    record = json.loads(parts_of(path)[0]["__metadata__"][KEY])
    for key, value in claims.items():
        (record if key in record else record["overrides"])[key] = value
    return rewrite(path, json.dumps(record))


CLAIMS: list[dict[str, Any]] = [
    {"image_size": [20_000, 20_000]},
    {"image_size": [20_000, 20_000], "positions": "none", "num_classes": 10**9},
    {"image_size": [20_000, 20_000], "positions": "sincos2d"},
    {"depth": 10**6},
    {"depth": 10**6, "attention": "axial", "pooling": "gap"},
    {"width": 2**20},
    {"heads": 10**9},
    {"mlp_width": 10**8},
    {"in_channels": 10**8},
    {"num_classes": 10**8},
    {"name": "ViT-H/14"},
    {"name": "R152x4"},
    {"name": "R50x1", "layers": [10**6], "widths": [64], "stem_width": 64},
    {"name": "R50x1", "layers": [1] * 10**5, "widths": [64] * 10**5, "stem_width": 64},
]
MEASURED = """
import json, resource, sys, time
from vitlab import models
path, before = sys.argv[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for target in (None, models.create("ViT-Pico/4", image_size=16, num_classes=5)):
    try:
        models.load(target, path)
        print("loaded")
    except ValueError as error:
        print(str(error).startswith(path))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("claims", CLAIMS, ids=lambda claims: " ".join(claims))
def test_what_the_tensors_do_not_show_is_refused_and_costs_nothing(claims: dict[str, Any], tmp_path: Path) -> None:
    path = claiming(tmp_path / "claims.safetensors", **claims)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for model in (None, "ViT-Pico/4", small()):
        with pytest.raises(ValueError, match=str(path)):
            models.load(model, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.fault
@pytest.mark.parametrize("claims", CLAIMS, ids=lambda claims: " ".join(claims))
def test_no_claim_takes_memory(claims: dict[str, Any], tmp_path: Path) -> None:
    """The same in a process of its own, where the peak is exact."""
    path = claiming(tmp_path / "claims.safetensors", **claims)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", MEASURED, str(path)]
    *outcomes, megabytes = subprocess.check_output(command, env=environment, text=True).split()
    assert outcomes == ["True", "True"] and int(megabytes) < 150


def test_positions_without_tables_may_be_of_any_size_within_reason(tmp_path: Path) -> None:
    made = small(positions="none", pooling="gap")
    path = claiming(tmp_path / "a.safetensors", made, image_size=[1600, 1600])
    assert models.load(path).grid == (400, 400)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("", "damaged description"),
        ("[" * 5000, "damaged description"),
        ("null", "damaged description.*nothing|damaged description.*None"),
        ("{}", "does not say name"),
        ('{"name": 3}', "says name of its model, but 3 is not a text"),
    ],
)
def test_damaged_descriptions_are_named(record: str, message: str, tmp_path: Path) -> None:
    path = rewrite(claiming(tmp_path / "a.safetensors"), record)
    for read in (models.load, models.read_metadata):
        with pytest.raises(ValueError, match=f"{path}.*({message})"):
            read(path)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"image_size": 16}, "says image_size of its model, but 16 is not a list of 2, each a whole number"),
        ({"depth": "2"}, "says depth of its model, but '2' is not a whole number"),
        ({"num_classes": True}, "says num_classes of its model, but True is not a whole number"),
        ({"colour": 3}, "says 'colour' of its model, which has no such setting"),
        ({"name": "ViT-Tiny"}, "the model 'ViT-Tiny', which there is not"),
        ({"norm_eps": 3.0}, "norm_eps=3.0"),
        ({"activation": "swish"}, "activation='swish'"),
        ({"mean": "grey"}, "says mean|no such setting"),
    ],
)
def test_each_wrong_type_is_named(claims: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = claiming(tmp_path / "a.safetensors", **claims)
    with pytest.raises(ValueError, match=f"{path}.*({message})"):
        models.load(path)


def test_archives_that_grow_and_arrays_that_claim(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "grows.npz", **{"embedding/kernel": np.zeros(2**27, np.uint8)})
    assert (tmp_path / "grows.npz").stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"grows\.npz would grow to 128 MiB"):
        models.load("ViT-Pico/4", tmp_path / "grows.npz")
    np.savez(tmp_path / "claims.npz", **{"embedding/kernel": np.zeros((4, 4, 3, 64), np.float32)})
    with zipfile.ZipFile(tmp_path / "claims.npz") as archive:
        array = archive.read("embedding/kernel.npy").replace(b"(4, 4, 3, 64)", b"(9, 9, 9, 99)")
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("embedding/kernel.npy", array)
    with pytest.raises(ValueError, match=r"claims\.npz.*claims the shape \(9, 9, 9, 99\)"):
        models.load("ViT-Pico/4", tmp_path / "claims.npz")


def test_tensors_that_stand_for_more_than_is_stored(tmp_path: Path) -> None:
    weights = small().state_dict()
    weights["head.bias"] = torch.zeros(1).expand(10**9)
    torch.save(weights, tmp_path / "wide.pt")
    assert (tmp_path / "wide.pt").stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"wide\.pt claims 3,8.. MiB of tensors"):
        models.load("ViT-Pico/4", tmp_path / "wide.pt")


class Hungry:
    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (10**11,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_asks_for_memory(zipped: bool, tmp_path: Path) -> None:
    torch.save({"a": Hungry()}, tmp_path / "hungry.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"hungry\.pt asks for memory"):
        models.load("ViT-Pico/4", tmp_path / "hungry.pt")


ODD = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "meta": lambda: torch.zeros(3, device="meta"),
    "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "quantised": lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8),
    "no tensor": lambda: [1.0, 2.0],
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_numbers(kind: str) -> None:
    with pytest.raises(ValueError, match="'norm.weight'"):
        models.load(small(), {**small().state_dict(), "norm.weight": ODD[kind]()})


@pytest.mark.filterwarnings("ignore:.*deprecated on 0-D tensors")
@pytest.mark.parametrize("layout", ["vitlab", "timm", "official", "huggingface"])
def test_odd_shapes_are_listed(layout: str) -> None:
    weights, target = translated(small(), layout), small()
    shapes = [(), (0,), (5,), (1, 0, 64), (0, 17, 64), (1, 17), (2, 2, 2, 2, 2), (1, 1, 63)]
    for name in [name for name in weights if "1" not in name]:  # one block of the two
        for shape in shapes:
            if weights[name].shape != shape:
                with pytest.raises(ValueError, match=re.escape(name)):
                    models.load(target, {**weights, name: torch.zeros(shape)})
    positions = [name for name in weights if "pos" in name][0]
    for shape in shapes:
        with pytest.raises(ValueError, match="the state dict"):
            models.load("ViT-Pico/4", {**weights, positions: torch.zeros(shape)})


def test_what_is_no_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "endless.npz").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "config.json")
    for source in ("pipe.safetensors", "endless.npz", "."):
        with pytest.raises(ValueError, match="is no regular file"):
            models.load("ViT-Pico/4", tmp_path / source)
    with pytest.raises(ValueError, match="is no source of weights"):
        models.load("ViT-Pico/4", "x" * 5000)


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    made = small()
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="has no weights yet"):
        models.load("ViT-Pico/4", tmp_path)
    models.save_checkpoint(made, tmp_path / "model.safetensors")
    for loaded in (models.load(tmp_path), models.load("ViT-Pico/4", str(tmp_path)), models.load(small(), tmp_path)):
        assert all(torch.equal(value, made.state_dict()[name]) for name, value in loaded.state_dict().items())


HUGGINGFACE = {"model_type": "vit", "hidden_act": "gelu", "layer_norm_eps": 1e-12, "image_size": 16, "patch_size": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": ["gelu"]}, "config.json says hidden_act, but a list of 1 is not a text"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps, but '1e-12' is not a number"),
        ({"patch_size": 0}, "which cannot be"),
        ({"image_size": [16]}, "image_size, but a list of 1 is not a whole number or a list of 2"),
        ({"image_size": 10**9}, "does not tell the size of its images"),
        ({"model_type": None}, "model_type, but None is not a text"),
    ],
)
def test_a_hugging_face_directory_is_checked(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_file(translated(small(), "huggingface"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(HUGGINGFACE))
    assert models.load("ViT-Pico/4", tmp_path).grid == (4, 4)
    (tmp_path / "config.json").write_text(json.dumps({**HUGGINGFACE, **change}))
    with pytest.raises(ValueError, match=message):
        models.load("ViT-Pico/4", tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"config\.json: a list of 1 is not a table"):
        models.load("ViT-Pico/4", tmp_path)
