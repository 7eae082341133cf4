"""Shuffled patches: one permutation for all that models are shown, and what it takes from a ViT and from a CNN."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitlab.data import DataModule, load_data
from vitlab.data.batches import Batch
from vitlab.data.shuffle import arranged, patch_order, shuffle_patches
from vitlab.gallery import exhibits
from vitlab.models import create
from vitlab.tasks.masked_patch import MaskedPatchPrediction
from vitlab.tasks.settings import MaskedPatch, Recipe


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load_data("digits", cache=tmp_path_factory.mktemp("cache"))


@given(st.sampled_from([(8, 1), (8, 2), (8, 4), (12, 3), (32, 4), (9, 3)]), st.integers(0, 99))
def test_patches_move_whole_and_the_order_has_an_inverse(shape, seed):
    size, side = shape
    order = patch_order(size, side, seed)
    assert sorted(order.tolist()) == list(range(size**2))
    assert torch.equal(order[order.argsort()], torch.arange(size**2))
    assert torch.equal(order, patch_order(size, side, seed))
    cut = order.view(size // side, side, size // side, side).transpose(1, 2).flatten(0, 1)  # (N, s, s)
    within = torch.arange(side)[:, None] * size + torch.arange(side)  # from the first pixel of a patch to its others
    assert torch.equal(cut - cut[:, :1, :1], within.expand_as(cut))
    assert (cut[:, 0, 0] // size % side == 0).all() and (cut[:, 0, 0] % size % side == 0).all()


def test_the_permutations_are_those_of_the_studies():
    """Stored runs hang on these, as on their identities."""
    assert patch_order(8, 4, 0)[[0, 4, 32, 36]].tolist() == PINNED_PATCHES
    assert patch_order(8, 1, 7)[:8].tolist() == PINNED_PIXELS
    assert not torch.equal(patch_order(8, 1, 0), patch_order(8, 1, 1))


PINNED_PATCHES = [32, 36, 4, 0]
PINNED_PIXELS = [18, 2, 40, 48, 17, 41, 29, 21]


@pytest.mark.parametrize("side", [0, -1, 3, 8, 16])
def test_sides_that_do_not_fit_are_refused_with_those_that_do(digits, side):
    with pytest.raises(ValueError, match=rf"shuffle={side}: .* 8 px.*choose from 1, 2, 4\."):
        shuffle_patches(digits, side, 0)


def test_without_a_shuffle_images_are_the_very_same_tensor(digits):
    images = digits.test.images(torch.arange(3))
    assert arranged(images, digits) is images


@pytest.mark.parametrize("side", [1, 2, 4])
def test_every_split_is_shuffled_alike_and_nothing_else_is_different(digits, side):
    """Training, validation and test batches with and without the shuffle differ by the one permutation."""
    shuffled = shuffle_patches(digits, side, 3)
    order = patch_order(8, side, 3)
    plain, moved = (DataModule(data, batch_size=16, steps_per_round=2, seed=1) for data in (digits, shuffled))
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        for before, after in zip(getattr(plain, name)(), getattr(moved, name)(), strict=True):
            expected, got = plain.finish(before), moved.finish(after)
            assert torch.equal(got.images, expected.images.flatten(2)[:, :, order].view_as(expected.images))
            assert not torch.equal(got.images, expected.images)
            assert torch.equal(got.targets, expected.targets)


def test_augmentation_comes_before_the_shuffle(digits):
    augmented = DataModule(digits, batch_size=16, steps_per_round=1, seed=1, augment=("crop", "flip"))
    shuffled = DataModule(
        shuffle_patches(digits, 2, 0), batch_size=16, steps_per_round=1, seed=1, augment=("crop", "flip")
    )
    batch = next(iter(augmented.train_dataloader()))
    expected = augmented.finish(batch).images.flatten(2)[:, :, patch_order(8, 2, 0)]
    assert torch.equal(shuffled.finish(batch).images.flatten(2), expected)


@pytest.mark.parametrize("pooling", ["cls", "gap"])
def test_a_vit_of_that_patch_size_does_not_care_where_its_positions_move_along(digits, pooling):
    """Logits and all gradients are the same; the table's gradient has moved along, too."""
    order = patch_order(8, 2, 5)
    corners = order.view(4, 2, 4, 2)[:, 0, :, 0].flatten()
    patches = corners // 8 // 2 * 4 + corners % 8 // 2  # which patch stands at each place
    model = create("ViT-Pico/2", image_size=8, num_classes=10, pooling=pooling).double()
    torch.nn.init.normal_(model.head.weight)
    moved = create("ViT-Pico/2", image_size=8, num_classes=10, pooling=pooling).double()
    moved.load_state_dict(model.state_dict())
    rows = torch.cat([torch.arange(model.prefix_tokens), model.prefix_tokens + patches])
    with torch.no_grad():
        moved.positions[0].table.copy_(model.positions[0].table[:, rows])
    images = digits.test.images(torch.arange(8)).double() / 255
    logits = model(images), moved(arranged(images, shuffle_patches(digits, 2, 5)))
    torch.testing.assert_close(*logits, rtol=0, atol=1e-6)
    for found in logits:
        found.logsumexp(1).sum().backward()
    for (name, one), two in zip(model.named_parameters(), moved.parameters(), strict=True):
        expected = one.grad[:, rows] if name.startswith("positions") else one.grad
        torch.testing.assert_close(two.grad, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2])
def test_a_resnet_and_a_vit_of_other_patches_see_something_else(digits, side):
    images = digits.test.images(torch.arange(8)).float() / 255
    moved = arranged(images, shuffle_patches(digits, side, 5))
    for name, options in (("ResNet-Pico", {}), ("ViT-Pico/4", {"positions": "none"})):
        model = create(name, image_size=8, num_classes=10, **options)
        torch.nn.init.normal_(model.head.weight)
        with torch.no_grad():
            assert (model(images) - model(moved)).abs().max() > 0.05, name


def test_masked_patches_are_those_of_the_shuffled_image(digits):
    """With single pixels shuffled, a patch's mean colour is another one, in targets and in the floor alike."""
    made = []
    for data in (digits, shuffle_patches(digits, 1, 0)):
        model = create("ViT-Pico/2", image_size=8, num_classes=10)
        made.append(MaskedPatchPrediction(model, MaskedPatch(), Recipe(), data=data, steps=1, seed=0))
    plain, moved = made
    raw = digits.validation.images(torch.linspace(0, len(digits.validation) - 1, 6).long())
    shown = torch.from_numpy(moved.pictures()["image"]).permute(0, 3, 1, 2)
    assert torch.equal(shown, arranged(raw, moved.data))
    assert torch.equal(torch.from_numpy(plain.pictures()["image"]).permute(0, 3, 1, 2), raw)
    batch = DataModule(moved.data, batch_size=8, steps_per_round=1, seed=0).finish(
        Batch(raw, torch.zeros(6, dtype=torch.int64), -1)
    )
    means = arranged(raw, moved.data).float().div(255).unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1)).flatten(2)
    torch.testing.assert_close(moved.cut(batch.images).mean((-2, -1)), means.transpose(1, 2), rtol=0, atol=1e-5)
    assert plain.frequent_color.max() < 0.1 < moved.frequent_color.min(), "an even mixture of pixels is rarely black"


def test_pictures_of_a_trained_model_show_what_it_is_shown(digits):
    shuffled = shuffle_patches(digits, 2, 0)
    for (_, before, truth), (_, after, same) in zip(*map(exhibits.test_pictures, (digits, shuffled)), strict=True):
        assert torch.equal(after, arranged(before[None], shuffled)[0]) and truth == same
