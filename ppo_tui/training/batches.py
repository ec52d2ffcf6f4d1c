"""What flows through one step, one frozen dataclass an arrow.

Notation. B sequences (episodes) in the step, R response positions; all tensors are float32 on the
training device unless said otherwise, and 0 outside the response mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ppo_tui.data.dataset import TokenizedPrompt
from ppo_tui.policy.roles import TokenOutputs
from ppo_tui.policy.sequences import Sequences


@dataclass(frozen=True)
class Rollout:
    """Responses that the policy sampled.

    Attributes:
        prompts: The B prompts, as tuples of token ids and their text.
        sequences: Their ids and the sampled ones; never decoded and encoded again.
        responses: The B responses as text, without special tokens.
        finished: ``[B]`` boolean: whether a response ended by itself.
        logprobs: ``[B, R]``, of the tokens as the sampler saw them; it may have computed with other
            weights or in another order than the policy is trained with.
    """

    prompts: tuple[TokenizedPrompt, ...]
    sequences: Sequences
    responses: tuple[str, ...]
    finished: Tensor
    logprobs: Tensor


@dataclass(frozen=True)
class Scores:
    """What the reward says of each response.

    Attributes:
        score: ``[B]``, the weighted sum of the terms, as it is recorded.
        terms: Each term's own scores, unweighted.
        shaped: ``[B]``, what PPO maximises: scaled, clipped, less the penalty for a missing end.
        metrics: What the terms say of the responses as a whole, by metric name.
    """

    score: Tensor
    terms: Mapping[str, tuple[float, ...]]
    shaped: Tensor
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Minibatches:
    """The optimiser steps of one epoch: which rows of the batch, in which micro-batches.

    Attributes:
        steps: For each optimiser step its micro-batches, each ``[b]`` row indices on the CPU.
    """

    steps: tuple[tuple[Tensor, ...], ...]

    @property
    def micro_batches(self) -> list[Tensor]:
        """All micro-batches, in order."""
        return [rows for step in self.steps for rows in step]


@dataclass(frozen=True)
class Measured:
    """The rollout as policy, reference and critic see it before the update.

    Attributes:
        logprobs: ``[B, R]`` under the policy that sampled: the *old* log-probabilities.
        ref_logprobs: ``[B, R]`` under the reference.
        values: ``[B, R]`` of the critic.
        entropies: ``[B, R]`` of the policy.
        first_epoch: The micro-batches in which this was measured. The first epoch trains in the
            same ones, so that new and old log-probabilities are equal to the last bit until the
            first optimiser step.
        readings: What the model says of each response, ``[B, D]`` by the reading's name, where
            something asks for it.
        kept: The outputs with their graph, for the update's loss to be taken from, where it has
            one optimiser step of one micro-batch.
    """

    logprobs: Tensor
    ref_logprobs: Tensor
    values: Tensor
    entropies: Tensor
    first_epoch: Minibatches
    readings: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    kept: TokenOutputs | None = None


@dataclass(frozen=True)
class Experience:
    """All that the update needs.

    Attributes:
        sequences: The tokens.
        mask: ``[B, R]`` boolean.
        measured: Old log-probabilities, reference, values.
        rewards: ``[B, R]`` per-token rewards, KL penalty included.
        advantages: ``[B, R]``, whitened if that is configured.
        returns: ``[B, R]``, made before whitening.
    """

    sequences: Sequences
    mask: Tensor
    measured: Measured
    rewards: Tensor
    advantages: Tensor
    returns: Tensor


@dataclass(frozen=True)
class UpdateStats:
    """What an update did.

    Attributes:
        metrics: By metric name.
        optimizer_steps: Optimiser steps taken.
        planned_steps: Optimiser steps planned: epochs x minibatches.
        stopped_early: Whether the KL bound ended the epochs.
        policy_kl: k3 of the policy before the step to the one after, mean a token, as measured in
            the last epoch.
        first_ratio_deviation: Largest ``|ratio - 1|`` of the first minibatch; 0 if all is right.
        max_clipped_norm: Largest gradient norm *after* clipping.
    """

    metrics: Mapping[str, float]
    optimizer_steps: int
    planned_steps: int
    stopped_early: bool
    policy_kl: float
    first_ratio_deviation: float
    max_clipped_norm: float


@dataclass(frozen=True)
class TokenTrace:
    """One token of a recorded sample."""

    text: str
    logprob: float
    ref_logprob: float
    value: float
    advantage: float


@dataclass(frozen=True)
class SampleTrace:
    """One response as it is recorded; with what the base reads in it, if it is kept for rating."""

    prompt: str
    response: str
    score: float
    terms: Mapping[str, float]
    kl: float
    length: int
    finished: bool
    tokens: tuple[TokenTrace, ...] | None = None
    reading: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class HealthNote:
    """Something about the run in words: what is wrong, why, and what to do.

    Attributes:
        happened: It happened, and is told each time that it does; else it is a state that may last
            over steps, and is told when it begins.
    """

    code: str
    message: str
    hint: str = ""
    level: str = "warning"
    happened: bool = False


@dataclass(frozen=True)
class StepRecord:
    """One finished step, for whoever records or shows it.

    Attributes:
        step: Counted from 1.
        metrics: By metric name.
        samples: The step's responses.
        health: What is worth a word.
    """

    step: int
    metrics: Mapping[str, float]
    samples: tuple[SampleTrace, ...] = ()
    health: tuple[HealthNote, ...] = field(default=())
