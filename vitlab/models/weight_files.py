"""Reading weight files of every kind that `load` takes, without ever running code from them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitlab.models.archives import check_arrays, check_pickle, check_storage, check_tensors, naming, regular
from vitlab.models.checkpoint import KEY, read_header, read_weights
from vitlab.models.config import Settings
from vitlab.models.names import canonical, detect
from vitlab.models.trust import read_record, settings_from
from vitlab.typed import misfit
from vitlab.weights import PACKED, find, shards

Source = str | Path | Mapping[str, Tensor]

# What each implementation computes with: non-linearity, constant in layer norms, constants in hybrids' CNNs.
NUMERICS = {
    "official": {"activation": "gelu_tanh", "norm_eps": 1e-6, "numerics": "official"},
    "timm": {"activation": "gelu", "norm_eps": 1e-6, "numerics": "timm"},
    "huggingface": {"activation": "gelu", "norm_eps": 1e-12},
}
INTERPOLATION = {
    "official": "corners",
    "vitlab": "corners",
    "timm": "bicubic_antialias",
    "huggingface": "bicubic",
}
HUGGINGFACE_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
TIMM_ACTIVATIONS = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "ReLU": "relu"}
HUGGINGFACE_TYPES = {
    "model_type": str,
    "hidden_act": str,
    "layer_norm_eps": float,
    "image_size": int | tuple[int, int],
    "patch_size": int | tuple[int, int],
}


@dataclass(frozen=True)
class Found:
    """Weights and what is known of them.

    `weights`: under `canonical` names; `layout`: where the names come from; `settings`: of the model, if vitlab wrote
    the file; `numerics`: the constants that they were trained with; `grid`: rows and columns of patches, if known.
    """

    where: str
    weights: dict[str, Tensor]
    layout: str
    settings: Settings | None = None
    numerics: Mapping[str, Any] = field(default_factory=dict)
    grid: tuple[int, int] | None = None


def read_source(source: Source) -> Found:
    """Weights from a file, a run's folder, a Hugging Face directory, a name of ours or timm's, or a state dict.

    Raises ValueError, with the source's name in it, if it is none of these or damaged.
    """
    if isinstance(source, Mapping):
        return found("the state dict", source)
    with naming(source, "is no source of weights"):
        path = find(source)
        exists, folder = path.exists(), path.is_dir()
    if folder:
        return read_folder(path)
    return read_file(regular(path)) if exists else read_timm(str(source))


def read_folder(folder: Path) -> Found:
    """A run of the store, which has a `model.safetensors`, or what `save_pretrained` wrote, with `config.json` too."""
    if (folder / "config.json").exists():
        return read_huggingface(folder)
    if (folder / "model.safetensors").exists():
        return read_file(regular(folder / "model.safetensors"))
    if (folder / "run.json").exists():
        raise ValueError(
            f"The run in {folder} has no weights yet, which are in its model.safetensors; finish it first."
        )
    raise ValueError(
        f"{folder} is no source of weights: it has neither a config.json (Hugging Face) nor a model.safetensors (a run)"
    )


def read_file(path: Path) -> Found:
    """A weight file, by its ending; anything but `.npz`, `.safetensors` and `.safetensors.xz` is torch's."""
    if path.suffix == ".npz":
        return found(str(path), read_npz(path), record=npz_record(path))
    if path.name.endswith((".safetensors", f".safetensors{PACKED}")):
        return found(str(path), read_weights(path), record=read_header(path).get(KEY))
    return found(str(path), read_torch(path))


def found(where: str, weights: Mapping[str, Tensor], *, record: str | None = None, **known: Any) -> Found:
    """`Found` for raw weights; `record` is the JSON that `vitlab` leaves in files. ValueError for an unknown layout."""
    check_tensors(weights, where)
    names = {name: _single(tensor) for name, tensor in canonical(weights).items()}
    layout = detect(names)
    if layout is None:
        some = ", ".join(name[:80] for name in sorted(names)[:5]) or "nothing"
        raise ValueError(
            f"{where} holds no ViT or BiT ResNet in a layout of vitlab, timm, the authors' .npz or Hugging Face. "
            f"It holds {some}{' ...' if len(names) > 5 else ''}"
        )
    settings = None if record is None else settings_from(read_record(record, where), names, where)
    numerics = NUMERICS.get(layout, {})
    if settings is not None:
        usual = {"activation": "gelu", "norm_eps": 1e-6, "numerics": "official"}
        numerics = {name: settings.overrides.get(name, value) for name, value in usual.items()}
    return Found(where, names, layout, **{"settings": settings, "numerics": numerics, **known})


