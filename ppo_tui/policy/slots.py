"""A key-value cache of fixed size and place, and the attention that reads it.

A slot holds the tokens of one response in the making, prompt first, from position 0. Nothing in it
moves while tokens are added, unlike a cache that grows, which is copied at every token; and a slot
whose response has ended can be given to another. Tensors that stay where they are can also be
worked on by a captured CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ppo_tui.policy.packing import PackedLayout


class SlotCache:
    """Keys and values of S slots of T tokens, ``[S, K, T, D]`` a layer.

    Memory is taken when a layer is first written to.

    Args:
        slots: S.
        length: T.
    """

    def __init__(self, slots: int, length: int) -> None:
        self.slots, self.length = slots, length
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, number: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer that has been written to."""
        return self._layers[number]

    def write(
        self, number: int, slots: Tensor, positions: Tensor, key: Tensor, value: Tensor
    ) -> None:
        """Put tokens into a layer.

        Args:
            number: The layer.
            slots: ``[N]``, where each token belongs.
            positions: ``[N]``, and at which place in it.
            key: ``[N, K, D]``.
            value: The same.
        """
        if number not in self._layers:
            self._layers[number] = (self._made_for(key), self._made_for(value))
        keys, values = self._layers[number]
        keys[slots, :, positions] = key
        values[slots, :, positions] = value

    def move(self, sources: list[int], targets: list[int], length: int) -> None:
        """Copy the first `length` tokens of some slots into others, which are none of them."""
        for states in self._layers.values():
            for tensor in states:
                tensor[targets, :, :length] = tensor[sources, :, :length]

    def _made_for(self, states: Tensor) -> Tensor:
        # Zeros, as what has never been written is read, and then given no weight: NaN would stay.
        return states.new_zeros(self.slots, states.shape[1], self.length, states.shape[2])


class PrefillLayout:
    """Prompts end to end, whose keys and values go into slots as well.

    Args:
        lengths: ``[B]`` tokens of each prompt.
        cache: Where to.
        copies: For each token of each slot that is filled its place among the N tokens: a prompt
            that several responses share is computed once.
        slots: Their slots.
        positions: Their positions.
    """

    def __init__(
        self, lengths: Tensor, cache: SlotCache, copies: Tensor, slots: Tensor, positions: Tensor
    ) -> None:
        self._packed = PackedLayout(lengths)
        self._cache = cache
        self._copies, self._slots, self._positions = copies, slots, positions

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """See `ppo_tui.policy.attention.Layout`."""
        tokens = (states[0].transpose(0, 1)[self._copies] for states in (key, value))
        self._cache.write(layer, self._slots, self._positions, *tokens)
        return self._packed.attend(layer, query, key, value, scale, window)


class StepLayout:
    """One more token in each of the first n slots.

    Args:
        cache: The slots.
        positions: ``[n]``, where the new tokens stand.
        width: Tokens of a slot that are looked at; more than the last position.
    """

    def __init__(self, cache: SlotCache, positions: Tensor, width: int) -> None:
        self._cache, self._positions, self._width = cache, positions, width
        self.rows = torch.arange(len(positions), device=positions.device)
        self._masks: dict[int, Tensor] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """See `ppo_tui.policy.attention.Layout`; T is 1."""
        self._cache.write(layer, self.rows, self._positions, key[:, :, 0], value[:, :, 0])
        count = len(self.rows)
        keys, values = (states[:count, :, : self._width] for states in self._cache.layer(layer))
        # Query heads that share a key head are rows of one small product with it.
        heads = query.shape[1]
        rows = query.reshape(count, keys.shape[1], heads // keys.shape[1], query.shape[3])
        out = functional.scaled_dot_product_attention(
            rows, keys, values, attn_mask=self._mask(query.dtype, window), scale=scale
        )
        return out.reshape(count, 1, heads, values.shape[3])

    def _mask(self, dtype: torch.dtype, window: int) -> Tensor:
        """``[n, 1, 1, W]``, added to the scores: made once for all layers of like window."""
        if window not in self._masks:
            place = torch.arange(self._width, device=self._positions.device)
            last = self._positions.unsqueeze(1)
            hidden = place > last
            if window:
                hidden |= place <= last - window
            mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
            mask.masked_fill_(hidden, -torch.inf)
            self._masks[window] = mask[:, None, None]
        return self._masks[window]
