"""Share of the optimum: how well a run did what PPO with a KL penalty sets out to do.

The objective ``J(π) = E[score - β·KL_seq]`` has the closed-form maximum
``J* = E_prompt[β·log E_ref[exp(score/β)]]``, reached by ``π*(y|x) ∝ π_ref(y|x)·exp(score/β)``
(Ziegler et al., arXiv:1909.08593; Korbak et al., arXiv:2205.11275). The expectation over the base
model is estimated from samples of it, and so is J(π) from samples of the tuned model. A small
number of reference samples flatters: the logarithm of a sample mean is biased low.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OptimumShare:
    """The share and what it is made of.

    Attributes:
        share: ``(J(π) - J(ref)) / (J* - J(ref))``: 0 is the untouched base, 1 cannot be passed
            (an estimate can, by its noise).
        low: Lower end of the 95 % bootstrap interval of the share.
        high: Upper end.
        objective: J(π).
        objective_base: J(ref), the base model's mean score; its KL is 0.
        objective_optimum: J*.
        reference_samples: N, samples of the base a prompt.
        samples: Samples of the tuned model a prompt.
        prompts: Prompts.
    """

    share: float
    low: float
    high: float
    objective: float
    objective_base: float
    objective_optimum: float
    reference_samples: int
    samples: int
    prompts: int


def log_mean_exp(x: Array) -> Array:
    """``log mean exp`` over the last axis, without overflow."""
    top = x.max(axis=-1, keepdims=True)
    result: Array = np.log(np.exp(x - top).mean(axis=-1)) + top.squeeze(-1)
    return result


def optimum_share(
    tuned_scores: Array,
    tuned_kl: Array,
    base_scores: Array,
    kl_coef: float,
    *,
    resamples: int = 500,
    seed: int = 0,
) -> OptimumShare:
    """Estimate the share.

    Args:
        tuned_scores: ``[P, M]``, scores of the tuned model's M samples to each of P prompts.
        tuned_kl: ``[P, M]``, KL to the base of each of those, summed over its tokens.
        base_scores: ``[P, N]``, scores of the base model's samples.
        kl_coef: β. At 0 the optimum is the best sample seen, and the share says little.
        resamples: Bootstrap resamples: within each prompt, of both kinds of sample.
        seed: Of the bootstrap.
    """
    tuned = tuned_scores - kl_coef * tuned_kl
    objective, base, optimum = _objectives(tuned, base_scores, kl_coef)
    generator = np.random.default_rng(seed)
    shares = []
    for _ in range(resamples):
        tuned_rows = generator.integers(0, tuned.shape[1], tuned.shape)
        base_rows = generator.integers(0, base_scores.shape[1], base_scores.shape)
        shares.append(
            _share(
                *_objectives(
                    np.take_along_axis(tuned, tuned_rows, axis=1),
                    np.take_along_axis(base_scores, base_rows, axis=1),
                    kl_coef,
                )
            )
        )
    known = [share for share in shares if not np.isnan(share)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (np.nan, np.nan)
    return OptimumShare(
        share=_share(objective, base, optimum),
        low=float(low),
        high=float(high),
        objective=objective,
        objective_base=base,
        objective_optimum=optimum,
        reference_samples=base_scores.shape[1],
        samples=tuned.shape[1],
        prompts=tuned.shape[0],
    )


def _objectives(tuned: Array, base_scores: Array, kl_coef: float) -> tuple[float, float, float]:
    if kl_coef > 0:
        best = kl_coef * log_mean_exp(base_scores / kl_coef)
    else:
        best = base_scores.max(axis=-1)
    return float(tuned.mean()), float(base_scores.mean()), float(best.mean())


def _share(objective: float, base: float, optimum: float) -> float:
    # Where the base cannot be bettered (all its samples score the same) there is no share.
    return (objective - base) / (optimum - base) if optimum - base > 1e-9 else float("nan")
