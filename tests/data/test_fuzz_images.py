"""Damaged images of every format: nothing escapes but ValueError, nothing takes long or much memory."""

from __future__ import annotations

import io
import resource
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitlab.data.decode import decode_square, short_side

PICTURE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (48, 40, 4)).astype(np.uint8), "RGBA")
HEADER = 200  # bytes in which a change matters most


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow's, about damaged EXIF


def encoded(kind: str, mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(np.asarray(PICTURE)[..., :2].copy().view(np.uint16)[..., 0]) if mode == "I;16" else PICTURE
    (image if mode == "I;16" else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
FRAMES = {"save_all": True, "append_images": [PICTURE.convert("RGB"), PICTURE.convert("L")]}
WHOLE = {
    "jpeg": encoded("JPEG", "RGB", exif=EXIF),
    "jpeg progressive": encoded("JPEG", "L", progressive=True),
    "jpeg cmyk": encoded("JPEG", "CMYK"),
    "png": encoded("PNG", "RGBA"),
    "png palette": encoded("PNG", "P", transparency=3),
    "png 16": encoded("PNG", "I;16"),
    "png animated": encoded("PNG", "RGB", **FRAMES),
    "gif": encoded("GIF", "RGB", **FRAMES),
    "bmp": encoded("BMP", "RGB"),
    "ppm": encoded("PPM", "RGB"),
    "webp": encoded("WEBP", "RGBA"),
    "webp animated": encoded("WEBP", "RGB", **FRAMES),
    "tiff": encoded("TIFF", "RGB", exif=EXIF),
    "tiff deflate": encoded("TIFF", "RGB", compression="tiff_adobe_deflate"),
    "tiff lzw": encoded("TIFF", "F", compression="tiff_lzw"),
    "tiff jpeg": encoded("TIFF", "RGB", compression="jpeg"),
    "avif": encoded("AVIF", "RGB"),
    "jpeg 2000": encoded("JPEG2000", "RGB"),
    "dds": encoded("DDS", "RGBA"),
    "tga": encoded("TGA", "RGB", compression="tga_rle"),
}
VALUES = st.integers(0, 255) | st.sampled_from([0, 1, 127, 128, 255])
CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), VALUES), max_size=12)
DRAWS = st.tuples(st.sampled_from(sorted(WHOLE)), CHANGES, st.none() | st.floats(0, 1))


def damaged(draw: tuple[str, list[tuple[float, int]], float | None]) -> bytes:
    """Bytes set to other values, half of them in the header, and the end cut off."""
    kind, changes, cut = draw
    content = bytearray(WHOLE[kind])
    for place, value in changes:
        span = min(HEADER, len(content)) if place < 0.5 else len(content)
        content[int((place * 2 % 1) * span)] = value
    return bytes(content[: int(cut * len(content))] if cut is not None else content)


def only_value_errors(data: bytes) -> None:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (short_side, lambda given: decode_square(given, 16)):
        try:
            read(data)
        except ValueError as error:
            assert str(error) and " object at " not in str(error)
    assert time.perf_counter() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_ones_are_read(kind: str) -> None:
    assert decode_square(WHOLE[kind], 16).shape == (3, 16, 16) and short_side(WHOLE[kind])[0] == 40


@settings(max_examples=400)
@given(draw=DRAWS)
def test_damaged_images_give_value_errors(draw):
    only_value_errors(damaged(draw))


@settings(max_examples=100)
@given(data=st.binary(max_size=300))
def test_any_bytes_give_value_errors(data):
    only_value_errors(data)


@pytest.mark.fault
@settings(max_examples=5000)
@given(draw=DRAWS)
def test_many_damaged_images(draw):
    only_value_errors(damaged(draw))
