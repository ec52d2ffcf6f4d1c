"""The numbers of a step, under the names that scripts and viewers rely on.

Every metric is a mean over the step's tokens or responses unless its name says otherwise:

* ``reward/score``: the weighted sum of the terms, before scaling, clipping and penalties.
* ``reward/total``: sum of the per-token rewards of a response: what PPO maximises.
* ``kl/ref``: KL of the policy to the base per *sequence* (sum of k1 over its tokens), in nats; can
  be negative by noise. ``kl/ref_k3``: the same from k3, never negative.
* ``policy/approx_kl``: k3 of the policy before the step to the one after, mean a token.
* ``policy/ratio_first``: mean ratio of the first minibatch; 1 if all is right.
* ``value/explained_variance``: of the returns, by the values before the step.
* ``rollout/logprob_gap``: mean difference, regardless of its sign, between a token's
  log-probability to the sampler and to the policy in training; ``rollout/logprob_gap_max``: the
  largest.
* ``response/distinct_2``: share of different word pairs among all of the step; falls as responses
  repeat themselves and each other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch

from ppo_tui.ppo import explained_variance, kl_estimate, masked_mean
from ppo_tui.ppo.masked import zero_outside
from ppo_tui.training.batches import Experience, Rollout, Scores, UpdateStats


class PhaseClock:
    """Seconds that each phase of a step took.

    Args:
        device: A CUDA device is waited for at the end of a phase: what was asked of it goes on
            after Python has gone on.
    """

    def __init__(self, device: torch.device) -> None:
        self._waits = device.type == "cuda"
        self.seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def restart(self) -> None:
        """Begin a step."""
        self.seconds = {}
        self._started = time.perf_counter()

    @contextmanager
    def time(self, phase: str) -> Iterator[None]:
        """Count what runs inside towards `phase`."""
        start = time.perf_counter()
        yield
        if self._waits:
            torch.cuda.synchronize()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        """Seconds since the step began."""
        return time.perf_counter() - self._started


def step_metrics(
    rollout: Rollout,
    scores: Scores,
    experience: Experience,
    update: UpdateStats,
    kl_coef: float,
    clock: PhaseClock,
) -> dict[str, float]:
    """All metrics of a step by name."""
    mask, measured = experience.mask, experience.measured
    k1 = zero_outside(measured.logprobs - measured.ref_logprobs, mask).sum(-1)
    k3 = zero_outside(kl_estimate(measured.logprobs, measured.ref_logprobs, "k3"), mask).sum(-1)
    gap = zero_outside(rollout.logprobs - measured.logprobs, mask).abs()
    lengths = rollout.sequences.response_lengths
    episodes, tokens = len(rollout.prompts), int(lengths.sum())
    seconds = clock.total
    return {
        "reward/score": float(scores.score.mean()),
        "reward/total": float(experience.rewards.sum(-1).mean()),
        **{f"reward/{label}": sum(term) / episodes for label, term in scores.terms.items()},
        **scores.metrics,
        "kl/ref": float(k1.mean()),
        "kl/ref_k3": float(k3.mean()),
        "kl/coef": kl_coef,
        **update.metrics,
        "policy/entropy": float(masked_mean(measured.entropies, mask)),
        "value/explained_variance": float(
            explained_variance(measured.values, experience.returns, mask)
        ),
        "rollout/logprob_gap": float(masked_mean(gap, mask)),
        "rollout/logprob_gap_max": float(gap.max()),
        "response/length": tokens / episodes,
        "response/eos_rate": float(rollout.finished.float().mean()),
        "response/distinct_2": distinct_pairs(rollout.responses),
        **{f"time/{phase}": clock.seconds[phase] for phase in clock.seconds},
        "throughput/tokens_per_s": tokens / seconds,
        "throughput/episodes_per_s": episodes / seconds,
        "memory/peak_gib": peak_memory(mask.device) / 2**30,
    }


def distinct_pairs(texts: Sequence[str]) -> float:
    """Different pairs of neighbouring words as a share of all pairs; NaN where there are none."""
    pairs = [pair for text in texts for words in [text.split()] for pair in pairwise(words)]
    return len(set(pairs)) / len(pairs) if pairs else float("nan")


def peak_memory(device: torch.device) -> int:
    """Bytes at the highest so far: of the CUDA allocator, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
