"""A faster LoRA layer for float32 weights, with a backward pass of its own.

peft computes ``x Wᵀ + s·(x Aᵀ) Bᵀ`` as three products and two passes over the output, and autograd
keeps what each of them read. Where the weight is float32 and neither quantised nor transposed, two
other ways give the same number to rounding, and keep nothing but `x` (and ``x Aᵀ``) for the
backward pass:

* ``x (W + s·B A)ᵀ``: one large product; the sum of the weights costs ``in·out`` whatever the number
  of tokens;
* ``x Wᵀ`` with ``s·(x Aᵀ) Bᵀ`` added in place: two thin products, which cost ``in + out`` a token.

The cheaper one is taken. In 16 bits the sum of the weights would round small updates away, so there
peft's own path stays.
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


def sums_weights(tokens: int, weight: Tensor) -> bool:
    """Whether adding up the weights is the cheaper way for so many tokens."""
    return tokens * sum(weight.shape) > weight.numel()


class _LoraLinear(torch.autograd.Function):
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
        ctx.scale = scale
        flat = x.reshape(-1, x.shape[-1])
        if sums_weights(flat.shape[0], weight):
            ctx.save_for_backward(x, weight, a, b, None)
            return functional.linear(x, merged_weight(weight, a, b, scale), bias)
        inner = flat @ a.t()
        ctx.save_for_backward(x, weight, a, b, inner)
        y = functional.linear(flat, weight, bias).addmm_(inner, b.t(), alpha=scale)
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, a, b, inner = ctx.saved_tensors
        flat_x, grad = x.reshape(-1, x.shape[-1]), grads[0].reshape(-1, weight.shape[0])
        grad_inner = (grad @ b).mul_(ctx.scale)  # [N, rank]
        grad_x = None
        if ctx.needs_input_grad[0]:
            if inner is None:
                # Made again rather than kept: the sum is little work, and much memory.
                grad_x = grad @ merged_weight(weight, a, b, ctx.scale)
            else:
                grad_x = (grad @ weight).addmm_(grad_inner, a)
            grad_x = grad_x.view_as(x)
        grad_a = grad_inner.t() @ flat_x
        inner = flat_x @ a.t() if inner is None else inner
        grad_b = (grad.t() @ inner).mul_(ctx.scale)
        return grad_x, None, None, grad_a, grad_b, None


def _forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    base = self.base_layer
    if self.disable_adapters:
        return functional.linear(x, base.weight, base.bias)
    (adapter,) = self.active_adapters
    if adapter not in self.lora_A:  # a layer that only another adapter changes
        return functional.linear(x, base.weight, base.bias)
    result: Tensor = _LoraLinear.apply(  # type: ignore[no-untyped-call]
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
