import copy

import pytest
import torch
from torch import nn

from vitlab.evaluation import FeatureCache, extract, weights_fingerprint

WHERE = {"name": "tiny", "data": "d0", "split": "test", "image_size": (8, 8)}


class Tiny(nn.Module):
    """A small network with dropout and batch statistics, the two things that make a feature depend on its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 5, 3)
        self.normalisation = nn.BatchNorm2d(5)
        self.dropout = nn.Dropout(0.5)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.normalisation(self.convolution(images))).mean((2, 3))


@pytest.fixture
def model() -> Tiny:
    torch.manual_seed(0)
    made = Tiny()
    made.normalisation(torch.randn(4, 5, 6, 6))  # statistics that are not those of the test images
    return made


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(23, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch_size", [1, 7, 22])
def test_extraction_is_independent_of_the_batch_size(model, images, batch_size):
    whole = extract(model, [images])
    assert whole.shape == (23, 5) and whole.dtype == torch.float32 and not whole.requires_grad
    torch.testing.assert_close(extract(model, images.split(batch_size)), whole, atol=1e-6, rtol=0)


def test_the_model_comes_back_as_it_was(model, images):
    model.train()
    model.normalisation.eval()
    before = copy.deepcopy(model.state_dict())
    extract(model, [images])
    assert (model.training, model.dropout.training, model.normalisation.training) == (True, True, False)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_no_images_is_an_error(model):
    with pytest.raises(ValueError, match="No images"):
        extract(model, [])


def test_the_fingerprint_sees_every_bit_name_type_and_shape():
    state = {"a": torch.arange(6.0).view(2, 3), "n": torch.tensor(3), "b": torch.zeros(2, dtype=torch.bfloat16)}
    changed = [
        {**state, "a": state["a"] + torch.tensor([0, 0, 1e-6])},
        {**state, "a": state["a"].view(3, 2)},
        {**state, "b": state["b"].to(torch.float16)},
        {**state, "n": torch.tensor(4)},
        {"c" if name == "a" else name: tensor for name, tensor in state.items()},
    ]
    assert len({weights_fingerprint(one) for one in [state, *changed]}) == 6
    assert weights_fingerprint(dict(reversed(state.items()))) == weights_fingerprint(state)
    assert weights_fingerprint({**state, "a": state["a"].T.contiguous().T}) == weights_fingerprint(state)


def test_the_cache_returns_what_was_extracted_and_asks_for_no_images_again(model, images, tmp_path):
    cache = FeatureCache(tmp_path / "features")
    first = cache.extract(model, [images], **WHERE)
    torch.testing.assert_close(first, extract(model, [images]))
    never = (pytest.fail("images were asked for again") for _ in range(1))
    assert torch.equal(FeatureCache(tmp_path / "features").extract(model, never, **WHERE), first)
    assert sorted(path.suffix for path in (tmp_path / "features").iterdir()) == [".b2", ".safetensors"]


def test_the_cache_notices_changed_weights_and_every_other_part_of_the_key(model, images, tmp_path):
    cache = FeatureCache(tmp_path)
    before = cache.extract(model, [images], **WHERE)
    with torch.no_grad():
        model.convolution.weight[0, 0, 0, 0] += 1
    after = cache.extract(model, [images], **WHERE)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, extract(model, [images]))
    others = [
        ("data", "d1"),
        ("split", "train"),
        ("image_size", (16, 16)),
        ("name", "other"),
        ("preparation", "mean 0.5"),
    ]
    for part, value in others:
        assert len(cache.extract(model, [images[:2]], **{**WHERE, part: value})) == 2


def test_a_damaged_file_is_put_aside_and_extracted_anew(model, images, tmp_path, caplog):
    cache = FeatureCache(tmp_path)
    whole = cache.extract(model, [images], **WHERE)
    (path,) = tmp_path.glob("*.safetensors")
    content = path.read_bytes()
    for damaged in (content[:40], content[:-1] + bytes([content[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        assert torch.equal(cache.extract(model, [images], **WHERE), whole)
        assert torch.equal(cache.extract(model, [], **WHERE), whole)
    assert len(caplog.records) == 3 and path.name in caplog.text
