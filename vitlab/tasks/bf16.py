"""bf16 where the processor cannot compute in it: the same roundings, with products in single precision.

A CPU without bf16 instructions (AVX2, or AVX-512 before avx512_bf16) takes several times as long for a product in bf16
as in fp32. What mixed precision asks for is that inputs and results are rounded to bf16 and that sums are taken in
fp32; fp32 products of rounded inputs, rounded, are just that, up to the order of the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.plugins import Precision as PrecisionPlugin
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitlab.models.attention import attend
from vitlab.tasks.settings import Precision

PRODUCTS = frozenset(
    (
        nn.functional.linear, nn.functional.conv2d, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, torch.bmm,
        nn.functional.scaled_dot_product_attention, attend,
    )
)  # fmt: skip


def native_bf16(device: str) -> bool:
    """Whether `device` (cpu or cuda) has instructions for products in bf16.

    torch's own answer is yes for every AVX-512, most of which emulate them.
    """
    if device != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return device != "cpu"
    return torch.cpu._is_avx512_bf16_supported() or not torch.cpu._is_avx2_supported()


class RoundedProducts(TorchFunctionMode):
    """Within autocast to bf16 on the CPU: products of inputs rounded to bf16, computed in fp32, rounded to bf16.

    Attention is one product here: its weights stay in fp32, as in the fused kernel, which is the fast one in fp32.
    Gradients are those of this composition, and so are rounded where mixed precision rounds them.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function not in PRODUCTS or not torch.is_autocast_enabled("cpu"):
            return function(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            wide = {name: _rounded(value) for name, value in (kwargs or {}).items()}
            return function(*map(_rounded, args), **wide).bfloat16()


def _rounded(value: Any) -> Any:
    return value.bfloat16().float() if isinstance(value, Tensor) and value.is_floating_point() else value


@contextmanager
def mixed(device: str, precision: Precision) -> Iterator[None]:
    """The context in which a recipe of this precision computes on `device` (cpu or cuda)."""
    bf16 = precision == "bf16"
    by_hand = bf16 and not native_bf16(device)
    with torch.autocast(device, torch.bfloat16, enabled=bf16), RoundedProducts() if by_hand else nullcontext():
        yield


class RoundedPrecision(MixedPrecision):
    """Lightning's mixed precision in bf16 on the CPU, with `RoundedProducts`."""

    def __init__(self) -> None:
        super().__init__("bf16-mixed", "cpu")

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """Autocast, and within it every product rounded by hand."""
        with mixed("cpu", "bf16"):
            yield


def precision_on(device: str, precision: Precision) -> PrecisionPlugin:
    """Lightning's plug-in for a recipe's precision on `device` (cpu or cuda)."""
    if precision == "fp32":
        return PrecisionPlugin()
    return MixedPrecision("bf16-mixed", device) if native_bf16(device) else RoundedPrecision()
