"""What can be read off the weights of a trained model: rows of attention distances and position similarities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from vitlab.data.loading import ImageData
from vitlab.data.shuffle import arranged
from vitlab.inspection import (
    accumulate,
    attention_distances,
    effective_receptive_field,
    field_size,
    position_similarity,
    position_structure,
    safe_batch_size,
    uniform_distance,
)
from vitlab.models import Inspection, ResNet, ViT, load
from vitlab.models.zoo import recreate, settings_of
from vitlab.runs.build_model import build_model
from vitlab.runs.place import Listener, Stopped
from vitlab.runs.run import Run
from vitlab.runs.store import Store
from vitlab.tasks.settings import Inspect

Rows = list[dict[str, Any]]
MEMORY = 2**29  # bytes for attention; with torch, timm and the weights B/16 at 384 px then stays below 2 GB


def inspect_run(run: Run, data: ImageData, store: Store, listener: Listener, device: str) -> Rows:
    """Measure the training that `run` starts from: before it, at each of its snapshots, and the weights that it chose.

    Raises:
        Stopped: when `listener` says so.
        ValueError: if `run` does not start from a training.
    """
    if not isinstance(run.init, Run) or not isinstance(run.task, Inspect):
        raise ValueError("Inspecting needs a training to start from; open other weights with --checkpoint.")
    images = normalised(data, run.task.images).to(device)
    rows: Rows = []
    for stage, step, model in stages(run.init, data, store):
        if listener.stop():
            raise Stopped
        rows += staged(stage, step, model.to(device), images)
    return rows


def staged(stage: str, step: int, model: ViT | ResNet, images: Tensor) -> Rows:
    """What `measure` finds, marked with the stage of training: "snapshot" (0 is untrained) or "selected"."""
    about = {"image_size": images.shape[-2], "images": len(images), "stage": stage, "step": step}
    return [about | row for row in measure(model, images, shapes=stage == "selected")]


def opened_rows(model: ViT | ResNet, images: Tensor, seed: int) -> Rows:
    """Rows of weights that no run of the store made, with those of the same model untrained, drawn from `seed`."""
    torch.manual_seed(seed)
    return [*staged("snapshot", 0, recreate(settings_of(model)).eval(), images), *staged("selected", 0, model, images)]


def stages(run: Run, data: ImageData, store: Store) -> Iterator[tuple[str, int, ViT | ResNet]]:
    """Yield ("snapshot", step, model) of a training from its start on, and last ("selected", step, model)."""
    yield "snapshot", 0, cast(ViT, build_model(run, data, store).eval())
    for step, path in snapshots(store.path(run)):
        yield "snapshot", step, load(path).eval()
    chosen = [row["best_step"] for row in store.rows(run) if "best_step" in row]
    yield "selected", chosen[0] if chosen else run.recipe.steps, load(store.weights(run)).eval()


def snapshots(folder: Path) -> list[tuple[int, Path]]:
    """The weights that a run kept along the way, as (step, file), in order."""
    found = ((re.fullmatch(r"step_(\d+)", path.stem), path) for path in folder.glob("step_*.safetensors"))
    return sorted((int(match[1]), path) for match, path in found if match)


def normalised(data: ImageData, count: int) -> Tensor:
    """The first `count` test images of a fixed even spread, as floats (B, 3, H, W) as the model was trained on them."""
    split = data.test
    chosen = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    return (arranged(split.images(chosen).cpu(), data).float() / 255 - mean) / std


def measure(model: ViT | ResNet, images: Tensor, *, shapes: bool = False) -> Rows:
    """Rows of one model in evaluation mode, `part` says which:

    "attention": mean attention distance of each layer and head (from 1), with its deviation over images;
    "positions": cosine of neighbouring position embeddings and of all others, and what explains it;
    "receptive_field": the effective one at the end of each stage of a ResNet. All distances are in pixels.
    With `shapes` also what `shape_rows` gives.
    """
    if isinstance(model, ResNet):
        return field_rows(model, images)
    about = shape_rows(model, images[:1]) if shapes else []
    return [*about, *attention_rows(model, images), *position_rows(model)]


def attention_rows(model: ViT, images: Tensor) -> Rows:
    """A row for each layer and head; an axial layer counts as two."""
    grid, stride = model.grid, float(model.token_stride)

    def distances(seen: Inspection) -> Tensor:
        return attention_distances(seen.attention, grid=grid, stride=stride, prefix=model.prefix_tokens)

    tokens = model.prefix_tokens + grid[0] * grid[1]
    size = safe_batch_size(tokens, model.heads, len(model.blocks), width=model.width, budget=MEMORY)
    found = accumulate(model, [images], {"distance": distances}, batch_size=size)["distance"]
    same = {"uniform_px": uniform_distance(grid, stride), "side_px": min(model.image_size)}
    return [
        {
            "part": "attention",
            "layer": layer + 1,
            "head": head + 1,
            "distance_px": float(found.mean[layer, head]),
            "deviation_px": float(found.deviation[layer, head]),
            **same,
        }
        for layer in range(found.mean.shape[0])
        for head in range(found.mean.shape[1])
    ]


def position_rows(model: ViT) -> Rows:
    """One row on the position embeddings (the first layer's, where each has its own); none without any to compare."""
    similarity = similarity_of(model)
    if similarity is None:
        return []
    near, others = neighbours_and_others(similarity)
    found = position_structure(similarity)
    return [
        {
            "part": "positions",
            "near_cosine": near,
            "other_cosine": others,
            "distance_r2": found.distance_r2,
            "distance_spearman": found.distance_spearman,
            "row_column_r2": found.row_column_r2,
        }
    ]


def similarity_of(model: ViT) -> Tensor | None:
    """Cosines of the position embeddings (h, w, h, w); None for "none" and "relative", which give places no vectors."""
    if len(model.positions) == 0 or model.grid[0] * model.grid[1] < 2:
        return None
    with torch.no_grad():
        return position_similarity(model.positions[0](), grid=model.grid, prefix=model.prefix_tokens).cpu()


def neighbours_and_others(similarity: Tensor) -> tuple[float, float]:
    """Mean similarity (h, w, h, w) of patches that share a side, and of all other different ones (NaN without)."""
    h, w = similarity.shape[:2]
    row, column = torch.arange(h * w) // w, torch.arange(h * w) % w
    apart = (row[:, None] - row).abs() + (column[:, None] - column).abs()  # (N, N)
    values = similarity.reshape(h * w, h * w)
    return float(values[apart == 1].mean()), float(values[apart > 1].mean())


def stage_map(model: ResNet, stage: int, images: Tensor) -> Tensor:
    """The feature map (B, C, h, w) at the end of a stage, from 0."""
    return model.inspect(images).maps[stage]


def field_rows(model: ResNet, images: Tensor) -> Rows:
    """A row for the effective receptive field at the end of each stage."""
    rows = []
    for stage in range(len(model.stages)):
        field = effective_receptive_field(partial(stage_map, model, stage), images.split(16))
        size = field_size(field)
        rows.append(
            {
                "part": "receptive_field",
                "layer": stage + 1,
                "distance_px": size.mean_distance,
                "radius_95_px": size.radius_95,
                "side_px": min(images.shape[-2:]),
            }
        )
    return rows


def shape_rows(model: ViT, image: Tensor) -> list[dict[str, Any]]:
    """Rows of part "shape" for one normalised image (1, C, H, W), and one of part "model" with the model's geometry."""
    with torch.no_grad():
        seen = model.inspect(image)
    about = {
        "part": "model",
        "grid_rows": model.grid[0],
        "grid_columns": model.grid[1],
        "token_px": model.token_stride,
        "prefix_tokens": model.prefix_tokens,
        "hybrid": not isinstance(model.backbone, nn.Identity),
    }
    names = ("what", "shape", "note")
    return [about, *({"part": "shape", **dict(zip(names, row, strict=True))} for row in shapes(model, seen))]


def shapes(model: ViT, seen: Inspection) -> tuple[tuple[str, str, str], ...]:
    """Rows (step, shape, what happens) for one image, from the model and what it computed."""
    (h, w), c, d = model.grid, model.config, model.width
    n, patch, tokens = h * w, model.config.patch, h * w + model.prefix_tokens
    hybrid = not isinstance(model.backbone, nn.Identity)
    rows = [("image", by(model.in_channels, *model.image_size), "colours, rows and columns of pixels, normalised")]
    channels = model.patch.in_channels
    if hybrid:
        note = f"a CNN, one place for {int(model.token_stride) // patch} px"
        rows.append(("feature map", by(channels, h * patch, w * patch), note))
    pieces = channels * patch**2
    what = f"{patch} × {patch} {'places' if hybrid else 'pixels'}, {pieces:,} numbers each"
    rows += [
        ("patches", f"{h} × {w} patches", f"non-overlapping pieces of {what}"),
        ("patch embedding", by(n, d), f"the same linear map from {pieces:,} to {d:,} numbers for each patch"),
    ]
    if model.prefix_tokens:
        rows.append(("class token", by(tokens, d), "one learned token in front"))
    rows.append(("positions", by(tokens, d), POSITIONS[c.positions]))
    heads = seen.attention[0].shape[1]
    mlp = c.mlp_width or 4 * d
    kind = " along rows, then columns," if c.attention == "axial" else ""
    rows += [
        (
            f"blocks 1 to {len(seen.attention)}",
            by(*seen.tokens[-1].shape[1:]),
            f"each: {heads} heads of attention{kind} ({heads} matrices of {by(tokens, tokens)}), then an MLP with "
            f"{mlp:,} hidden units",
        ),
        ("representation", by(*seen.pre_logits.shape[1:]), POOLING[c.pooling]),
        ("logits", by(*seen.logits.shape[1:]), f"a linear map to {seen.logits.shape[1]:,} classes"),
    ]
    return tuple(rows)


POSITIONS = {
    "1d": "a learned vector for each place is added (E_pos of equation 1)",
    "2d": "learned vectors for the row and the column are added",
    "sincos2d": "fixed sines and cosines of row and column are added",
    "relative": "nothing is added: offsets between tokens act inside the attention",
    "none": "nothing is added: the model does not know where a patch comes from",
}
POOLING = {
    "cls": "the class token's output, after the last layer norm (equation 4)",
    "gap": "the mean of the patch tokens' outputs, after the last layer norm",
}


def by(*sizes: int) -> str:
    """Sizes for people, `3 × 224 × 224`."""
    return " × ".join(f"{size:,}" for size in sizes)
