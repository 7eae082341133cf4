"""bf16 by fp32 products of rounded numbers: against torch's own bf16, and against the definition."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from vitlab.machine import hardware
from vitlab.models import attention, create
from vitlab.models.attention import attend
from vitlab.tasks.bf16 import RoundedProducts, native_bf16, precision_on


def gradients(name: str, *, bf16: bool, rounded: bool) -> Tensor:
    """The gradients of a model whose head is not zero, all in one vector."""
    torch.manual_seed(0)
    model = create(name, num_classes=5, image_size=16)
    nn.init.normal_(model.get_parameter("head.weight"), std=0.1)
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8) % 5
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), RoundedProducts() if rounded else nullcontext():
        loss = nn.functional.cross_entropy(model(images).float(), labels)
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def written_out(q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None, dropout: float) -> Tensor:
    """Attention of bf16 numbers whose weights are not rounded, as a fused kernel has it."""
    assert bias is None and not dropout
    with torch.autocast("cpu", enabled=False):
        return (attention.attention_weights(q.float(), k.float()) @ v.float()).bfloat16()


@pytest.mark.parametrize("name", ["ViT-Pico/4", "HybridViT-Pico/4", "ResNet-Pico"])
def test_gradients_are_those_of_mixed_precision_up_to_the_order_of_sums(name, monkeypatch):
    by_hand, plain = gradients(name, bf16=True, rounded=True), gradients(name, bf16=False, rounded=False)
    monkeypatch.setattr(attention, "attend", written_out)
    own = gradients(name, bf16=True, rounded=False)
    error = (by_hand - own).norm() / own.norm()
    assert error < 0.05
    assert 3 * error < (plain - own).norm() / own.norm()  # much nearer than single precision


@pytest.mark.parametrize("biased", [True, False])
def test_attention_rounds_what_it_takes_and_gives_and_nothing_between(biased):
    q, k, v = torch.randn(3, 2, 4, 17, 8)
    bias = torch.randn(4, 17, 17) if biased else None
    with torch.autocast("cpu", torch.bfloat16), RoundedProducts():
        found = attend(q, k, v, bias=bias)
    wide = [part if part is None else part.bfloat16().double() for part in (q, k, v, bias)]
    logits = wide[0] @ wide[1].mT / 8**0.5 + (0 if bias is None else wide[3])
    expected = logits.softmax(-1) @ wide[2]
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.double(), expected, rtol=2**-8, atol=1e-6)


def test_a_product_is_rounded_before_and_after():
    left, right = torch.randn(7, 33), torch.randn(33, 5)
    with torch.autocast("cpu", torch.bfloat16), RoundedProducts():
        product = left @ right
    assert product.dtype == torch.bfloat16
    assert torch.equal(product, (left.bfloat16().float() @ right.bfloat16().float()).bfloat16())


def test_nothing_changes_without_autocast():
    left, right = torch.randn(7, 33), torch.randn(33, 5)
    with RoundedProducts():
        assert torch.equal(left @ right, torch.mm(left, right)) and (left @ right).dtype == torch.float32


def test_only_processors_without_the_instructions_round_by_hand():
    rounds = type(precision_on("cpu", "bf16")).__name__ == "RoundedPrecision"
    assert rounds == (not native_bf16("cpu"))
    assert native_bf16("cuda") and precision_on("cpu", "fp32").precision == "32-true"


def test_a_processor_that_only_emulates_bf16_has_no_instructions_for_it():
    emulates = any(f"({words})" in hardware() for words in ("AVX-512", "AVX2"))
    assert native_bf16("cpu") == (not emulates)
