"""From one score a response to one reward a token."""

from __future__ import annotations

from torch import Tensor

from ppo_tui.ppo.kl import KLKind, kl_estimate
from ppo_tui.ppo.masked import zero_outside


def last_token_mask(mask: Tensor) -> Tensor:
    """True at the last true position of each row, false elsewhere; `mask` is ``[B, R]``."""
    following = mask.bool().flip(-1).cumsum(-1).flip(-1)
    return mask.bool() & (following == 1)


def token_rewards(
    scores: Tensor,
    logprobs: Tensor,
    ref_logprobs: Tensor,
    mask: Tensor,
    kl_coef: float,
    kind: KLKind = "k1",
) -> Tensor:
    """The KL penalty at every token, and the score at the last real one.

    ``r_t = -kl_coef · kl_t + 1[t = last] · score`` (Ziegler et al., arXiv:1909.08593, equation 2,
    spread over the tokens). The score stands at the last real token, not one behind it.

    Args:
        scores: ``[B]``, one a response.
        logprobs: ``[B, R]``, of the policy that sampled the tokens (the *old* policy).
        ref_logprobs: ``[B, R]``, of the reference.
        mask: ``[B, R]``, boolean.
        kl_coef: Weight of the KL penalty (beta).
        kind: Which estimator of the KL.

    Returns:
        ``[B, R]``, 0 outside the mask.
    """
    penalty = zero_outside(kl_coef * kl_estimate(logprobs, ref_logprobs, kind), mask)
    at_end = last_token_mask(mask).to(penalty.dtype) * scores.to(penalty.dtype).unsqueeze(-1)
    return at_end - penalty
