"""The responses of a step as they are recorded, a few of them token by token."""

from __future__ import annotations

from typing import Any

from ppo_tui.rewards.protocol import REFERENCE
from ppo_tui.training.batches import Experience, Rollout, SampleTrace, Scores, TokenTrace


def trace_samples(
    rollout: Rollout, scores: Scores, experience: Experience, tokenizer: Any, pool: int = 0
) -> tuple[SampleTrace, ...]:
    """One record a response; best and worst of the step with their tokens.

    Args:
        rollout: The responses.
        scores: What the reward said of them.
        experience: What the model said of them.
        tokenizer: Writes the tokens.
        pool: So many of them keep what the base reads in them, to be rated.
    """
    measured = experience.measured
    readings = measured.readings.get(REFERENCE)
    kl = (measured.logprobs - measured.ref_logprobs).sum(-1).tolist()
    score = scores.score.tolist()
    lengths = rollout.sequences.response_lengths.tolist()
    finished = rollout.finished.tolist()
    order = sorted(range(len(score)), key=score.__getitem__)
    traced = {order[0], order[-1]}
    return tuple(
        SampleTrace(
            prompt=rollout.prompts[row].text,
            response=rollout.responses[row],
            score=score[row],
            terms={label: term[row] for label, term in scores.terms.items()},
            kl=kl[row],
            length=lengths[row],
            finished=finished[row],
            tokens=_tokens(experience, row, lengths[row], tokenizer) if row in traced else None,
            reading=readings[row] if readings is not None and row < pool else None,
        )
        for row in range(len(score))
    )


def _tokens(
    experience: Experience, row: int, length: int, tokenizer: Any
) -> tuple[TokenTrace, ...]:
    measured = experience.measured
    ids = experience.sequences.response_ids[row, :length].tolist()
    columns = [
        tensor[row, :length].tolist()
        for tensor in (
            measured.logprobs,
            measured.ref_logprobs,
            measured.values,
            experience.advantages,
        )
    ]
    return tuple(
        TokenTrace(tokenizer.decode([token]), *numbers)
        for token, *numbers in zip(ids, *columns, strict=True)
    )
