"""From the bytes of an image file to an RGB square of 8 bits a channel."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as pillow

from vitlab.errors import reason

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "DDS", "TGA")
# Formats left out are those that run a program (EPS), that hold other files, or that nobody keeps photographs in.

MAX_PIXELS = 64_000_000  # more are not decoded: 13,000 x 13,000 px of one colour are half a megabyte on disk
HEAVY_PIXELS = 32_000_000  # of formats and modes whose decoding takes over twelve bytes a pixel
HEAVY = ("AVIF", "JPEG2000", "WEBP", "I", "F")
JPEG_PIXELS = 128_000_000  # of which a half, quarter or eighth of the side is decoded; not if it is progressive
PIECE = 2**20  # pixels that are converted at a time, where that takes many bytes a pixel

# our own limits stand in the place of Pillow's warning
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_square(data: bytes, size: int) -> Pixels:
    """Decode an image of any mode into (3, size, size) uint8 red, green, blue.

    EXIF rotation is applied, an animation gives its first frame (no other is read), transparency is laid over white,
    16-bit grey keeps its upper eight bits. The centre square of the shorter side is resampled (bicubic, antialiased) to
    `size` pixels; an image that has that size already is taken as it is. Raises ValueError for bytes that are no
    readable image, and for one of more pixels than are decoded, which the header tells: `MAX_PIXELS` in general.
    """
    with _reasons(), Image.open(io.BytesIO(data), formats=formats()) as image:
        _limit(image, size)
        ImageOps.exif_transpose(image, in_place=True)
        square = _square(to_rgb(image), size)
        return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))  # (3, H, W)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn any mode of Pillow's into RGB: grey, palette, alpha (over white), CMYK, 16-bit and floating point."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _over_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def short_side(image: bytes | Path) -> tuple[int, str]:
    """The shorter side in pixels and the file format, read from the header alone. Raises ValueError for no image."""
    with _reasons(), Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=formats()) as opened:
        return min(opened.size), str(opened.format)


@cache
def formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def reader() -> str:
    """What decodes images here, in words: those that it cannot read, another one may."""
    return f"Pillow {pillow} of {' '.join(formats())}"


@contextmanager
def _reasons() -> Iterator[None]:
    """Whatever a decoder throws becomes a ValueError in words: for damaged files they throw almost anything."""
    try:
        yield
    except UnidentifiedImageError:
        raise ValueError(f"it is no image in a format that is read here ({' '.join(formats())})") from None
    except Exception as error:
        text = reason(error)
        plain = isinstance(error, OSError | SyntaxError | ValueError | Image.DecompressionBombError) and text
        raise ValueError(
            text if plain else f"the decoder failed ({type(error).__name__}{text and ': '}{text})"
        ) from error


def _limit(image: Image.Image, size: int) -> None:
    """Refuse too many pixels by the header; let a large photo be decoded at a half, quarter, or eighth."""
    pixels, limit = math.prod(image.size), MAX_PIXELS
    if image.format in HEAVY or image.mode in HEAVY:
        limit = HEAVY_PIXELS
    if image.format == "JPEG" and image.mode in ("RGB", "L"):
        limit = MAX_PIXELS if image.info.get("progressive") else JPEG_PIXELS
    if pixels > limit:
        raise ValueError(
            f"it has {image.width:,} x {image.height:,} px; at most {limit // 1_000_000} million are decoded, so make "
            "it smaller"
        )
    if image.format == "JPEG" and image.mode in ("RGB", "L"):
        image.draft(image.mode, (2 * size, 2 * size))


def _over_white(image: Image.Image) -> Image.Image:
    """Lay an image with transparency over white, a strip at a time, since each takes four copies of its pixels."""
    laid, (width, height) = Image.new("RGB", image.size), image.size
    rows = max(1, PIECE // max(1, width))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        laid.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, top))
    return laid


def _square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def _to_bytes(values: npt.NDArray[np.generic]) -> Pixels:
    """Grey levels of more than 8 bits: 16-bit integers lose their lower byte; floats are in [0, 1] or in [0, 255].

    Integers of 32 bits hold either 16 of them or 8. Raises ValueError for what is outside, as nobody knows the scale.
    """
    flat, out = values.reshape(-1), np.empty(values.size, dtype=np.uint8)
    pieces = [slice(start, start + PIECE) for start in range(0, values.size, PIECE)]
    parts = [(part.min(), part.max()) for part in (_numbers(flat[piece]) for piece in pieces)]
    low, high = min(low for low, _ in parts), max(high for _, high in parts)
    if values.dtype.kind == "f":
        _check_levels(low, high, "0 to 1 or 0 to 255", 255)
        scale = 255 if high <= 1 else 1
        for piece in pieces:
            out[piece] = np.clip(np.round(_numbers(flat[piece]) * scale), 0, 255)
    else:
        _check_levels(low, high, "0 to 65,535", 2**16 - 1)
        shift = 8 if values.dtype.itemsize == 2 or high > 255 else 0
        for piece in pieces:
            out[piece] = flat[piece].astype(np.int64) >> shift
    return out.reshape(values.shape)


def _check_levels(low: float, high: float, allowed: str, most: int) -> None:
    if low <= -0.5 or high >= most + 0.5:
        raise ValueError(
            f"its grey levels go from {low:.6g} to {high:.6g}; those from {allowed} are read, so scale them"
        )


def _numbers(levels: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # some patterns of bits are no number
        return np.nan_to_num(levels.astype(np.float64))
