"""Attention over tokens that lie in another order than a padded batch.

A transformers model computes all but its attention token by token. So it can be given the tokens of
several sequences end to end, as one row without padding, or one token each of many responses, if
only its attention knows which token belongs to which: that is a layout. While a layout is in force
the model's attention layers call `_attend`, and no mask is made.

`ppo_tui.policy.packing` and `ppo_tui.policy.slots` have the two layouts. Which models allow it is
found out by comparing numbers once (`can_use_layouts`), never by a model's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

NAME = "ppo_tui"
"""Under this name transformers knows our attention; it has no mask function of that name, and so
makes no mask."""


class CannotLayOut(Exception):
    """A layer's attention is of a kind that a layout does not compute; says which."""


class Layout(Protocol):
    """What attends, where the tokens of a pass do not lie as a padded batch."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """Attention of one layer.

        Args:
            layer: Its index.
            query: ``[B, H, T, D]`` as the pass has B and T.
            key: ``[B, K, T, D]`` with K key heads, which divides H.
            value: The same.
            scale: Multiplies the products of query and key.
            window: Tokens that a token sees, itself among them; 0 is all before it.

        Returns:
            ``[B, T, H, D]``.
        """


_layouts: list[Layout] = []
"""Those in force; the last one counts. Process-wide, as the backward pass of a CUDA device, which
computes checkpointed blocks again, runs in a thread of its own."""

_windows_seen: set[int] = set()


@contextmanager
def laid_out(config: Any, layout: Layout) -> Iterator[None]:
    """Let the layers of the model with this transformers config attend as `layout` says."""
    before = config._attn_implementation
    config._attn_implementation = NAME
    _layouts.append(layout)
    try:
        yield
    finally:
        _layouts.pop()
        config._attn_implementation = before


def layout_in_force() -> Layout | None:
    """The layout that a pass has now, if any."""
    return _layouts[-1] if _layouts else None


def attention_config(model: Any) -> Any:
    """The transformers config that a model's attention layers read."""
    return model.config.get_text_config()


def register() -> None:
    """Make our attention known to transformers; harmless to do twice."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)


def windows_seen() -> frozenset[int]:
    """The sliding windows that layers have asked for so far."""
    return frozenset(_windows_seen)


def forget_windows() -> None:
    """Begin to collect `windows_seen` anew."""
    _windows_seen.clear()


# What else a layer may hand over without meaning another kind of attention.
_HARMLESS = frozenset(
    {
        "position_ids",
        "use_cache",
        "output_attentions",
        "output_hidden_states",
        "is_causal",
        "cache_position",
        "return_dict",
        "head_mask",
        "position_embeddings",
        "num_items_in_batch",
    }
)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """What a transformers attention layer calls; see `Layout.attend` for the shapes."""
    odd = [name for name, given in more.items() if given is not None and name not in _HARMLESS]
    if odd or attention_mask is not None or dropout:
        raise CannotLayOut(", ".join(odd) or "a mask or dropout of its own")
    layer = getattr(module, "layer_idx", None)
    if layer is None or getattr(module, "is_causal", True) is not True:
        raise CannotLayOut("layers without a number, or that see what comes later")
    window = sliding_window or 0
    if window:
        _windows_seen.add(window)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _layouts[-1].attend(layer, query, key, value, scale, window), None


def causal(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int) -> Tensor:
    """Each token sees itself and those before it, ``window`` of them at most: ``[B, H, T, D]``."""
    length = query.shape[2]
    shared = query.shape[1] // key.shape[1]  # query heads to a key head
    if shared > 1 and not _shares_heads(query):
        key, value = (states.repeat_interleave(shared, dim=1) for states in (key, value))
        shared = 1
    if not window or window >= length:
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=shared > 1
        )
    place = torch.arange(length, device=query.device)
    distance = place.unsqueeze(1) - place
    seen = (distance >= 0) & (distance < window)
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=scale, enable_gqa=shared > 1
    )


def _shares_heads(query: Tensor) -> bool:
    """Whether the device's fused kernel takes fewer key heads than query heads.

    CUDA's for float32 does not: without it all scores would be held.
    """
    sixteen = query.dtype in (torch.bfloat16, torch.float16)
    return query.device.type == "cpu" or (query.device.type == "cuda" and sixteen)
