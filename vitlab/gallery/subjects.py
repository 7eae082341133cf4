"""Opening any weights for inspection: the model, how it wants its pixels, and what its classes are called."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vitlab.data.decode import to_rgb
from vitlab.models import ResNet, ViT, load
from vitlab.models.facts import HALVES, known_facts
from vitlab.models.zoo import settings_of
from vitlab.runs.run import Run, from_settings
from vitlab.runs.store import Store
from vitlab.weights import find

Triple = tuple[float, float, float]
SIZES = {"tiny": "Ti", "small": "S", "base": "B", "large": "L", "huge": "H"}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model in evaluation mode with what is known of it.

    `mean` and `std` are of pixels in [0, 1]; `classes`: names, one for each logit; `run`: the training of the store
    that made it, whose folder may hold earlier weights.
    """

    source: str
    name: str
    model: ViT | ResNet
    mean: Triple
    std: Triple
    classes: tuple[str, ...]
    run: Run | None = None

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> float input of the model."""
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels.float() / 255 - mean) / std


def open_subject(source: str, store: Store, *, model: str = "", image_size: int | None = None) -> Subject:
    """Open a run of the store by its id, or anything that `vitlab.models.load` reads.

    `model` names the architecture for sources that do not say it; `image_size` in pixels, by default the source's own.
    Raises ValueError for what cannot be opened.
    """
    run, where = None, source
    if (store.folder / source / "run.json").is_file() and source:
        run = from_settings(json.loads((store.folder / source / "run.json").read_text()))
        where = str(store.weights(run))
        if not Path(where).is_file():
            raise ValueError(f"The run {source} of {store.folder} has no weights yet; finish it first.")
    elif re.fullmatch(r"[0-9a-f]{12}", source) and not Path(source).exists():
        raise ValueError(f"There is no run {source} in {store.folder}; --runs names the folder of the run store.")
    opened = load(model or guessed_name(source), where, image_size=image_size).eval()
    facts = known_facts(where)
    return Subject(
        source,
        settings_of(opened).name,
        opened,
        facts.get("mean", HALVES),
        facts.get("std", HALVES),
        class_names(facts.get("classes"), opened.head.out_features),
        run,
    )


def guessed_name(source: str) -> str | None:
    """Our name for a timm model or a Hugging Face directory from its own words, `vit_base_patch16_224`; else None."""
    path = find(source)
    config = path / "config.json"
    if config.is_file():
        about = json.loads(config.read_text())
        size = {192: "Ti", 384: "S", 768: "B", 1024: "L", 1280: "H"}.get(about.get("hidden_size"))
        return f"ViT-{size}/{about.get('patch_size', 16)}" if size else None
    match = re.match(r"(?:hf[-_]hub:\S*/)?(?:vit|deit)_(tiny|small|base|large|huge)_patch(\d+)_", source)
    return f"ViT-{SIZES[match[1]]}/{match[2]}" if match and not path.exists() else None


def class_names(known: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Names for `count` logits: those known, those of ImageNet-1k where there are 1,000, else numbers."""
    if known and len(known) == count:
        return tuple(known)
    if count == 1000:
        from timm.data import ImageNetInfo

        info = ImageNetInfo()
        return tuple(info.index_to_description(index) for index in range(count))
    return tuple(f"class {index}" for index in range(count))


def read_picture(path: Path, size: tuple[int, int]) -> Tensor:
    """Any image file as uint8 (3, height, width): its largest centred part of that shape, resampled (bicubic).

    Raises ValueError for a file that is missing or no readable image.
    """
    try:
        with Image.open(path) as image:
            upright = to_rgb(ImageOps.exif_transpose(image))
            fitted = ImageOps.fit(upright, (size[1], size[0]), Image.Resampling.BICUBIC)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image ({error}); give files such as .jpg or .png.") from None
    return torch.from_numpy(np.asarray(fitted).transpose(2, 0, 1).copy())
