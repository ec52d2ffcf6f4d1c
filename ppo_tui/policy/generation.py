"""Sample responses of the policy or the reference: the one way that everything asks.

Each row draws its tokens by inverting the cumulative distribution at uniform numbers of its own, so
that what a row samples does not depend on which other rows are still going, nor on the device. The
sampled distribution is ``softmax(logits / temperature)``, the one that is scored, unless top_k or
top_p cut it. How it is done is the matter of `ppo_tui.policy.decoder`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences


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
        rows_at_once: Rows that are generated together; what the decoder allows if left out.

    Returns:
        Prompts and responses on the model's device. A response ends with its first end token or
        at `max_tokens`.
    """
    return roles.decoder.sample(
        prompts,
        max_tokens,
        generator,
        reference=reference,
        top_k=top_k,
        top_p=top_p,
        rows_at_once=rows_at_once,
    ).sequences


def finished(batch: Sequences, eos_ids: Sequence[int]) -> Tensor:
    """``[B]`` boolean: whether each response ended by itself."""
    last = batch.response_ids.gather(1, (batch.response_lengths - 1).unsqueeze(1)).squeeze(1)
    return torch.isin(last, torch.tensor(eos_ids, device=last.device))
