"""The policy's adapter added into a copy of the weights, for the time of a rollout.

Decoding reads every weight for a handful of tokens: an adapter beside each layer costs two more
products, and 4-bit weights have to be taken out of their form at every step. A copy with the
adapter added in, in the type of the computation, costs neither. In 16 bits the sum is rounded, so
that the copy is not quite the policy: a run measures by how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class MergedWeights:
    """Copies of the weights of a model's linear layers with one adapter added in.

    Args:
        model: The model with its adapters.
        adapter: Which one is added in.
        dtype: Type of the copies.
    """

    def __init__(self, model: nn.Module, adapter: str, dtype: torch.dtype) -> None:
        self._adapter, self._dtype = adapter, dtype
        self._layers = [layer for layer in _linear_layers(model) if _is_changed(layer, adapter)]
        self._copies: list[Tensor] = []

    @property
    def possible(self) -> bool:
        """Whether all that the adapter changes are products with one weight each.

        Experts that share a tensor, on which peft adapts that tensor itself, are not.
        """
        return not any(hasattr(layer, "parameter_name") for layer in self._layers)

    @property
    def made(self) -> bool:
        """Whether the copies are in memory."""
        return bool(self._copies)

    @torch.no_grad()
    def refresh(self) -> None:
        """Make the copies those of the adapter as it is now; they stay where they are."""
        for number, layer in enumerate(self._layers):
            merged = self._merged(layer)
            if number < len(self._copies):
                self._copies[number].copy_(merged)
            else:
                self._copies.append(merged)

    def drop(self) -> None:
        """Let the copies go."""
        self._copies = []

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Compute with the copies; adapters must be off.

        Restores the very tensors from before: adding and subtracting would wear the base away.
        """
        weights: list[tuple[nn.Parameter, Tensor]] = []
        forwards: list[tuple[nn.Module, Any]] = []
        try:
            for layer, copy in zip(self._layers, self._copies, strict=True):
                base = _base_of(layer)
                if _is_quantised(base):
                    forwards.append((layer, layer.__dict__.get("forward")))
                    object.__setattr__(layer, "forward", MethodType(_dense(copy, base.bias), layer))
                else:
                    weights.append((base.weight, base.weight.data))
                    base.weight.data = copy
            yield
        finally:
            for weight, data in weights:
                weight.data = data
            for module, forward in forwards:
                if forward is None:
                    object.__delattr__(module, "forward")
                else:
                    object.__setattr__(module, "forward", forward)

    def _merged(self, layer: Any) -> Tensor:
        base = _base_of(layer)
        weight: Tensor = _dequantised(base) if _is_quantised(base) else base.weight.data
        if _has(layer, self._adapter):
            # Rounded once, after the sum: the update may be smaller than half a step of 16 bits.
            update: Tensor = layer.get_delta_weight(self._adapter)
            weight = weight.float() + update.float()
        return weight.to(self._dtype)


def _dense(weight: Tensor, bias: Tensor | None) -> Any:
    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return functional.linear(x, weight, None if bias is None else bias.to(weight.dtype))

    return forward


def _linear_layers(model: nn.Module) -> list[Any]:
    """Peft's layers, and the quantised ones that are none of peft's."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    tuned = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    inside = {id(part) for layer in tuned for part in layer.modules()}
    others = [m for m in model.modules() if id(m) not in inside and _is_quantised(m)]
    return [*tuned, *others]


def _is_changed(layer: Any, adapter: str) -> bool:
    return _has(layer, adapter) or _is_quantised(_base_of(layer))


def _has(layer: Any, adapter: str) -> bool:
    return adapter in getattr(layer, "lora_A", ())


def _base_of(layer: Any) -> Any:
    return layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer


def _is_quantised(layer: nn.Module) -> bool:
    return type(layer).__name__ in ("Linear4bit", "Linear8bitLt")


def _dequantised(layer: Any) -> Tensor:
    """``[out, in]``, the weights as the quantised layer multiplies by them."""
    from peft.utils.integrations import dequantize_bnb_weight

    weight: Tensor = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
    return weight