def _single(weight: Tensor) -> Tensor:
    """Halves in single precision, in which positions are resampled."""
    return weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of an `.npz`, never unpickled; ValueError if it is damaged or holds pickled objects."""
    with naming(path, "cannot be read as .npz of plain arrays"):
        check_arrays(path)
        with np.load(path, allow_pickle=False) as file:
            return {name: torch.from_numpy(np.ascontiguousarray(file[name])) for name in file.files}


def npz_record(path: Path) -> str | None:
    """The JSON that `save` leaves in the comment of the zip archive, where no other reader looks."""
    with naming(path), zipfile.ZipFile(path) as file:
        comment = file.comment.decode(errors="ignore")
    return comment if comment.startswith("{") else None


def read_torch(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.ckpt`, `.pt`, `.pth` or `.bin`, read with `weights_only`; ValueError if that is refused."""
    refusal = "cannot be read as plain tensors, and nothing else in it will be run; have its maker save .safetensors"
    with naming(path, refusal):
        check_pickle(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not named weights")
    weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    with naming(path):
        check_tensors(weights, path)
        check_storage(weights, path)
    return weights


def read_huggingface(folder: Path) -> Found:
    """A directory that `save_pretrained` wrote; ValueError if config or weights are missing or not a ViT's."""
    config = huggingface_config(folder)
    files = shards(folder)
    if config.get("model_type") != "vit" or not files:
        raise ValueError(
            f"{folder} holds model_type {config.get('model_type')!r} and {len(files)} weight files, not a ViT"
        )
    weights: dict[str, Tensor] = {}
    for file in map(regular, files):
        weights |= read_weights(file) if file.suffix == ".safetensors" else read_torch(file)
    activation = HUGGINGFACE_ACTIVATIONS.get(config.get("hidden_act", "gelu"))
    if activation is None:
        raise ValueError(
            f"{folder}: hidden_act {config['hidden_act']!r} is none of {', '.join(HUGGINGFACE_ACTIVATIONS)}"
        )
    numerics = {"activation": activation, "norm_eps": config.get("layer_norm_eps", 1e-12)}
    size, patch = (as_pair(config.get(name, usual)) for name, usual in (("image_size", 224), ("patch_size", 16)))
    if min(*size, *patch) < 1 or not 0 <= numerics["norm_eps"] < 1:
        raise ValueError(f"{folder}: config.json says {size=}, {patch=}, {numerics['norm_eps']=}, which cannot be")
    return found(str(folder), weights, numerics=numerics, grid=(size[0] // patch[0], size[1] // patch[1]))


def huggingface_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a directory, with the types that it should have; ValueError names file and key."""
    file = folder / "config.json"
    with naming(folder, "is no Hugging Face model: config.json cannot be read"):
        config = json.loads(regular(file).read_text())
    if wrong := misfit(config, Mapping[str, Any]):
        raise ValueError(f"{file}: {wrong}")
    for key, annotation in HUGGINGFACE_TYPES.items():
        if key in config and (wrong := misfit(config[key], annotation)):
            raise ValueError(f"{file} says {key}, but {wrong}")
    return config


def as_pair(value: int | list[int]) -> tuple[int, int]:
    """(height, width) from one number or two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def read_timm(name: str) -> Found:
    """The pretrained weights that timm has under `name`; ValueError if timm knows no such model or cannot get them."""
    import timm  # after the ground floor's own imports: it takes seconds, and only this source needs it

    if not (timm.is_model(name.split(".")[0]) or name.startswith("hf")):
        raise ValueError(
            f"There is no file {name!r}, and timm knows no such model. A source is a path (.npz, .safetensors[.xz], "
            ".ckpt, .pt, .pth, .bin), a Hugging Face directory, the name of a timm model, or a state dict."
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(f"timm could not give weights for {name!r}: {error}") from error
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    grid = None if grid is None else (grid[0], grid[1])
    return found(f"timm's {name}", model.state_dict(), grid=grid, numerics=timm_numerics(name, model))


def timm_numerics(name: str, model: Any) -> dict[str, Any]:
    """What a timm model computes with; ValueError for a non-linearity that ours do not have."""
    numerics = dict(NUMERICS["timm"])
    layers = list(getattr(model, "blocks", ()))
    if layers and hasattr(layers[0], "mlp"):
        act = layers[0].mlp.act
        kind = "GELUTanh" if getattr(act, "approximate", "none") == "tanh" else type(act).__name__
        if kind not in TIMM_ACTIVATIONS:
            raise ValueError(f"timm's {name} has {kind}; ours have {', '.join(TIMM_ACTIVATIONS)}.")
        numerics |= {"activation": TIMM_ACTIVATIONS[kind], "norm_eps": layers[0].norm1.eps}
    return numerics
