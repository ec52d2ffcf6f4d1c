"""From hidden states to log-probabilities without ever holding ``[B, R, vocab]``.

The output head runs over a chunk of positions at a time; its logits are thrown away and computed
again in the backward pass. The head is frozen, so that only the gradient of the hidden states is
needed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Head = Callable[[Tensor], Tensor]
"""Hidden states ``[N, H]`` to logits ``[N, vocab]``."""

CHUNK_BYTES = 64 * 2**20
"""Size of one chunk's float32 logits."""


def token_logprobs(
    hidden: Tensor,
    targets: Tensor,
    head: Head,
    vocab: int,
    temperature: float,
    with_entropy: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Log-probability of each target token and, if asked for, its distribution's entropy.

    ``log π(y) = z_y - logsumexp(z)`` and ``H = logsumexp(z) - Σ softmax(z)·z`` with the logits
    ``z = head(h) / temperature`` in float32.

    Args:
        hidden: ``[N, H]``, at the positions that predict the targets.
        targets: ``[N]``, token ids.
        head: The frozen output head.
        vocab: Size of the vocabulary, to find the chunk's size.
        temperature: Divides the logits.
        with_entropy: Compute the entropies as well; they carry a gradient.

    Returns:
        Log-probabilities and entropies (or None), ``[N]`` float32.
    """
    rows = max(1, CHUNK_BYTES // (4 * vocab))
    if hidden.shape[0] <= rows:
        return _chunk(hidden, targets, head, temperature, with_entropy)
    recompute = torch.is_grad_enabled() and hidden.requires_grad
    logprobs, entropies = [], []
    for start in range(0, hidden.shape[0], rows):
        arguments = (
            hidden[start : start + rows],
            targets[start : start + rows],
            head,
            temperature,
            with_entropy,
        )
        if recompute:
            logprob, entropy = checkpoint(
                _chunk, *arguments, use_reentrant=False, preserve_rng_state=False
            )
        else:
            logprob, entropy = _chunk(*arguments)
        logprobs.append(logprob)
        entropies.append(entropy)
    return torch.cat(logprobs), torch.cat(entropies) if with_entropy else None


def _chunk(
    hidden: Tensor, targets: Tensor, head: Head, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    logits = head(hidden).float() / temperature
    normaliser = logits.logsumexp(-1)
    logprobs = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1) - normaliser
    if not with_entropy:
        return logprobs, None
    # A logit of minus infinity (a token that cannot be) has probability 0 and adds nothing.
    weighted = (logits - normaliser.unsqueeze(-1)).exp() * logits.clamp(min=-1e30)
    return logprobs, normaliser - weighted.sum(-1)
