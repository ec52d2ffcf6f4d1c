"""The sizes of a run that the memory plan's formulas are written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ppo_tui.config.schema import RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.device import DeviceKind

if TYPE_CHECKING:
    from ppo_tui.plan.choices import Choices


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run.

    Attributes:
        batch: B, responses a step.
        group: Responses to each prompt.
        slots: S, responses that are decoded at a time.
        tokens: N, tokens of a forward pass of scoring or update.
        prompt: P, tokens of the longest prompt.
        response: R, tokens of the longest response.
        compute: c, bytes of a number in computation.
        packed: Whether sequences are scored and trained on end to end, without padding.
        whole: Whether a minibatch is one forward pass.
    """

    batch: int
    group: int
    slots: int
    tokens: int
    prompt: int
    response: int
    compute: int
    packed: bool
    whole: bool

    @property
    def sequence(self) -> int:
        """T = P + R."""
        return self.prompt + self.response

    @property
    def sequences(self) -> int:
        """b, sequences of the longest length in a forward pass."""
        return max(1, self.tokens // self.sequence)

    @property
    def answered(self) -> int:
        """M, response tokens of a forward pass where all responses are full."""
        return -(-self.tokens * self.response // self.sequence)


def sizes_of(
    architecture: Architecture,
    config: RunConfig,
    device: DeviceKind,
    prompt_tokens: int,
    choices: Choices,
) -> Sizes:
    """Sizes of the run: every response full, every prompt the longest."""
    prompt, response = lengths_of(architecture, config, prompt_tokens)
    most = micro_batch_cap(config) * (prompt + response)
    bound = most if choices.micro_batch_tokens is None else choices.micro_batch_tokens
    # A sequence is never cut: one is in a pass, however long it is.
    tokens = max(prompt + response, min(bound, most))
    minibatch = config.rollout.batch_size // config.ppo.minibatches
    return Sizes(
        batch=config.rollout.batch_size,
        group=config.rollout.samples_per_prompt,
        slots=min(choices.rollout_slots, config.rollout.batch_size),
        tokens=tokens,
        prompt=prompt,
        response=response,
        compute=compute_bytes(config, device),
        packed=config.engine.packing == "auto" and not architecture.block.eager_attention,
        whole=tokens >= minibatch * (prompt + response),
    )


def lengths_of(
    architecture: Architecture, config: RunConfig, prompt_tokens: int
) -> tuple[int, int]:
    """P and R: a prompt that the context has no room for is never given to the model."""
    response = config.rollout.response_tokens
    if architecture.context is None:
        return prompt_tokens, response
    return max(1, min(prompt_tokens, architecture.context - response)), response


def micro_batch_cap(config: RunConfig) -> int:
    """Most sequences in a forward pass: a minibatch, or what `ppo.micro_batch_size` allows."""
    minibatch = config.rollout.batch_size // config.ppo.minibatches
    return min(config.ppo.micro_batch_size or minibatch, minibatch)


def compute_bytes(config: RunConfig, device: DeviceKind) -> int:
    """c, bytes of a number in computation; dtype: auto is 16 bits but on the CPU."""
    dtype = config.model.dtype
    if dtype == "auto":
        return 4 if device == "cpu" else 2
    return 4 if dtype == "float32" else 2
