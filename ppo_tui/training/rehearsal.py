"""The longest batch that a run can meet, tried before its first step.

What does not fit a card then shows in the first minute and not in the ninth hour, when prompts that
are longer than any before happen to meet. Nothing is learnt from it, and no random number is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ppo_tui.config.schema import RunConfig
from ppo_tui.policy.devices import attempt
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences, pad_prompts
from ppo_tui.training.room import Room


def rehearse(roles: Roles, room: Room, config: RunConfig, prompts: Sequence[Sequence[int]]) -> None:
    """Make the passes of an optimiser step over the longest prompts with responses of full length.

    Where memory runs out, micro-batches are smaller from then on.

    Args:
        roles: The model; its gradients are dropped afterwards.
        room: How much is in memory at a time.
        config: The run's.
        prompts: Token ids of all prompts.

    Raises:
        OutOfMemory: Not even one response at a time fits.
    """
    rows = config.rollout.batch_size // config.ppo.minibatches
    batch = _longest(roles, prompts, rows, config.rollout.response_tokens)
    lengths = batch.lengths.cpu()
    bonus = config.ppo.entropy_coef > 0

    def forth_and_back(part: Tensor) -> None:
        chosen = batch.select(part.to(batch.response_ids.device))
        roles.reference_logprobs(chosen)
        output = roles.policy_pass(chosen, with_entropy=bonus, entropy_gradient=bonus)
        assert output.values is not None
        loss = output.logprobs.sum() + output.values.sum()
        if bonus:
            assert output.entropies is not None
            loss = loss + output.entropies.sum()
        loss.backward()  # type: ignore[no-untyped-call]

    try:
        while True:
            # Not the first: the longest sequence may be alone, and smaller than others together.
            parts = room.limit.split(torch.arange(rows), lengths)
            part = max(parts, key=lambda chosen: int(lengths[chosen].sum()))
            if attempt(roles.base.device, forth_and_back, part) is not None:
                return
            room.halve(part, lengths, "update")
    finally:
        for parameter in (*roles.policy_parameters(), *roles.value_parameters()):
            parameter.grad = None


def _longest(roles: Roles, prompts: Sequence[Sequence[int]], rows: int, tokens: int) -> Sequences:
    longest = sorted(prompts, key=len, reverse=True)[:rows]
    chosen = [longest[row % len(longest)] for row in range(rows)]
    ids, lengths = pad_prompts(sorted(chosen, key=len, reverse=True), roles.base.vocabulary.pad_id)
    vocab = roles.trunk.vocab_size
    responses = (torch.arange(rows * tokens) % vocab).reshape(rows, tokens)
    full = torch.full((rows,), tokens)
    return Sequences(ids, lengths, responses, full).to(roles.base.device)
