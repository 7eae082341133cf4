"""What every training script of the benchmark shares: its settings, its images, its ViT, and the watch that times it.

All train a ViT of one shape on the same real images, cropped and flipped, with AdamW, a clipped gradient and cosine
decay. The peers read them as tutorials do: PIL images and torchvision's transforms, in a worker process for each core.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import transforms

from vitlab.data.loading import ImageData, Split, load_data
from vitlab.models import create
from vitlab.tasks.settings import Precision, Recipe

if TYPE_CHECKING:
    from vitlab.models.vit import ViT

SIDE = 32  # px
WARM_UP = 5  # steps
RATE, DECAY, CLIP = 1e-3, 0.05, 1.0


@dataclass(frozen=True)
class Script:
    """What every script trains, for `steps` timed optimiser steps.

    `explicit`: attention as two matrix products, in place of the fused kernel that timm and transformers choose.
    `compile`: train through torch.compile, where the script is vitlab's.
    """

    model: str
    precision: Precision
    batch: int
    steps: int
    device: str
    threads: int
    compile: bool = False
    explicit: bool = False
    data: str = "digits"

    @property
    def recipe(self) -> Recipe:
        """What is trained, as vitlab says it: two equal rounds, of which the first is a warm-up."""
        return Recipe(
            steps=2 * self.steps,
            batch_size=self.batch,
            lr=RATE,
            weight_decay=DECAY,
            grad_clip=CLIP,
            augment=("crop", "flip"),
            evaluations=2,
            precision=self.precision,
            compile=self.compile,
        )

    @property
    def autocast(self) -> Any:
        """The context in which the model computes."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


class Watch:
    """Images/s of `script.steps` steps after a warm-up; call it at the end of every step."""

    def __init__(self, script: Script) -> None:
        self.script, self.step = script, 0
        self.images_per_s = 0.0

    @property
    def total(self) -> int:
        """How many steps a script has to do."""
        return WARM_UP + self.script.steps

    def __call__(self, *_: Any) -> None:
        """Look at the clock at both ends."""
        self.step += 1
        if self.step not in (WARM_UP, self.total):
            return
        if self.script.device == "cuda":
            torch.cuda.synchronize()
        if self.step == WARM_UP:
            self.began = time.perf_counter()
        else:
            self.images_per_s = self.script.steps * self.script.batch / (time.perf_counter() - self.began)


def ready(script: Script, folder: str) -> ImageData:
    """Set this process up for a script, quietly, and decode its images into `folder`."""
    for name in ("lightning.pytorch", "lightning.fabric", "transformers", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(script.threads)
    torch.manual_seed(0)
    return load_data(script.data, image_size=SIDE, cache=Path(folder))


class Pictures(torch.utils.data.Dataset):
    """50,000 images, so that no timed step waits for workers to start again at an epoch's end."""

    def __init__(self, data: ImageData, *last: Any) -> None:
        self.pixels = data.train.images(torch.arange(len(data.train))).permute(0, 2, 3, 1).numpy()
        self.labels = data.train.labels
        self.transform = augmentation(*last)

    def __len__(self) -> int:
        return 50_000

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        i = index % len(self.pixels)
        return self.transform(Image.fromarray(np.ascontiguousarray(self.pixels[i]))), int(self.labels[i])


class Images(torch.utils.data.Dataset):
    """PIL images with a transform."""

    def __init__(self, split: Split, transform: Callable[..., Any]) -> None:
        self.pixels = split.images(torch.arange(len(split)))
        self.labels, self.transform = split.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(transforms.functional.to_pil_image(self.pixels[index])), int(self.labels[index])


def evaluated(split: Split, data: ImageData) -> torch.utils.data.DataLoader:
    """A split as it is, normalised beforehand."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (data.mean, data.std))
    images = (split.images(torch.arange(len(split))) / 255 - mean) / std
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, split.labels), batch_size=500)


def augmentation(*last: Any) -> transforms.Compose:
    """A random crop of the padded image, a random flip, and `last`."""
    return transforms.Compose([transforms.RandomCrop(SIDE, padding=4), transforms.RandomHorizontalFlip(), *last])


def normalised(data: ImageData) -> tuple[Any, Any]:
    """The transforms that make a normalised tensor of an image."""
    return transforms.ToTensor(), transforms.Normalize(data.mean, data.std)


def shape(script: Script, num_classes: int) -> dict[str, int]:
    """The shape of the script's ViT, in words that timm and transformers have in common with nobody."""
    like = cast("ViT", create(script.model, image_size=SIDE, num_classes=num_classes))
    return {"patch": like.token_stride, "width": like.width, "depth": like.depth, "heads": like.heads}


def timm_vit(script: Script, num_classes: int) -> nn.Module:
    """timm's ViT of the shape of ours."""
    from timm.models.vision_transformer import Attention, VisionTransformer

    s = shape(script, num_classes)
    sizes: dict[str, Any] = dict(
        img_size=SIDE, patch_size=s["patch"], embed_dim=s["width"], depth=s["depth"], num_heads=s["heads"]
    )
    net = VisionTransformer(**sizes, num_classes=num_classes)
    for module in net.modules():
        if isinstance(module, Attention):
            choice: Any = module
            choice.fused_attn = not script.explicit
    return net.to(script.device)


def transformers_vit(script: Script, num_classes: int) -> Any:
    """transformers' ViT of the shape of ours, with its classifier."""
    from transformers import ViTConfig, ViTForImageClassification

    s = shape(script, num_classes)
    configured: Any = ViTConfig
    config = configured(
        image_size=SIDE,
        patch_size=s["patch"],
        hidden_size=s["width"],
        intermediate_size=4 * s["width"],
        num_hidden_layers=s["depth"],
        num_attention_heads=s["heads"],
        num_labels=num_classes,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="eager" if script.explicit else "sdpa",
    )
    return ViTForImageClassification(config)


def stacked(samples: list[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """A batch as transformers takes it."""
    images, labels = zip(*samples, strict=True)
    return {"pixel_values": torch.stack(images), "labels": torch.tensor(labels)}
