"""From the bytes of an image file to an RGB square of 8 bits a channel."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]


def decode_square(data: bytes, size: int) -> Pixels:
    """Decode an image of any mode into (3, size, size) uint8 red, green, blue.

    EXIF rotation is applied, an animation gives its first frame, transparency is laid over white, 16-bit grey keeps its
    upper eight bits. The centre square of the shorter side is resampled (bicubic, antialiased) to `size` pixels; an
    image that has that size already is taken as it is. Raises ValueError for bytes that are no readable image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format == "JPEG" and image.mode in ("RGB", "L"):
                image.draft(image.mode, (2 * size, 2 * size))  # a large photo is decoded at a half, quarter, or eighth
            square = _square(to_rgb(ImageOps.exif_transpose(image)), size)
            return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))  # (3, H, W)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn any mode of Pillow's into RGB: grey, palette, alpha (over white), CMYK, 16-bit and floating point."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        alpha = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", alpha.size, (255, 255, 255, 255)), alpha).convert("RGB")
    return image.convert("RGB")


def short_side(data: bytes) -> tuple[int, str]:
    """The shorter side in pixels and the file format, read from the header alone. Raises ValueError for no image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return min(image.size), str(image.format)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error


def _square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def _to_bytes(values: npt.NDArray[np.generic]) -> Pixels:
    """Grey levels of more than 8 bits: 16-bit integers lose their lower byte; floats are in [0, 1] or in [0, 255]."""
    if values.dtype.kind == "f":
        numbers = np.nan_to_num(values.astype(np.float64))
        return np.clip(np.round(numbers * 255 if numbers.max() <= 1 else numbers), 0, 255).astype(np.uint8)
    integers = values.astype(np.int64)
    return np.clip(integers >> 8 if integers.max() > 255 else integers, 0, 255).astype(np.uint8)
