from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vitlab.models import attention
from vitlab.models.attention import AxialAttention, SelfAttention, attend, attention_weights


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 9), st.integers(1, 8), st.booleans())
@settings(max_examples=25)
def test_products_and_fused_kernel_agree(batch, heads, tokens, width, biased):
    q, k, v = torch.randn(3, batch, heads, tokens, width)
    bias = torch.randn(batch, heads, tokens, tokens) if biased else None
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    weights = attention_weights(q, k, bias=bias)
    assert torch.allclose(weights @ v, expected, atol=1e-5)
    assert torch.allclose(weights.sum(-1), torch.ones(batch, heads, tokens), atol=1e-5)


def test_on_a_cpu_bfloat16_takes_the_products_and_float32_the_fused_kernel(monkeypatch):
    q, k, v = torch.randn(3, 2, 2, 5, 8)
    half = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), attend(q, k, v), atol=0.03)
    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", lambda *_, **__: "fused")
    assert attend(q, k, v) == "fused"
    assert isinstance(attend(q.bfloat16(), k.bfloat16(), v.bfloat16()), torch.Tensor)


def test_gradients_of_both_ways_agree(monkeypatch):
    gradients = []
    for products in (True, False):
        monkeypatch.setattr(attention, "prefers_explicit_products", lambda q, products=products: products)
        q, k, v = torch.randn(3, 2, 2, 5, 8, generator=torch.Generator().manual_seed(0)).requires_grad_().unbind()
        gradients.append(torch.autograd.grad(attend(q, k, v).square().sum(), (q, k, v)))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_self_attention_is_equations_5_to_8():
    """Appendix A, written out for each image, head and query."""
    module = SelfAttention(6, 2)
    torch.nn.init.normal_(module.qkv.bias)
    z = torch.randn(1, 4, 6)
    u = module.qkv.weight.T  # (D, 3 D)
    heads = []
    for h in range(2):
        q, k, v = (
            z[0] @ u[:, p * 6 + h * 3 : p * 6 + h * 3 + 3] + module.qkv.bias[p * 6 + h * 3 :][:3] for p in range(3)
        )
        rows = [torch.softmax(torch.stack([query @ key / math.sqrt(3) for key in k]), 0) @ v for query in q]
        heads.append(torch.stack(rows))
    expected = torch.cat(heads, dim=1) @ module.out.weight.T + module.out.bias
    assert torch.allclose(module(z)[0], expected, atol=1e-5)


def test_relative_bias_is_the_query_against_the_offset():
    module = SelfAttention(6, 2, relative_tokens=4)
    z = torch.randn(2, 4, 6)
    q, k, _ = module.project(z)
    offsets = module.relative.offsets.view(7, 2, 3)
    _, weights = module.inspect(z)
    for head in range(2):
        logits = torch.empty(4, 4)
        for i in range(4):
            for j in range(4):
                logits[i, j] = q[1, head, i] @ (k[1, head, j] + offsets[i - j + 3, head]) / math.sqrt(3)
        assert torch.allclose(weights[1, head], logits.softmax(-1), atol=1e-5)


@pytest.mark.parametrize("axis", ["row", "column"])
def test_axial_attention_is_full_attention_masked_to_lines(axis):
    axial = AxialAttention(8, 2, grid=(3, 4), axis=axis)
    z = torch.randn(2, 12, 8)
    place = torch.arange(12)
    line = place // 4 if axis == "row" else place % 4
    mask = torch.where(line[:, None] == line, 0.0, -math.inf)
    q, k, v = axial.project(z)
    expected = attention_weights(q, k, bias=mask)
    out, weights = axial.inspect(z)
    assert torch.allclose(weights, expected, atol=1e-6)
    assert torch.allclose(out, axial.merge(expected @ v), atol=1e-5)
    assert torch.allclose(axial(z), out, atol=1e-5)
