"""The clipped losses of PPO (arXiv:1707.06347), and what is measured beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ppo_tui.ppo.masked import zero_outside


class LossStats(Mapping[str, Tensor]):
    """Measurements of one loss, by name; scalars without gradient.

    The policy's are ``approx_kl`` (k3 of old against new, never negative), ``approx_kl_half_sq``
    (half the mean squared log-ratio), ``clip_fraction``, ``ratio_mean`` and ``ratio_max_deviation``
    (the largest ``|ratio - 1|``); the value function's are ``clip_fraction`` and ``error`` (mean
    squared error). They are *means over the given mask*, or sums divided by `denominator`, like the
    loss itself, so that those of micro-batches add up (all but the maximum).
    """

    def __init__(self, **values: Tensor) -> None:
        self._values = {name: value.detach() for name, value in values.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self._values[name]

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self.__dict__["_values"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def token_mean(x: Tensor, mask: Tensor, denominator: float | Tensor | None = None) -> Tensor:
    """Sum of `x` over the mask, divided by the mask's count or by `denominator`.

    With gradient accumulation the denominator is the token count of the *whole* optimiser step:
    only then do the micro-batches' losses add up to the loss of the step.
    """
    if denominator is None:
        denominator = mask.sum().clamp(min=1)
    return zero_outside(x, mask).sum() / denominator


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
    *,
    denominator: float | Tensor | None = None,
) -> tuple[Tensor, LossStats]:
    """The clipped surrogate: ``max(-A·ρ, -A·clip(ρ, 1-ε, 1+ε))`` with ``ρ = exp(new - old)``.

    Args:
        logprobs: ``[B, R]``, of the policy in training; the gradient flows through these.
        old_logprobs: ``[B, R]``, of the policy that sampled.
        advantages: ``[B, R]``.
        mask: ``[B, R]``, boolean.
        clip: ε below 1, and above 1 unless `clip_high` is given.
        clip_high: ε above 1 (clip-higher; Yu et al., arXiv:2503.14476).
        dual_clip: Bound c > 1 of the loss where A < 0: ``min(loss, -A·c)`` (dual clip; Ye et al.,
            arXiv:1912.09729).
        denominator: What the sum is divided by, instead of the mask's count.

    Returns:
        The loss, a scalar, and its measurements.
    """
    high = clip if clip_high is None else clip_high
    log_ratio = zero_outside(logprobs - old_logprobs, mask)
    # Beyond e^20 the value is as good as infinite, and infinity times a zero advantage is NaN.
    ratio = torch.exp(log_ratio.clamp(-20.0, 20.0))
    advantages = zero_outside(advantages, mask)
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1.0 - clip, 1.0 + high)
    losses = torch.maximum(unclipped, clipped)
    if dual_clip is not None:
        losses = torch.where(advantages < 0, torch.minimum(losses, -advantages * dual_clip), losses)
    with torch.no_grad():
        stats = LossStats(
            approx_kl=token_mean(torch.expm1(log_ratio) - log_ratio, mask, denominator),
            approx_kl_half_sq=token_mean(log_ratio.square() / 2, mask, denominator),
            clip_fraction=token_mean((clipped > unclipped).to(ratio.dtype), mask, denominator),
            ratio_mean=token_mean(ratio, mask, denominator),
            ratio_max_deviation=zero_outside((ratio - 1).abs(), mask).max(),
        )
    return token_mean(losses, mask, denominator), stats


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    clip: float | None,
    *,
    denominator: float | Tensor | None = None,
) -> tuple[Tensor, LossStats]:
    """The clipped value loss: ``½·max((v - R)², (v_old + clip(v - v_old, -ε, ε) - R)²)``.

    Args:
        values: ``[B, R]``, of the critic in training.
        old_values: ``[B, R]``, from before the step.
        returns: ``[B, R]``.
        mask: ``[B, R]``, boolean.
        clip: How far a value may move before it is clipped; None leaves plain squared error.
        denominator: What the sum is divided by, instead of the mask's count.

    Returns:
        The loss, a scalar, and its measurements.
    """
    values, old_values, returns = (zero_outside(x, mask) for x in (values, old_values, returns))
    error = (values - returns).square()
    if clip is None:
        worst, moved = error, torch.zeros_like(error)
    else:
        clipped = old_values + (values - old_values).clamp(-clip, clip)
        clipped_error = (clipped - returns).square()
        worst, moved = torch.maximum(error, clipped_error), (clipped_error > error).to(error.dtype)
    with torch.no_grad():
        stats = LossStats(
            clip_fraction=token_mean(moved, mask, denominator),
            error=token_mean(error, mask, denominator),
        )
    return token_mean(worst / 2, mask, denominator), stats
