"""Responses decoded over transformers' own growing cache: what every causal model can do.

For models whose tokens cannot be laid out otherwise, and to compare with. Rows that have ended are
dropped from the cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppo_tui.policy.sampling import draw
from ppo_tui.policy.sequences import length_mask
from ppo_tui.policy.slot_decoder import Sampler
from ppo_tui.policy.trunk import Trunk


class Decoded(NamedTuple):
    """B responses, in rows of R tokens.

    Attributes:
        responses: ``[B, R]`` int64, padded.
        lengths: ``[B]`` int64.
        logprobs: ``[B, R]`` float32, of each drawn token, as the sampler saw it.
    """

    responses: Tensor
    lengths: Tensor
    logprobs: Tensor


@torch.no_grad()
def decode_plainly(
    trunk: Trunk,
    config: Any,
    sampler: Sampler,
    prompt_ids: Tensor,
    prompt_lengths: Tensor,
    uniforms: Tensor,
) -> Decoded:
    """Decode a response to each prompt.

    Args:
        trunk: The model, as it is to answer.
        config: Its transformers config.
        sampler: How to draw.
        prompt_ids: ``[B, P]``, left-padded, on the device.
        prompt_lengths: ``[B]``, there as well.
        uniforms: ``[B, R]`` float64 in [0, 1): what each token is drawn by.
    """
    from transformers import DynamicCache

    device, (rows, max_tokens) = prompt_ids.device, uniforms.shape
    # Float64 does not exist on mps; there the draw is inverted in float32.
    uniforms = uniforms.to(torch.float32 if device.type == "mps" else torch.float64).to(device)
    eos = torch.tensor(sampler.eos_ids, device=device)
    mask = length_mask(prompt_lengths, prompt_ids.shape[1]).flip(-1).long()
    cache: Any = DynamicCache(config=config)
    responses = torch.full((rows, max_tokens), sampler.pad_id, device=device)
    logprobs = torch.zeros(rows, max_tokens, device=device)
    lengths = torch.full((rows,), max_tokens, device=device)
    active = torch.arange(rows, device=device)
    ids, positions = prompt_ids, mask.cumsum(1) - mask
    for t in range(max_tokens):
        features = trunk(ids, mask, positions, cache).features[:, -1]
        drawn = draw(
            trunk.head(features),
            uniforms[active, t],
            sampler.temperature,
            sampler.top_k,
            sampler.top_p,
        )
        tokens = drawn.tokens
        responses[active, t], logprobs[active, t] = tokens, drawn.logprobs
        ended = torch.isin(tokens, eos)
        lengths[active[ended]] = t + 1
        going = ~ended
        count = int(going.sum())
        if count == 0 or t + 1 == max_tokens:
            break
        if count < len(active):
            keep = going.nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            active, mask, tokens = active[keep], mask[keep], tokens[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        ids, positions = tokens.unsqueeze(1), mask.sum(1, keepdim=True) - 1
    return Decoded(responses, lengths, logprobs)
