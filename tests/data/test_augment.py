"""Augmentation of batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy import stats
from torch import Generator, Tensor

from vitlab.data import augment, trivial
from vitlab.data.augment import Samples, apply_augmentations
from vitlab.runs.execute import prepare
from vitlab.runs.place import Place
from vitlab.runs.run import Data, Run
from vitlab.tasks.settings import Recipe


def batch(count: int = 6, size: int = 16) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=Generator().manual_seed(0))


def run(name: str, images: Tensor, seed: int = 0) -> Samples:
    targets = torch.arange(len(images)) % 4
    return apply_augmentations(Samples(images, targets), [name], 4, Generator().manual_seed(seed))


def still(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.int64)


@pytest.mark.parametrize("name", augment.augmentations())
@pytest.mark.parametrize("as_bytes", [True, False])
def test_every_augmentation_keeps_shape_and_range_and_is_repeatable(name: str, as_bytes: bool) -> None:
    images = batch() if as_bytes else batch() / 255
    before = images.clone()
    first, again, other = run(name, images), run(name, images), run(name, images, seed=1)
    assert torch.equal(images, before)
    assert first.images.shape == images.shape
    assert first.images.min() >= 0 and first.images.max() <= (255 if first.images.dtype == torch.uint8 else 1)
    assert torch.equal(first.images, again.images) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**31))
def test_mixed_targets_sum_to_one(name: str, seed: int) -> None:
    mixed = run(name, batch(), seed)
    assert mixed.targets.shape == (6, 4)
    assert torch.allclose(mixed.targets.sum(1), torch.ones(6)) and mixed.targets.min() >= 0


def test_mixup_mixes_images_and_targets_alike() -> None:
    """Each class has a colour of its own, so that an image tells which classes it is of and how much of each."""
    colors = torch.eye(4)[:, :3]
    whole = Samples(colors.view(4, 3, 1, 1).expand(4, 3, 2, 2), torch.arange(4))
    shares = []
    for seed in range(200):
        mixed = apply_augmentations(whole, ["mixup"], 4, Generator().manual_seed(seed))
        assert torch.allclose(mixed.images.mean((2, 3)), mixed.targets @ colors, atol=1e-6)
        shares.append(float(mixed.targets.max(1).values.min()))
    by_itself = 1 / 24  # all four, of the 24 permutations
    expected = by_itself + (1 - by_itself) * 2 * stats.beta.cdf(0.01, 0.2, 0.2)
    assert np.mean(np.array(shares) > 0.99) == pytest.approx(expected, abs=0.1), "most hardly mix"


def test_cutmix_targets_are_the_share_of_pixels() -> None:
    white_and_black = torch.tensor([255, 0], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 16, 16)
    for seed in range(20):
        targets = torch.tensor([1, 0])
        mixed = apply_augmentations(Samples(white_and_black, targets), ["cutmix"], 2, Generator().manual_seed(seed))
        assert torch.allclose(mixed.images.float().mean((1, 2, 3)) / 255, mixed.targets[:, 1], atol=1e-6)


def test_moving_nowhere_changes_nothing_and_mirroring_twice_neither() -> None:
    images = batch()
    no, yes = torch.zeros(6, dtype=torch.bool), torch.ones(6, dtype=torch.bool)
    zero = still(images)
    assert torch.equal(augment.move(images, zero, zero, no, reflect=True), images)
    mirrored = augment.move(images, zero, zero, yes, reflect=True)
    assert torch.equal(mirrored, images.flip(3))
    assert torch.equal(augment.move(mirrored, zero, zero, yes, reflect=True), images)


@pytest.mark.parametrize(("reflect", "mode"), [(True, "reflect"), (False, "constant")])
def test_a_crop_is_a_window_of_the_padded_image(reflect: bool, mode: str) -> None:
    images = batch(count=9)
    down, right = torch.arange(-4, 5) // 2, torch.arange(9) % 5 - 2
    moved = augment.move(images, down, right, torch.zeros(9, dtype=torch.bool), reflect=reflect)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode=mode)
    for index in range(9):
        top, left = int(down[index]) + 2, int(right[index]) + 2
        assert torch.equal(moved[index], padded[index, :, top : top + 16, left : left + 16])


@pytest.mark.parametrize("name", ["crop", "shift"])
def test_a_crop_moves_by_up_to_an_eighth_each_way_and_as_often(name: str) -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(3000, 3, 16, 16)
    middle = run(name, images).images[:, 0, 8, 8].long()
    places = (middle // 16 - 6) * 5 + middle % 16 - 6  # 0 to 24, for -2 to 2 pixels down and right
    times = torch.bincount(places) / 3000
    assert len(times) == 25 and (times - 0.04).abs().max() < 0.02


def test_flip_mirrors_half_of_the_images() -> None:
    images = batch(count=1000, size=4)
    flipped = run("flip", images).images
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all() and 430 < mirrored.sum() < 570


def test_cutout_greys_a_square_of_half_the_width_at_most() -> None:
    white = torch.full((50, 3, 16, 16), 255, dtype=torch.uint8)
    holes = (run("cutout", white).images == 128).all(1).sum((1, 2))
    assert holes.max() == 64 and holes.min() >= 16


def test_erasing_fills_a_box_of_its_area_and_shape_in_a_quarter_of_the_images() -> None:
    images = torch.full((4000, 3, 32, 32), 2.0)  # brighter than any noise
    hole = (run("erasing", images).images < 2).all(1)
    tall, wide = hole.any(2).sum(1), hole.any(1).sum(1)
    assert torch.equal(hole.sum((1, 2)), tall * wide), "a box"
    assert 0.22 < (tall > 0).float().mean() < 0.28
    at_border = hole[:, 0].any(1) | hole[:, -1].any(1) | hole[:, :, 0].any(1) | hole[:, :, -1].any(1)
    tall, wide = (side[(tall > 0) & ~at_border].float() for side in (tall, wide))
    assert (((tall - 0.5) * (wide - 0.5)).max() < 0.33 * 1024) and (((tall + 0.5) * (wide + 0.5)).min() > 0.02 * 1024)
    assert ((tall - 0.5) / (wide + 0.5)).max() <= 3.3 and ((wide - 0.5) / (tall + 0.5)).max() <= 3.3
    assert (tall * wide).max() > 0.2 * 1024 and (tall / wide).max() > 2 and (wide / tall).max() > 2


def test_color_changes_brightness_contrast_and_saturation_by_a_factor_each() -> None:
    """Far from black and white each can be read off: of the mean, of what differs from it, and of what is not grey."""
    colors = torch.tensor([0.38, 0.30, 0.34]).view(3, 1, 1) + 0.02 * torch.tensor([-1.0, 1.0]).view(1, 1, 2)
    changed = run("color", colors.expand(4000, 3, 1, 2)).images

    def told(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grey = augment.luminance(images)
        return grey.mean((1, 2, 3)), grey[..., 1] - grey[..., 0], (images - grey)[:, 0, 0, 0]

    (mean, spread, hue), (now, wide, bright) = told(colors[None]), told(changed)
    factors = torch.stack(
        [now / mean, (wide[:, 0, 0] / spread[0, 0, 0]) / (now / mean), bright / hue / (wide / spread)[:, 0, 0]]
    )
    assert factors.min() > 0.6 - 1e-3 and factors.max() < 1.4 + 1e-3
    assert torch.allclose(factors.mean(1), torch.ones(3), atol=0.02)
    assert torch.allclose(factors.std(1), torch.full((3,), 0.8 / 12**0.5), atol=0.01), "uniform"
    assert (torch.corrcoef(factors) - torch.eye(3)).abs().max() < 0.06, "drawn apart"


def test_normalise_is_undone_by_denormalise() -> None:
    images, mean, std = batch(), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    normal = augment.normalise(images, mean, std)
    assert torch.allclose(normal[:, 1], (images[:, 1] / 255 - 0.4) / 0.25, atol=1e-5)
    assert torch.allclose(augment.denormalise(normal, mean, std), images / 255, atol=1e-6)
    assert torch.allclose(augment.normalise(images / 255, mean, std), normal, atol=1e-5)


def test_equalise_and_autocontrast_agree_with_pillow() -> None:
    pixels = torch.randint(40, 180, (1, 3, 256, 256), generator=Generator().manual_seed(2)).to(torch.uint8)
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    for ours, theirs in [(trivial.equalise, ImageOps.equalize), (trivial.autocontrast, ImageOps.autocontrast)]:
        got = ours(pixels / 255, torch.zeros(1, 1, 1, 1))[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(got - np.asarray(theirs(picture), dtype=float)).max() <= 2.5


def test_trivial_translation_moves_by_the_strength() -> None:
    images = batch(count=1, size=16) / 255
    moved = trivial.translate_x(images, torch.full((1, 1, 1, 1), 0.25))
    assert torch.equal(moved[..., :12], images[..., 4:]) and moved[..., 12:].max() == 0


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="'mixupp'.*Did you mean 'mixup'"):
        run("mixupp", batch())


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", augment.augmentations())
def test_tiny_images_are_augmented_or_refused_in_words(name: str, size: int) -> None:
    images = batch(count=200, size=size)
    if size < {"crop": 2, "shift": 2, "trivial": 3}.get(name, 1):
        with pytest.raises(ValueError, match=rf"'{name}' needs images of . px.* have {size} px; leave it out of --aug"):
            run(name, images)
    else:
        assert run(name, images).images.shape == images.shape


def test_they_are_refused_before_an_image_is_read(tmp_path: Path) -> None:
    run = Run("ViT-Pico/1", Data("digits", image_size=1), Recipe(augment=("flip", "crop")))
    with pytest.raises(ValueError, match="'crop' needs images of 2 px"):
        prepare([run], Place(tmp_path, tmp_path / "cache"), read=False)
