"""The distance from the reference: estimators of the KL, and its adaptive coefficient."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

KLKind = Literal["k1", "k2", "k3"]


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, kind: KLKind = "k1") -> Tensor:
    """Per-token estimates of ``KL(policy || reference)`` from tokens the policy sampled.

    With ``d = logprobs - ref_logprobs`` (Schulman, "Approximating KL Divergence", 2020):

    * ``k1 = d``: unbiased, may be negative; the one for the reward.
    * ``k2 = d² / 2``: biased, low variance; its gradient is the right one for a loss.
    * ``k3 = exp(-d) - 1 + d``: unbiased and never negative.

    Args:
        logprobs: Log-probabilities of the sampled tokens under the policy, any shape.
        ref_logprobs: The same under the reference.
        kind: Which estimator.

    Returns:
        The estimates, in the same shape.

    Raises:
        ValueError: There is no such estimator.
    """
    difference = logprobs - ref_logprobs
    if kind == "k1":
        return difference
    if kind == "k2":
        return difference.square() / 2
    if kind == "k3":
        # expm1 keeps the value exact, and never negative, where the policies nearly agree.
        return torch.expm1(-difference) + difference
    raise ValueError(f"unknown KL estimator {kind!r}: known are k1, k2 and k3")


class AdaptiveKL:
    """Moves the KL coefficient so that the KL per sequence comes to a target.

    ``e = clip(KL_seq / target - 1, -0.2, 0.2)`` and ``coef ← coef · (1 + e · n / horizon)``
    (Ziegler et al., arXiv:1909.08593, section 2.2).

    Args:
        coef: Where the coefficient starts.
        target: KL per sequence, in nats, that is aimed at.
        horizon: Episodes over which the coefficient changes by about its own size.
    """

    def __init__(self, coef: float, target: float, horizon: float) -> None:
        self.coef = coef
        self.target = target
        self.horizon = horizon

    def update(self, kl_seq: float, n: int) -> float:
        """Take one step's measurement.

        Args:
            kl_seq: Mean over sequences of the *sum* of k1 over the sequence's tokens, in nats.
            n: Episodes in the step.

        Returns:
            The new coefficient.
        """
        error = min(max(kl_seq / self.target - 1.0, -0.2), 0.2)
        self.coef *= 1.0 + error * n / self.horizon
        return self.coef
