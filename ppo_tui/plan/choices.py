"""How a run is carried out on a device: what the memory plan chooses for it.

The ways to carry out a run stand in one order, what costs the least time first, and the first that
fits is taken. The order knows nothing of the memory: with less of it, nothing is chosen that
stands before what is chosen with more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ppo_tui.config.schema import RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.device import DeviceKind
from ppo_tui.plan.parts import Phase, phase_bytes
from ppo_tui.plan.sizes import lengths_of, micro_batch_cap

RolloutWeights = Literal["merged", "adapters"]

TIGHT = 0.9
"""Above this share of the memory a run is called tight: the plan is not exact, and a desktop needs
some of the card as well. What is chosen stays below it."""

LAUNCH_SECONDS = 2e-3
"""What it takes the CPU to start the kernels of one block, forth and back."""

DEVICE_RATE = 1e14
"""Operations a second in the matrix products of a middling card."""

LEAST_TOKENS, MOST_TOKENS = 512, 4096
"""Bounds of `least_tokens`, whatever the model."""

AMPLE = 4
"""So many times `least_tokens` keep even a fast card busy, where they are not `MOST_TOKENS`."""


@dataclass(frozen=True)
class Choices:
    """What is chosen so that a run fits, and is as fast as what fits allows.

    Attributes:
        micro_batch_tokens: Tokens of prompts and responses in a forward pass of scoring and update;
            None sets no bound.
        rollout_weights: ``merged``: a copy of the adapted weights with the adapter added in;
            ``adapters``: the weights as they are held, the adapter beside them.
        keep_rollout: Hold the rollout's copy, cache and graphs from one step to the next, which
            saves making them anew; else they are let go before the update.
        rollout_slots: Responses that are decoded at a time.
        checkpointing: Compute a block's activations again in the backward pass.
    """

    micro_batch_tokens: int | None
    rollout_weights: RolloutWeights
    keep_rollout: bool
    rollout_slots: int
    checkpointing: bool

    def to_dict(self) -> dict[str, Any]:
        """The choices as plain data."""
        return asdict(self)


_Rollout = tuple[RolloutWeights, int]
"""Weights and slots."""

_Update = tuple[int | None, bool]
"""Tokens of a micro-batch, and whether activations are computed again."""


def choose(
    architecture: Architecture,
    config: RunConfig,
    budget_bytes: int | None,
    device: DeviceKind,
    prompt_tokens: int,
) -> Choices:
    """The fastest way to carry out a run that fits the memory, or else has the lowest peak.

    What `engine` and `ppo.micro_batch_size` say is obeyed. First of all micro-batches get smaller,
    as long as they are ample; then the rollout's memory is let go before the update (unless there
    turns out to be room for it). From there on the rollout is fitted by itself, and scoring and
    update by themselves, as they never stand beside each other: the rollout with fewer slots down
    to a quarter, then without a copy of the weights; the update with smaller micro-batches as long
    as that costs less than computing activations again, then with that.

    Args:
        architecture: The model's shape.
        config: The run.
        budget_bytes: The device's memory; `engine.memory_gib` bounds it further. Without either
            nothing is given up.
        device: Where the run is to be.
        prompt_tokens: Longest prompt.
    """
    budget = stated_budget(config, budget_bytes)
    sequence = sum(lengths_of(architecture, config, prompt_tokens))
    updates = _updates(architecture, config, device, sequence)
    rollouts = _rollouts(config)
    keep = device == "cuda" and config.engine.rollout != "plain"
    most = replace(_as_one(rollouts[0], updates[0]), keep_rollout=keep)
    if budget is None:
        return most

    def held(choices: Choices, *phases: Phase) -> int:
        sums = phase_bytes(architecture, config, device, prompt_tokens, choices)
        return sums["always"] + max(sums[phase] for phase in phases)

    def in_rollout(rollout: _Rollout) -> int:
        return held(_as_one(rollout, updates[-1]), "rollout")

    def in_update(update: _Update) -> int:
        return held(_as_one(rollouts[-1], update), "scoring", "update")

    # Where not even the smallest fits, neither phase need be smaller than the other can be.
    room = max(TIGHT * budget, in_rollout(rollouts[-1]), in_update(updates[-1]))

    def fits_kept(choices: Choices) -> bool:
        return keep and held(choices, "rollout", "scoring", "update") <= room

    ample = min(MOST_TOKENS, AMPLE * least_tokens(architecture, device, sequence))
    for tokens, again in updates:
        kept = replace(most, micro_batch_tokens=tokens, checkpointing=again)
        if again == most.checkpointing and (tokens or ample) >= ample and fits_kept(kept):
            return kept
    rollout = next(way for way in rollouts if in_rollout(way) <= room)
    update = next(way for way in updates if in_update(way) <= room)
    kept = replace(_as_one(rollout, update), keep_rollout=True)
    return kept if fits_kept(kept) else _as_one(rollout, update)


def stated_budget(config: RunConfig, device_bytes: int | None) -> int | None:
    """The memory that a run may take: the device's, or less where `engine.memory_gib` says so."""
    if config.engine.memory_gib is None:
        return device_bytes
    wanted = int(config.engine.memory_gib * 2**30)
    return wanted if device_bytes is None else min(wanted, device_bytes)


