"""Real image files of every odd kind, as Pillow writes them, become RGB squares."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitlab.data.decode import decode_square

RED = (200, 30, 60)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def solid(mode: str, value: Any, size: tuple[int, int] = (20, 20)) -> Image.Image:
    return Image.new(mode, size, value)


def palette(transparent: bool) -> bytes:
    image = solid("RGB", RED).convert("P", palette=Image.Palette.ADAPTIVE)
    return encoded(image, "PNG", **({"transparency": image.getpixel((0, 0))} if transparent else {}))


KINDS: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "rgb": (encoded(solid("RGB", RED), "PNG"), RED),
    "grey": (encoded(solid("L", 77), "PNG"), (77, 77, 77)),
    "black and white": (encoded(solid("1", 1), "PNG"), (255, 255, 255)),
    "palette": (palette(transparent=False), RED),
    "palette, transparent": (palette(transparent=True), (255, 255, 255)),
    "rgba, opaque": (encoded(solid("RGBA", (*RED, 255)), "PNG"), RED),
    "rgba, half over white": (encoded(solid("RGBA", (0, 0, 0, 128)), "PNG"), (127, 127, 127)),
    "grey with alpha": (encoded(solid("LA", (10, 0)), "PNG"), (255, 255, 255)),
    "cmyk": (encoded(solid("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
    "cmyk jpeg": (encoded(solid("CMYK", (0, 0, 0, 255)), "JPEG", quality=95), (0, 0, 0)),
    "grey jpeg": (encoded(solid("L", 90), "JPEG", quality=95), (90, 90, 90)),
    "16 bits": (encoded(Image.fromarray(np.full((20, 20), 0x4D12, np.uint16)), "PNG"), (77, 77, 77)),
    "32-bit integers": (encoded(solid("I", 0x4D12), "TIFF"), (77, 77, 77)),
    "floats": (encoded(solid("F", 0.5), "TIFF"), (128, 128, 128)),
    "animation": (
        encoded(solid("RGB", RED), "GIF", save_all=True, append_images=[solid("RGB", (0, 255, 0))], duration=50),
        RED,
    ),
    "animated webp": (
        encoded(solid("RGB", RED), "WEBP", lossless=True, save_all=True, append_images=[solid("RGB", (0, 255, 0))]),
        RED,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [20, 8])
def test_any_mode_becomes_an_rgb_square(kind: str, size: int) -> None:
    data, expected = KINDS[kind]
    pixels = decode_square(data, size)
    assert pixels.shape == (3, size, size) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - np.array(expected).reshape(3, 1, 1)).max() <= 2


@pytest.mark.parametrize(
    ("mode", "levels", "named"),
    [
        ("F", (0, 4095), "from 0 to 4095; those from 0 to 1 or 0 to 255 are read"),
        ("F", (-1000, 0.5), "from -1000 to 0.5; "),
        ("F", (0, math.inf), "are read, so scale them"),
        ("I", (0, 70_000), "from 0 to 70000; those from 0 to 65,535 are read"),
        ("I", (-1024, 3000), "from -1024 to 3000; "),
    ],
)
def test_grey_levels_of_no_known_scale_are_refused_in_place_of_becoming_white(
    mode: str, levels: tuple[float, float], named: str
) -> None:
    image = solid(mode, levels[0])
    image.putpixel((3, 3), levels[1])
    with pytest.raises(ValueError, match=named):
        decode_square(encoded(image, "TIFF"), 20)


def test_a_rounding_error_beyond_the_scale_is_none_of_its_values() -> None:
    image = solid("F", -0.2)
    image.putpixel((3, 3), 255.3)
    pixels = decode_square(encoded(image, "TIFF"), 20)
    assert pixels.max() == 255 and pixels.min() == 0


@pytest.mark.parametrize("shape", [(30, 10), (10, 30), (31, 17), (10, 10)])
def test_odd_sizes_are_cut_to_the_centre_square(shape: tuple[int, int]) -> None:
    image = solid("RGB", (0, 0, 0), shape)
    side = min(shape)
    box = ((shape[0] - side) // 2, (shape[1] - side) // 2)
    image.paste(solid("RGB", RED, (side + shape[0] % 2, side + shape[1] % 2)), box)
    centre = decode_square(encoded(image, "PNG"), 8)[:, 2:6, 2:6]
    assert np.abs(centre.astype(int) - np.array(RED).reshape(3, 1, 1)).max() <= 2


def test_a_sliver_of_an_image_is_no_error() -> None:
    assert decode_square(encoded(solid("L", 5, (1, 40)), "PNG"), 8).shape == (3, 8, 8)


def test_exif_rotation_is_applied() -> None:
    image = solid("RGB", (0, 0, 0), (16, 16))
    image.paste((255, 255, 255), (0, 0, 16, 8))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by 180 degrees
    pixels = decode_square(encoded(image, "JPEG", quality=95, exif=exif), 16)
    assert pixels[:, :6].max() < 20 and pixels[:, 10:].min() > 235


def test_an_image_of_the_size_asked_for_is_untouched() -> None:
    noise = np.random.RandomState(0).randint(0, 256, (12, 12, 3)).astype(np.uint8)
    assert np.array_equal(decode_square(encoded(Image.fromarray(noise), "PNG"), 12), noise.transpose(2, 0, 1))


def test_scaling_down_is_antialiased() -> None:
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    small = decode_square(encoded(Image.fromarray(checks.astype(np.uint8)), "PNG"), 8)
    assert np.abs(small.astype(int) - 127).max() < 15


@pytest.mark.parametrize(
    "data", [b"", b"no image", KINDS["rgb"][0][:40], KINDS["grey jpeg"][0][:300], KINDS["animation"][0][:20]]
)
def test_what_is_no_image_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        decode_square(data, 8)


@pytest.mark.parametrize("level", [0, 200, 300, 51_400])
def test_sixteen_bits_keep_their_upper_eight_in_every_image(level: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), level, np.uint16)).save(buffer, "PNG")
    assert (decode_square(buffer.getvalue(), 4) == level >> 8).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_transparent_colour_is_laid_over_white(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (4, 4)).save(buffer, "PNG", transparency=0 if mode == "L" else (0, 0, 0))
    assert (decode_square(buffer.getvalue(), 4) == 255).all()
