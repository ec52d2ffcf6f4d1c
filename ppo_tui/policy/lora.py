"""A faster LoRA layer for float32 weights: the update is added into the weight, not the output.

peft computes ``x Wᵀ + s·(x Aᵀ) Bᵀ``: three products and two passes over the output. Where the
weight is float32 and neither quantised nor transposed, ``x (W + s·B A)ᵀ`` is the same number to
rounding, in one large product and one small one, and keeps nothing but `x` for the backward pass.
In 16 bits the sum ``W + s·B A`` would round small updates away, so there peft's own path stays.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def merged_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """``W + s·B A``, ``[out, in]``; `a` is ``[rank, in]`` and `b` ``[out, rank]``."""
    return torch.addmm(weight, b, a, alpha=scale)


class _MergedLinear(torch.autograd.Function):
    """``y = x (W + s·B A)ᵀ + bias`` with gradients for x, A and B; W and bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return functional.linear(x, merged_weight(weight, a, b, scale), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, weight, a, b = ctx.saved_tensors
        flat_x, flat_grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        inner = (flat_grad @ b).mul_(ctx.scale)  # [N, rank]
        grad_x = None
        if ctx.needs_input_grad[0]:
            # Made again rather than kept: a sum of weights is little work beside a product with N
            # tokens, and much memory.
            grad_x = (flat_grad @ merged_weight(weight, a, b, ctx.scale)).view_as(x)
        grad_a = inner.t() @ flat_x
        grad_b = (flat_grad.t() @ (flat_x @ a.t())).mul_(ctx.scale)
        return grad_x, None, None, grad_a, grad_b, None


def _forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    base = self.base_layer
    if self.disable_adapters:
        return functional.linear(x, base.weight, base.bias)
    (adapter,) = self.active_adapters
    if adapter not in self.lora_A:  # a layer that only another adapter changes
        return functional.linear(x, base.weight, base.bias)
    result: Tensor = _MergedLinear.apply(  # type: ignore[no-untyped-call]
        x,
        base.weight,
        base.bias,
        self.lora_A[adapter].weight,
        self.lora_B[adapter].weight,
        self.scaling[adapter],
    )
    return result


def speed_up(layers: list[Any]) -> int:
    """Give the layers that allow it the faster forward pass.

    Args:
        layers: peft's LoRA layers, with plain LoRA and no dropout.

    Returns:
        How many were changed.
    """
    chosen = [layer for layer in layers if _is_plain(layer)]
    for layer in chosen:
        layer.forward = MethodType(_forward, layer)
    return len(chosen)


def _is_plain(layer: Any) -> bool:
    base = layer.get_base_layer()
    return (
        type(base) is nn.Linear
        and base.weight.dtype == torch.float32
        and not layer.lora_variant
        and all(w.weight.dtype == torch.float32 for w in layer.lora_A.values())
    )
