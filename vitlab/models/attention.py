"""Multi-head self-attention: one function that attends, and the module of appendix A around it (arXiv 2010.11929)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function


def attend(q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """Attention of eq. 6-7: softmax(q k^T / sqrt(d) + bias) v, by the implementation that is fast here.

    `q`, `k`, `v`: (B, h, T, d); `bias`: broadcastable to (B, h, T, T), added to the logits; `dropout`: probability
    of dropping an attention weight. Returns (B, h, T, d).
    """
    if has_torch_function((q, k, v)):  # a mode of torch's may have its own way, as products in rounded numbers do
        return handle_torch_function(attend, (q, k, v), q, k, v, bias=bias, dropout=dropout)
    if prefers_explicit_products(q):
        weights = F.dropout(attention_weights(q, k, bias=bias), dropout)
        return weights.to(v.dtype) @ v  # (B, h, T, d)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)


def prefers_explicit_products(q: Tensor) -> bool:
    """Whether two matrix products are the better attention for this tensor's device and precision.

    On a GPU the fused kernel is the fast one and saves the memory of the T x T matrix, and on a CPU in float32 it is as
    fast. On a CPU in bfloat16 its backward pass is so slow that training runs at half the speed or less.
    On the meta device, where operations are only counted, the products are what there is to count.
    """
    return q.is_meta or (q.device.type == "cpu" and q.dtype != torch.float32)


def attention_weights(q: Tensor, k: Tensor, *, bias: Tensor | None = None) -> Tensor:
    """The matrix A of eq. 6: softmax over keys of q k^T / sqrt(d) + bias. (B, h, T, d) twice -> (B, h, T, T)."""
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return (logits if bias is None else logits + bias).softmax(dim=-1)


class RelativeBias(nn.Module):
    """Relative positions in one dimension (D.4): an embedding for each offset, attended to by the queries.

    The embeddings stand in for the keys in an extra attention, whose logits are a bias to those of the content.
    Offsets run over the flattened sequence with the class token at its start, from -(T-1) to T-1.
    """

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.offsets = nn.Parameter(torch.empty(2 * tokens - 1, width))  # row T-1+o holds offset o = query - key
        nn.init.normal_(self.offsets, std=0.02)

    def forward(self, q: Tensor) -> Tensor:
        """(B, h, T, d) queries -> (B, h, T, T) bias to the logits."""
        b, h, t, d = q.shape
        keys = self.offsets.view(-1, h, d).transpose(0, 1)  # (h, 2T-1, d)
        by_offset = (q * d**-0.5) @ keys.transpose(-2, -1).to(q.dtype)  # (B, h, T, 2T-1)
        token = torch.arange(t, device=q.device)
        index = token[:, None] - token[None, :] + self.tokens - 1  # (T, T)
        return by_offset.gather(-1, index.expand(b, h, t, t))


class SelfAttention(nn.Module):
    """MSA of eq. 5-8: queries, keys and values of all heads in one product, attention, and the output projection.

    `relative_tokens`: with a number, relative positions for that many tokens bias the logits.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, relative_tokens: int | None = None) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.relative = None if relative_tokens is None else RelativeBias(relative_tokens, width // heads * heads)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot-uniform matrices, each of the three projections by itself, and zero biases, as the official code."""
        for projection in (*self.qkv.weight.chunk(3), self.out.weight):
            nn.init.xavier_uniform_(projection)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def project(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, D) -> queries, keys, values, each (B, h, T, d)."""
        b, t, _ = z.shape
        parts = self.qkv(z).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (3, B, h, T, d)
        if prefers_explicit_products(parts):
            parts = parts.contiguous()  # one copy here, and none in each product
        q, k, v = parts.unbind()
        return q, k, v

    def merge(self, heads: Tensor) -> Tensor:
        """(B, h, T, d) -> (B, T, D): concatenate the heads and project."""
        return self.out(heads.transpose(1, 2).flatten(2))

    def forward(self, z: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        q, k, v = self.project(z)
        bias = None if self.relative is None else self.relative(q)
        return self.merge(attend(q, k, v, bias=bias, dropout=self.dropout if self.training else 0.0))

    def inspect(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, D) -> output (B, T, D) and attention weights (B, h, T, T), without dropout."""
        q, k, v = self.project(z)
        weights = attention_weights(q, k, bias=None if self.relative is None else self.relative(q))
        return self.merge(weights.to(v.dtype) @ v), weights


class AxialAttention(SelfAttention):
    """Self-attention along the rows, or along the columns, of the token grid (D.6).

    `axis`: "row" (tokens of one row see each other) or "column". No class token: it has no row or column.
    """

    def __init__(self, width: int, heads: int, *, grid: tuple[int, int], axis: str, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.grid, self.axis = grid, axis

    def lines(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B * lines, tokens per line, D)."""
        grid = z.unflatten(1, self.grid)  # (B, H, W, D)
        return (grid if self.axis == "row" else grid.transpose(1, 2)).flatten(0, 1)

    def unline(self, lines: Tensor) -> Tensor:
        """The inverse of `lines`."""
        h, w = self.grid
        if self.axis == "row":
            return lines.unflatten(0, (-1, h)).flatten(1, 2)
        return lines.unflatten(0, (-1, w)).transpose(1, 2).flatten(1, 2)

    def forward(self, z: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.unline(super().forward(self.lines(z)))

    def inspect(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, D) -> output (B, N, D) and weights (B, h, N, N), zero outside the line; rows sum to one."""
        out, weights = super().inspect(self.lines(z))
        h, w = self.grid
        lines, length = (h, w) if self.axis == "row" else (w, h)
        weights = weights.unflatten(0, (-1, lines))  # (B, lines, heads, length, length)
        token = torch.arange(h * w, device=z.device).view(h, w)
        token = token if self.axis == "row" else token.T  # (lines, length): where each token is in the sequence
        full = weights.new_zeros(weights.shape[0], weights.shape[2], h * w, h * w)
        for i in range(lines):
            full[:, :, token[i][:, None], token[i][None, :]] = weights[:, i]
        return self.unline(out), full
