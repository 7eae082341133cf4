from dataclasses import dataclass

import pytest
import torch
from torch import nn

from vitlab.inspection import accumulate, safe_batch_size


@dataclass
class Seen:
    maps: tuple[torch.Tensor, ...]


class Recorder(nn.Module):
    """Shows its input as its only map, and remembers how many images it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def inspect(self, images: torch.Tensor) -> Seen:
        assert not self.training and not torch.is_grad_enabled()
        self.sizes.append(len(images))
        return Seen((images,))


IMAGES = torch.randn(11, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 100


@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [6, 5]), (4, [4, 2, 4, 1]), (1, [1] * 11)])
def test_mean_and_deviation_are_those_of_all_images_at_once(batch_size, sizes):
    model = Recorder()
    statistics = {"map": lambda seen: seen.maps[0].mean(1), "brightness": lambda seen: seen.maps[0].mean((1, 2, 3))}
    found = accumulate(model, IMAGES.split(6), statistics, batch_size=batch_size)
    assert model.sizes == sizes and model.training
    expected = IMAGES.mean(1).double()
    torch.testing.assert_close(found["map"].mean, expected.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found["map"].deviation, expected.std(0), atol=1e-4, rtol=0)
    assert found["brightness"].mean.shape == () and found["brightness"].images == 11


def test_one_image_has_no_deviation_and_none_is_an_error():
    one = accumulate(Recorder(), [IMAGES[:1]], {"map": lambda seen: seen.maps[0]})["map"]
    torch.testing.assert_close(one.mean, IMAGES[0].double())
    assert one.deviation.isnan().all()
    with pytest.raises(ValueError, match="No images"):
        accumulate(Recorder(), [], {})


def test_the_batch_size_keeps_attention_within_the_budget():
    tokens, heads, layers = 577, 12, 12
    one = 4 * layers * heads * tokens**2  # bytes of the matrices that must be held
    size = safe_batch_size(tokens, heads, layers, width=768)
    assert 1 <= size < 2**30 / one
    assert safe_batch_size(tokens, heads, layers, width=768, budget=2**31) == pytest.approx(2 * size, abs=1)
    assert safe_batch_size(65, 3, 6, width=192) > 100
    assert safe_batch_size(10_000, 16, 24, width=1024) == 1
