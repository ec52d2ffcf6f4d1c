"""Sample responses: one token a pass over a key-value cache, finished rows dropped.

Each row draws its tokens by inverting the cumulative distribution at uniform numbers of its own, so
that what a row samples does not depend on which other rows are still going, nor on the device. The
sampled distribution is ``softmax(logits / temperature)``, the one that is scored, unless top_k or
top_p cut it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences, concatenate, length_mask, pad_prompts
from ppo_tui.policy.trunk import Trunk


@torch.no_grad()
def generate(
    roles: Roles,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    generator: torch.Generator,
    *,
    reference: bool = False,
    top_k: int = 0,
    top_p: float = 1.0,
    rows_at_once: int | None = None,
) -> Sequences:
    """Sample a response to each prompt.

    Args:
        roles: The model; the policy answers unless `reference` is set.
        prompts: Token ids of B prompts, none of them empty.
        max_tokens: Longest response; R is at most this.
        generator: A CPU generator; drawn from in an order that depends on the shapes only.
        reference: Let the base model answer.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the likeliest tokens that hold this much probability; 1 keeps all.
        rows_at_once: Rows that are generated together; all of them if left out.

    Returns:
        Prompts and responses on the model's device. A response ends with its first end token or
        at `max_tokens`.
    """
    pad_id = roles.base.vocabulary.pad_id
    rows = rows_at_once or len(prompts)
    parts = []
    with roles.sampling(reference=reference) as trunk:
        for start in range(0, len(prompts), rows):
            ids, lengths = pad_prompts(prompts[start : start + rows], pad_id)
            uniforms = torch.rand(len(ids), max_tokens, generator=generator, dtype=torch.float64)
            parts.append(
                _generate_rows(roles, trunk, ids, lengths, uniforms, top_k=top_k, top_p=top_p)
            )
    return concatenate(parts, pad_id)


def finished(batch: Sequences, eos_ids: Sequence[int]) -> Tensor:
    """``[B]`` boolean: whether each response ended by itself."""
    last = batch.response_ids.gather(1, (batch.response_lengths - 1).unsqueeze(1)).squeeze(1)
    return _is_end(last, eos_ids)


def _generate_rows(
    roles: Roles,
    trunk: Trunk,
    prompt_ids: Tensor,
    prompt_lengths: Tensor,
    uniforms: Tensor,
    *,
    top_k: int,
    top_p: float,
) -> Sequences:
    from transformers import DynamicCache

    device, vocabulary = roles.base.device, roles.base.vocabulary
    rows, max_tokens = uniforms.shape
    # Float64 does not exist on mps; there the draw is inverted in float32.
    uniforms = uniforms.to(device, torch.float32 if device.type == "mps" else torch.float64)
    prompt_ids, prompt_lengths = prompt_ids.to(device), prompt_lengths.to(device)
    mask = length_mask(prompt_lengths, prompt_ids.shape[1]).flip(-1).long()
    cache: Any = DynamicCache(config=roles.base.model.config)
    responses = torch.full((rows, max_tokens), vocabulary.pad_id, device=device)
    lengths = torch.full((rows,), max_tokens, device=device)
    active = torch.arange(rows, device=device)
    ids, positions = prompt_ids, mask.cumsum(1) - mask
    for t in range(max_tokens):
        features = trunk(ids, mask, positions, cache).features[:, -1]
        tokens = sample(trunk.head(features), uniforms[active, t], roles.temperature, top_k, top_p)
        responses[active, t] = tokens
        ended = _is_end(tokens, vocabulary.eos_ids)
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
    width = int(lengths.max())
    return Sequences(prompt_ids, prompt_lengths, responses[:, :width], lengths)


def sample(
    logits: Tensor, uniforms: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """Draw one token a row.

    Args:
        logits: ``[B, V]``.
        uniforms: ``[B]`` in [0, 1).
        temperature: Divides the logits.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the likeliest tokens that hold this much probability; 1 keeps all.

    Returns:
        ``[B]`` token ids: the first whose cumulative probability passes the row's uniform number.
    """
    probabilities = torch.softmax(logits.float() / temperature, dim=-1).to(uniforms.dtype)
    if top_k and top_k < probabilities.shape[-1]:
        kept = probabilities.topk(top_k, dim=-1)
        probabilities = torch.zeros_like(probabilities).scatter(-1, kept.indices, kept.values)
    if top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True)
        ordered = ordered / ordered.sum(-1, keepdim=True)
        # A token stays if those before it hold less than top_p: the first one always does.
        ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0)
        probabilities = torch.zeros_like(ordered).scatter(-1, order, ordered)
    cumulative = probabilities.cumsum(-1)
    targets = uniforms.unsqueeze(-1) * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, targets, right=True).squeeze(-1)
    # Rounding can carry the target onto the total; the last token with any probability is meant.
    last = (
        (probabilities > 0)
        .to(torch.int32)
        .mul(torch.arange(probabilities.shape[-1], device=logits.device, dtype=torch.int32))
        .argmax(-1)
    )
    return torch.minimum(chosen, last)


def _is_end(tokens: Tensor, eos_ids: Sequence[int]) -> Tensor:
    return torch.isin(tokens, torch.tensor(eos_ids, device=tokens.device))
