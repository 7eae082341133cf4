"""The real image sets that the studies on CIFAR scale were run with, where VITLAB_DATA says that they are here."""

import os
from pathlib import Path

import pytest

from vitlab.data import describe

SHARED = {
    "cifar10": ("CIFAR-10 (JPEG)", (49000, 1000, 10000), 10, 32),
    "tiny_imagenet_32": ("Tiny-ImageNet (32 px)", (95000, 5000, 10000), 200, 32),
    "caltech101_64": ("Caltech-101 (8,677 of 9,144 images)", (5467, 608, 2602), 101, 64),
    "eurosat_64": ("EuroSAT (24,300 of 27,000 images)", (17280, 4320, 2700), 10, 64),
    "flowers89_64": ("Flowers-102 (89-class subset)", (3492, 388, 1663), 89, 64),
}


@pytest.mark.skipif("VITLAB_DATA" not in os.environ, reason="VITLAB_DATA names no folder with the real data sets")
@pytest.mark.parametrize("name", SHARED)
def test_real_copies_are_described(name: str) -> None:
    info = describe(str(Path(os.environ["VITLAB_DATA"]) / name))
    title, sizes, classes, size = SHARED[name]
    assert (info.title, tuple(info.sizes.values()), info.num_classes, info.image_size) == (title, sizes, classes, size)
    assert info.fingerprint
