import pytest
import torch

from vitlab.inspection import attention_rollout, cls_attention, rollout_matrix

GRID = (2, 3)


def random_attention(layers: int, tokens: int, heads: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    return [torch.randn(2, heads, tokens, tokens, generator=generator).softmax(-1) for _ in range(layers)]


def test_rollout_of_the_identity_is_the_identity():
    identity = torch.eye(7).expand(3, 2, 7, 7)
    torch.testing.assert_close(rollout_matrix([identity] * 5), torch.eye(7).expand(3, 7, 7))
    assert attention_rollout([identity] * 5, grid=GRID, prefix=1).sum() == 0


def test_rollout_of_uniform_attention_halves_what_has_not_yet_mixed():
    # (I/2 + J/2)^L with J the averaging matrix, J J = J: I / 2^L + (1 - 1 / 2^L) J.
    uniform = torch.full((1, 2, 6, 6), 1 / 6)
    expected = torch.eye(6) / 8 + (1 - 1 / 8) / 6
    torch.testing.assert_close(rollout_matrix([uniform] * 3)[0], expected)


def test_rollout_of_a_shift_is_binomial():
    # Each layer keeps half and takes half from the next token: after L layers, C(L, k) / 2^L from k tokens on.
    shift = torch.roll(torch.eye(6), 1, dims=1)[None, None]
    rollout = rollout_matrix([shift] * 3)[0]
    torch.testing.assert_close(rollout[1], torch.tensor([0, 1, 3, 3, 1, 0]) / 8)


def test_rollout_of_one_hot_attention_and_the_order_of_layers():
    # First layer: every token reads token 2. Second layer: every token reads token 0.
    first, second = (torch.zeros(1, 1, 4, 4).index_fill(3, torch.tensor([token]), 1.0) for token in (2, 0))
    rollout = rollout_matrix([first, second])[0]
    # Token 1 at the end: half itself, half token 0; each of these half itself, half token 2 at the start.
    torch.testing.assert_close(rollout[1], torch.tensor([0.25, 0.25, 0.5, 0]))


def test_rollout_averages_heads_and_its_rows_sum_to_one():
    layers = random_attention(3, 7, heads=4)
    rollout = rollout_matrix(layers)
    torch.testing.assert_close(rollout.sum(-1), torch.ones(2, 7))
    torch.testing.assert_close(rollout_matrix([layer.mean(1, keepdim=True) for layer in layers]), rollout)


def test_the_map_is_the_row_of_the_class_token():
    layers = random_attention(3, 7)
    expected = rollout_matrix(layers)[:, 0, 1:].reshape(2, 2, 3)
    torch.testing.assert_close(attention_rollout(layers, grid=GRID, prefix=1), expected)


def test_with_average_pooling_the_map_is_the_mean_of_all_rows():
    layers = random_attention(3, 6)
    found = attention_rollout(layers, grid=GRID, prefix=0)
    torch.testing.assert_close(found, rollout_matrix(layers).mean(1).reshape(2, 2, 3))
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2))


def test_average_pooling_beside_a_class_token_leaves_the_token_out():
    layers = random_attention(2, 7)
    expected = rollout_matrix(layers)[:, 1:, 1:].mean(1).reshape(2, 2, 3)
    torch.testing.assert_close(attention_rollout(layers, grid=GRID, prefix=1, pooling="gap"), expected)
    with pytest.raises(ValueError, match="class token, not 'cls'"):
        attention_rollout(random_attention(2, 6), grid=GRID, prefix=0, pooling="cls")


def test_class_token_attention_is_its_row_per_head():
    attention = torch.zeros(1, 2, 7, 7)
    attention[0, 0, 0, 1 + 4] = 1  # head 0: second row, second column
    attention[0, 1, 0] = 1 / 7
    maps = cls_attention(attention, grid=GRID)
    assert maps.shape == (1, 2, 2, 3)
    assert maps[0, 0].tolist() == [[0, 0, 0], [0, 1, 0]]
    torch.testing.assert_close(maps[0, 1], torch.full(GRID, 1 / 7))


def test_class_token_attention_needs_a_class_token_and_a_grid_that_fits():
    with pytest.raises(ValueError, match="no class token"):
        cls_attention(torch.zeros(1, 2, 6, 6), grid=GRID)
    with pytest.raises(ValueError, match="2 x 3 patches"):
        cls_attention(torch.zeros(1, 2, 5, 5), grid=GRID)
