"""How much better an action was than expected: GAE and whitening."""

from __future__ import annotations

import torch
from torch import Tensor

from ppo_tui.ppo.masked import masked_mean, masked_var, zero_outside


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al., arXiv:1506.02438, equation 16).

    ``δ_t = r_t + γ V_{t+1} - V_t``, ``A_t = δ_t + γλ A_{t+1}``, ``R_t = A_t + V_t``. Everything
    after the last real token is 0: the episode ends there, and a response that was cut off by its
    length is not bootstrapped either (the field's convention; see `missing_eos_penalty`).

    Args:
        rewards: ``[B, R]``.
        values: ``[B, R]``, ``V_t`` read where token t is predicted, before it is known.
        mask: ``[B, R]``, boolean.
        gamma: Discount a token.
        lam: Weight of longer estimates: 0 is one-step TD, 1 is Monte Carlo.

    Returns:
        Advantages, not whitened, and returns, both ``[B, R]`` and 0 outside the mask.
    """
    rewards = zero_outside(rewards, mask)
    values = zero_outside(values, mask)
    advantages = torch.zeros_like(values)
    next_value = torch.zeros_like(values[..., 0])
    next_advantage = torch.zeros_like(next_value)
    for t in range(values.shape[-1] - 1, -1, -1):
        delta = rewards[..., t] + gamma * next_value - values[..., t]
        next_advantage = zero_outside(delta + gamma * lam * next_advantage, mask[..., t])
        next_value = values[..., t]
        advantages[..., t] = next_advantage
    return advantages, zero_outside(advantages + values, mask)


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Scale `x` to unit variance over the mask: ``(x - mean) / sqrt(var + 1e-8)``.

    The variance is the unbiased one.

    Args:
        x: Any shape.
        mask: Same shape, boolean.
        shift_mean: Leave the mean at 0; otherwise it is added back, so that only the scale changes.

    Returns:
        Same shape, 0 outside the mask.
    """
    mean = masked_mean(x, mask)
    scaled = (x - mean) * torch.rsqrt(masked_var(x, mask) + 1e-8)
    if not shift_mean:
        scaled = scaled + mean
    return zero_outside(scaled, mask)
