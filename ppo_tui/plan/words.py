"""What the memory plan chose, in plain words: a line for each phase, or one for a narrow screen."""

from __future__ import annotations

from ppo_tui.plan.memory import MemoryPlan


def update_in_words(plan: MemoryPlan) -> str:
    """How scoring and update are carried out."""
    if plan.choices.checkpointing:
        again = "activations computed again in the backward pass"
    else:
        again = "no recomputation"
    return f"{_tokens(plan)} at a time, {again}"


def rollout_in_words(plan: MemoryPlan) -> str:
    """How the rollout is carried out."""
    merged = plan.choices.rollout_weights == "merged"
    weights = (
        f"on a merged {plan.bits}-bit copy of the weights"
        if merged
        else "on the weights as they are held, the adapter beside them"
    )
    kept = ", in memory that is kept for the next step" if plan.choices.keep_rollout else ""
    return f"decoding {_responses(plan)} at once {weights}{kept}"


def in_short(plan: MemoryPlan) -> str:
    """All of it in about a line of a narrow screen."""
    weights = {"merged": "on a merged copy", "adapters": "without a copy"}
    kept = ", kept" if plan.choices.keep_rollout else ""
    again = " with recomputation" if plan.choices.checkpointing else " at a time"
    return (
        f"{_tokens(plan)}{again}, decoding {_responses(plan)} "
        f"{weights[plan.choices.rollout_weights]}{kept}"
    )


def _tokens(plan: MemoryPlan) -> str:
    tokens = plan.choices.micro_batch_tokens
    if tokens is not None:
        return f"{tokens:,} tokens"
    return f"{plan.micro_batch:,} sequences" if plan.micro_batch > 1 else "1 sequence"


def _responses(plan: MemoryPlan) -> str:
    count = plan.choices.rollout_slots
    return f"{count:,} responses" if count > 1 else "1 response"
