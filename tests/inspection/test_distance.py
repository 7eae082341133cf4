import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.inspection import attention_distances, uniform_distance

GRID = (3, 5)


def with_prefix(patches: torch.Tensor, to_cls: float) -> torch.Tensor:
    """Add a class token to which every patch pays `to_cls` of its attention."""
    tokens = torch.zeros(*patches.shape[:2], patches.shape[2] + 1, patches.shape[2] + 1)
    tokens[..., 1:, 1:] = (1 - to_cls) * patches
    tokens[..., 1:, 0] = to_cls
    tokens[..., 0, 0] = 1
    return tokens


def matrix(kind: str) -> torch.Tensor:
    """One image, one head on GRID; "shift" looks one column to the right, from the last column at itself."""
    h, w = GRID
    target = {
        "identity": torch.arange(h * w),
        "one-hot": torch.zeros(h * w, dtype=torch.long),
        "shift": torch.arange(h * w).view(h, w)[:, [1, 2, 3, 4, 4]].flatten(),
    }
    if kind == "uniform":
        return torch.full((1, 1, h * w, h * w), 1 / (h * w))
    return torch.nn.functional.one_hot(target[kind], h * w).float()[None, None]


def corner_distance() -> float:
    return sum((row**2 + column**2) ** 0.5 for row in range(3) for column in range(5)) / 15


@pytest.mark.parametrize("to_cls", [None, 0.0, 0.7])
@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        ("uniform", uniform_distance(GRID, 16)),
        ("identity", 0),
        ("shift", 16 * 4 / 5),
        ("one-hot", 16 * corner_distance()),
    ],
)
def test_known_attention_has_its_known_distance_whatever_the_class_token_gets(kind, pixels, to_cls):
    attention = matrix(kind) if to_cls is None else with_prefix(matrix(kind), to_cls)
    found = attention_distances([attention] * 2, grid=GRID, stride=16, prefix=int(to_cls is not None))
    assert found.shape == (1, 2, 1)
    torch.testing.assert_close(found, torch.full((1, 2, 1), float(pixels)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("columns", [1, 2, 7, 30])
def test_uniform_attention_on_a_line_has_the_mean_distance_of_two_random_places(columns):
    assert uniform_distance((1, columns), 4) == pytest.approx(4 * (columns**2 - 1) / (3 * columns))
    assert uniform_distance((columns, 1), 4) == pytest.approx(uniform_distance((1, columns), 4))


def test_uniform_attention_on_a_fine_square_approaches_half_its_side():
    # Mean distance of two random points of the unit square: (2 + sqrt 2 + 5 asinh 1) / 15 = 0.5214.
    assert uniform_distance((200, 200), 1 / 200) == pytest.approx(0.521405, abs=1e-4)


def test_images_layers_and_heads_are_kept_apart():
    attention = torch.cat([matrix("identity"), matrix("shift")], dim=1)  # two heads
    layers = [torch.cat([attention, attention.flip(1)]), torch.cat([matrix("uniform")] * 2).expand(-1, 2, -1, -1)]
    found = attention_distances(layers, grid=GRID, stride=1, prefix=0)
    expected = torch.tensor([[[0, 0.8], [uniform_distance(GRID, 1)] * 2], [[0.8, 0], [uniform_distance(GRID, 1)] * 2]])
    torch.testing.assert_close(found, expected)


def test_queries_that_look_only_at_the_class_token_are_left_out():
    attention = with_prefix(matrix("one-hot"), 0.5)
    attention[0, 0, 1:11] = torch.nn.functional.one_hot(torch.tensor(0), 16).float()
    last_row = sum((4 + column**2) ** 0.5 for column in range(5)) / 5
    assert attention_distances([attention], grid=GRID, stride=1, prefix=1).item() == pytest.approx(last_row)
    attention[0, 0, 1:] = attention[0, 0, 1]
    assert attention_distances([attention], grid=GRID, stride=1, prefix=1).isnan().all()


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 1), st.integers(0, 10**6))
def test_random_attention_equals_the_sum_written_out(h, w, prefix, seed):
    generator = torch.Generator().manual_seed(seed)
    attention = torch.randn(1, 1, prefix + h * w, prefix + h * w, generator=generator).softmax(-1)
    total = 0.0
    for q in range(h * w):
        row = attention[0, 0, prefix + q, prefix:].double()
        for k in range(h * w):
            apart = ((q // w - k // w) ** 2 + (q % w - k % w) ** 2) ** 0.5
            total += float(row[k] / row.sum()) * apart * 8 / (h * w)
    found = attention_distances([attention], grid=(h, w), stride=8, prefix=prefix)
    assert found.item() == pytest.approx(total, abs=1e-4)


def test_a_wrong_grid_and_a_model_without_attention_are_explained():
    with pytest.raises(ValueError, match=r"4 x 4 patches and 1 prefix tokens need \(images, heads, 17, 17\)"):
        attention_distances([matrix("uniform")], grid=(4, 4), stride=1, prefix=1)
    with pytest.raises(ValueError, match="no attention layers"):
        attention_distances([], grid=GRID, stride=1, prefix=0)
