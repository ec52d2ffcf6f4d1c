"""Sequences laid end to end as one row, so that a pass computes no padding.

All that a transformer does token by token (most of its work) then runs on real tokens alone. The
attention puts the tokens of each sequence back into a row of its own, padded on the right, where
the causal rule alone keeps real tokens from seeing padding: no mask is needed, and the fastest
kernel of each device can be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ppo_tui.policy.attention import causal
from ppo_tui.policy.sequences import Sequences, length_mask


@dataclass(frozen=True)
class Packed:
    """B sequences end to end, N tokens in all.

    Attributes:
        ids: ``[1, N]`` int64.
        positions: ``[1, N]``, counted from 0 in each sequence.
        starts: ``[B]``, where each sequence begins.
        layout: How the attention has to see them.
    """

    ids: Tensor
    positions: Tensor
    starts: Tensor
    layout: PackedLayout


class PackedLayout:
    """Attention over B sequences that lie end to end.

    Args:
        lengths: ``[B]`` tokens of each.
    """

    def __init__(self, lengths: Tensor) -> None:
        self._rows, self._width = len(lengths), int(lengths.max())
        real = length_mask(lengths, self._width)
        self._even = int(lengths.min()) == self._width
        # Where each token lies in the padded rows, and, at each place of those, its token. Padding
        # shows the first token: nothing real sees it, and what it sees is thrown away.
        self._places = real.flatten().nonzero().squeeze(1)
        self._tokens = (real.flatten().cumsum(0) - 1) * real.flatten()

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """See `ppo_tui.policy.attention.Layout`; the pass has one row of N tokens."""
        out = causal(self._spread(query), self._spread(key), self._spread(value), scale, window)
        heads, width = out.shape[1], out.shape[3]
        flat = out.transpose(1, 2).reshape(-1, heads, width)
        if not self._even:
            flat = pick(flat, self._places)
        return flat.unsqueeze(0)

    def _spread(self, states: Tensor) -> Tensor:
        """``[1, H, N, D]`` to ``[B, H, T, D]``."""
        tokens = states[0].transpose(0, 1)
        if not self._even:
            tokens = _Spread.apply(tokens, self._tokens, self._places)  # type: ignore[no-untyped-call]
        return tokens.reshape(self._rows, self._width, *tokens.shape[1:]).transpose(1, 2)


class _Spread(torch.autograd.Function):
    """``[N, ...]`` tokens to the places of padded rows, ``[B·T, ...]``.

    Every token is at one place, and what stands at the places of padding goes nowhere: so the
    gradient is gathered from the tokens' places, where that of `index_select` would be summed up.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, source: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return tokens.index_select(0, source)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        return grads[0].index_select(0, places), None, None


class _Pick(torch.autograd.Function):
    """Some rows, each at most once, ``[M, ...]``; the gradient of the others is 0."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = rows.shape[0]
        return rows.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (places,) = ctx.saved_tensors
        grad = grads[0]
        whole = grad.new_zeros(ctx.count, *grad.shape[1:])
        return whole.index_copy_(0, places, grad), None


def pick(rows: Tensor, places: Tensor) -> Tensor:
    """The rows at these places, no place twice: ``[N, ...]`` and ``[M]`` to ``[M, ...]``."""
    picked: Tensor = _Pick.apply(rows, places)  # type: ignore[no-untyped-call]
    return picked


def pack(batch: Sequences) -> Packed:
    """Prompts and responses end to end."""
    ids, mask, positions = batch.model_inputs()
    real = mask.bool()
    lengths = batch.prompt_lengths + batch.response_lengths
    return Packed(
        ids[real].unsqueeze(0),
        positions[real].unsqueeze(0),
        lengths.cumsum(0) - lengths,
        PackedLayout(lengths),
    )


def pack_ids(ids: list[list[int]], device: torch.device) -> Packed:
    """Token ids of B sequences end to end."""
    lengths = torch.tensor([len(row) for row in ids], device=device)
    flat = torch.tensor([token for row in ids for token in row], device=device)
    starts = lengths.cumsum(0) - lengths
    positions = torch.arange(len(flat), device=device) - starts.repeat_interleave(lengths)
    return Packed(flat.unsqueeze(0), positions.unsqueeze(0), starts, PackedLayout(lengths))


def predicting(batch: Sequences, packed: Packed) -> Tensor:
    """``[M]``: the places, among the N tokens, that predict the response tokens, row by row."""
    first = packed.starts + batch.prompt_lengths - 1
    steps = torch.arange(batch.response_ids.shape[1], device=first.device)
    return (first.unsqueeze(1) + steps)[batch.response_mask]
