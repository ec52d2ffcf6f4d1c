"""Draw a token a row by inverting the cumulative distribution, in two levels.

The sum over the vocabulary is taken in blocks: a uniform number picks a block by the blocks' sums,
and what is left of it picks a token within that block. Only the blocks' sums and one block a row
are ever widened to the precision of the uniform numbers, so that a draw costs little more than the
softmax. Nothing waits for the device and no shape depends on data: a CUDA graph can hold a draw.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_ONE_LEVEL = 256
"""Up to so many tokens blocks save nothing."""


class Drawn(NamedTuple):
    """One token a row.

    Attributes:
        tokens: ``[B]`` int64.
        logprobs: ``[B]`` float32, under ``softmax(logits / temperature)``, which is what is scored
            also where top_k or top_p cut what is drawn from.
    """

    tokens: Tensor
    logprobs: Tensor


@torch.no_grad()
def draw(
    logits: Tensor, uniforms: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> Drawn:
    """Draw one token a row.

    A row's token depends on its own logits and uniform number only. It is the first whose
    cumulative probability passes the uniform number, but for rounding; a token without
    probability is never drawn.

    Args:
        logits: ``[B, V]``.
        uniforms: ``[B]`` in [0, 1); the cumulative sums are taken in their precision.
        temperature: Divides the logits.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the likeliest tokens that hold this much probability; 1 keeps all.
    """
    rows, vocab = logits.shape
    block = _block_size(vocab)
    columns = -(-vocab // block) * block
    scaled = torch.empty(rows, columns, dtype=torch.float32, device=logits.device)
    scaled[:, vocab:].fill_(-torch.inf)
    # A tensor of one element makes the division one of float32 without a copy of the logits.
    divisor = torch.full((1,), temperature, dtype=torch.float32, device=logits.device)
    torch.div(logits, divisor, out=scaled[:, :vocab])
    probabilities = torch.softmax(scaled, dim=-1)
    if 0 < top_k < vocab or top_p < 1:
        tokens = _invert(_cut(probabilities, uniforms.dtype, top_k, top_p), uniforms, block)
    else:
        tokens = _invert(probabilities, uniforms, block)
    chosen = probabilities.gather(1, tokens.unsqueeze(1)).squeeze(1)
    return Drawn(tokens, chosen.log())


def sample(
    logits: Tensor, uniforms: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """The ``[B]`` token ids of `draw`."""
    return draw(logits, uniforms, temperature, top_k, top_p).tokens


def _block_size(vocab: int) -> int:
    """The power of two at or above the root, which makes both levels about as long."""
    return vocab if vocab <= _ONE_LEVEL else 1 << ((vocab - 1).bit_length() + 1) // 2


def _cut(probabilities: Tensor, dtype: torch.dtype, top_k: int, top_p: float) -> Tensor:
    """Probabilities ``[B, C]`` with what top_k and then top_p leave out set to 0."""
    probabilities = probabilities.to(dtype)
    if 0 < top_k < probabilities.shape[-1]:
        kept, places = probabilities.topk(top_k, dim=-1)
    else:
        kept, places = probabilities.sort(dim=-1, descending=True)
    if top_p < 1:
        kept = kept / kept.sum(-1, keepdim=True)
        # A token stays if those before it hold less than top_p: the first one always does.
        kept = kept.masked_fill(kept.cumsum(-1) - kept >= top_p, 0)
    return torch.zeros_like(probabilities).scatter(-1, places, kept)


def _invert(weights: Tensor, uniforms: Tensor, block: int) -> Tensor:
    """Places ``[B]`` in rows of weights ``[B, C]``, C a multiple of the block size."""
    rows, columns = weights.shape
    if columns == block:
        return _passed(weights.to(uniforms.dtype), uniforms)[0]
    blocks = weights.view(rows, -1, block)
    # Not summed in the uniforms' precision: that would make a wider copy of all of the weights.
    sums = blocks.sum(-1).to(uniforms.dtype)
    first, left = _passed(sums, uniforms)
    inner = blocks.gather(1, first.view(rows, 1, 1).expand(rows, 1, block)).squeeze(1)
    second, _ = _passed(inner.to(uniforms.dtype), left)
    return first * block + second


def _passed(weights: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """The first place in each row whose cumulative share passes the row's uniform number.

    Args:
        weights: ``[B, n]``, not negative.
        uniforms: ``[B]``; rounding may have carried them out of [0, 1) a little.

    Returns:
        Places ``[B]``, each with a weight above 0, and how far into the place's own share the
        uniform number lies, ``[B]`` in [0, 1] but for rounding: again a uniform number.
    """
    # A parallel cumulative sum may rise by rounding where there is no weight: only places that have
    # some count. The total is the largest of them, and what is below 1 stays below it by as much
    # as one rounding, so that there is always a place that passes.
    cumulative = weights.cumsum(-1).mul_(weights > 0)
    below_one = uniforms.clamp(max=1 - torch.finfo(uniforms.dtype).eps)
    target = below_one.unsqueeze(-1) * cumulative.amax(-1, keepdim=True)
    # Counted down, so that the first is the one largest on every device.
    countdown = torch.arange(weights.shape[-1], 0, -1, device=weights.device, dtype=torch.int32)
    place = ((cumulative > target) * countdown).argmax(-1, keepdim=True)
    own = weights.gather(-1, place)
    below = cumulative.gather(-1, place) - own
    return place.squeeze(-1), ((target - below) / own).squeeze(-1)