def least_tokens(architecture: Architecture, device: DeviceKind, sequence: int) -> int:
    """Tokens of a micro-batch down to which it gets smaller rather than be computed twice.

    A GPU takes the longer of ``L·LAUNCH_SECONDS`` and ``4·weights·tokens / DEVICE_RATE`` for a pass
    forth and back (2 operations a weight and token each way, as the base has no gradients).
    Computing again adds half of that work, so that more passes are the cheaper down to the tokens
    at which starting the kernels takes 1.5 times as long as their work. A CPU starts them at once;
    there two of the longest sequences keep all its cores busy.
    """
    if device == "cpu":
        return 2 * sequence
    operations = 6 * architecture.counts.linear
    even = int(LAUNCH_SECONDS * DEVICE_RATE * architecture.layers / operations)
    return min(MOST_TOKENS, max(LEAST_TOKENS, even))


def _updates(
    architecture: Architecture, config: RunConfig, device: DeviceKind, sequence: int
) -> list[_Update]:
    """The ways of scoring and update: the fastest first, the smallest last."""
    bounds: list[int | None] = [config.engine.micro_batch_tokens]
    if bounds == [None]:
        bounds += [count * sequence for count in _rounds(micro_batch_cap(config))[1:]]
    asked = config.engine.checkpointing
    if asked != "auto":
        return [(tokens, asked == "always") for tokens in bounds]
    least = least_tokens(architecture, device, sequence)
    once = [bounds[0], *(tokens for tokens in bounds[1:] if tokens and tokens >= least)]
    return [*((tokens, False) for tokens in once), *((tokens, True) for tokens in bounds)]


def _rollouts(config: RunConfig) -> list[_Rollout]:
    """The ways of the rollout: the fastest first, the smallest last.

    A copy of the weights is worth three quarters of the slots.
    """
    fixed, asked = config.engine.rollout_slots, config.engine.rollout_weights
    counts = _rounds(config.rollout.batch_size) if fixed is None else [fixed]
    if asked != "auto":
        return [(asked, count) for count in counts]
    ways: list[_Rollout] = [("merged", count) for count in counts if 4 * count >= counts[0]]
    return [*ways, *(("adapters", count) for count in counts)]


def _as_one(rollout: _Rollout, update: _Update) -> Choices:
    weights, slots = rollout
    tokens, checkpointing = update
    return Choices(tokens, weights, False, slots, checkpointing)


def _rounds(count: int) -> list[int]:
    """How many at a time finish `count` in one round, in two, in three, and so on."""
    return list(dict.fromkeys(-(-count // rounds) for rounds in range(1, count + 1)))
