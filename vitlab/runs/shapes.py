"""The way of one image through a model, as rows: what it is at every step, and the shape of the numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vitlab.models import Inspection, ViT


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
