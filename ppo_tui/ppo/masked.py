"""Means and variances over the true positions of a mask.

What stands at a false position never matters, not even NaN: it is replaced, not multiplied by 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def zero_outside(x: Tensor, mask: Tensor) -> Tensor:
    """`x` with 0 wherever `mask` is false."""
    return torch.where(mask.bool(), x, torch.zeros((), dtype=x.dtype, device=x.device))


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` over the mask, a scalar; 0 where the mask is empty."""
    return zero_outside(x, mask).sum() / mask.sum().clamp(min=1)


def masked_var(x: Tensor, mask: Tensor, unbiased: bool = True) -> Tensor:
    """Variance of `x` over the mask, a scalar; 0 where fewer than two positions are true.

    Args:
        x: Any shape.
        mask: Same shape, boolean.
        unbiased: Divide by n - 1 (Bessel's correction) instead of n.
    """
    n = mask.sum()
    centred = zero_outside(x - masked_mean(x, mask), mask)
    return centred.square().sum() / (n - int(unbiased)).clamp(min=1)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Share of the returns' variance that the values explain: ``1 - Var(R - V) / Var(R)``.

    1 is a perfect critic, 0 one that predicts a constant, below 0 one that is worse than that. NaN
    where the returns do not vary, because then there is nothing to explain.
    """
    total = masked_var(returns, mask)
    share = 1 - masked_var(returns - values, mask) / total
    return torch.where(total > 0, share, torch.full_like(share, torch.nan))
