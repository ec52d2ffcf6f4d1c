"""The formulas for the rollout: cache, copy of the weights, and what decoding works with.

Symbols as in `ppo_tui.plan.passes`, with S responses decoded at a time. Everything is in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppo_tui.config.schema import RolloutConfig, RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.device import DeviceKind
from ppo_tui.plan.passes import adapted_layers, pass_bytes
from ppo_tui.plan.sizes import Sizes

if TYPE_CHECKING:
    from ppo_tui.plan.choices import Choices

PREFILL_TOKENS = 4096
"""Prompt tokens in a pass, or one prompt where that is longer."""

CACHE_STEP = 128
"""A GPU's cache has a length of so many tokens, or of a multiple."""


def is_plain(config: RunConfig) -> bool:
    """Whether the rollout is the plain one, over a cache that grows."""
    return config.engine.rollout == "plain"


def kv_cache_bytes(a: Architecture, config: RunConfig, s: Sizes, device: DeviceKind) -> int:
    """Keys and values of S responses: 2·S·T·k·c a layer.

    A plain rollout's cache grows at each token, copied a layer at a time.
    """
    layers, length = a.layers + is_plain(config), s.sequence
    if device == "cuda" and not is_plain(config):
        length = -(-length // CACHE_STEP) * CACHE_STEP
    return 2 * s.slots * length * s.compute * a.widths.key_value * layers


def rollout_copy_bytes(a: Architecture, config: RunConfig, s: Sizes, choices: Choices) -> int:
    """Weights with the adapter added in, c bytes each.

    Of all linear layers where they are quantised, as all of them are taken out of that form; else
    of the adapted ones.
    """
    if choices.rollout_weights == "adapters":
        return 0
    if config.model.quantization != "none":
        return s.compute * a.counts.linear
    return s.compute * a.layers * sum(x.weights for x in adapted_layers(a, config.adapter))


def merging_bytes(a: Architecture, config: RunConfig, s: Sizes, choices: Choices) -> int:
    """The largest layer while its copy is made: as it is and as it will be, three float32 ones."""
    if choices.rollout_weights == "adapters":
        return 0
    quantised = config.model.quantization != "none"
    layers = a.block.linears if quantised else adapted_layers(a, config.adapter)
    return (2 * s.compute + 12) * max((x.inputs * x.outputs for x in layers), default=0)


def prompt_pass_bytes(a: Architecture, config: RunConfig, s: Sizes, choices: Choices) -> int:
    """A pass over prompts, and a layer's keys and values on their way into the cache.

    Or, where that is more, the first token of each response, drawn after it. Responses to the same
    prompt share its pass, which reads so many tokens at the most; a plain rollout does neither.
    """
    group = 1 if is_plain(config) else s.group
    prompts = -(-s.slots // group)
    tokens = prompts * s.prompt
    if not is_plain(config):
        tokens = min(tokens, max(PREFILL_TOKENS, s.prompt))
    written = min(tokens * group, s.slots * s.prompt)
    merged = choices.rollout_weights == "merged"
    reading = pass_bytes(a, config.model.quantization, s, tokens, s.prompt, merged=merged)
    states = 2 * written * a.widths.key_value * s.compute
    a_response = s.compute + sampler_bytes(config.rollout)
    drawing = a.vocab * (prompts * s.compute + s.slots * a_response)
    return max(reading + states, drawing)


def step_bytes(a: Architecture, config: RunConfig, s: Sizes, choices: Choices) -> int:
    """A token of S responses: its pass, its logits in c, and the sampler's probabilities."""
    merged = choices.rollout_weights == "merged"
    decoding = pass_bytes(a, config.model.quantization, s, s.slots, s.sequence, merged=merged)
    return decoding + s.slots * a.vocab * (s.compute + sampler_bytes(config.rollout))


def sampler_bytes(rollout: RolloutConfig) -> int:
    """Bytes that the sampler holds for each token of the vocabulary: two float32 distributions.

    Cutting the distribution takes it to float64: as it is, sorted, their order, and as it is kept.
    """
    cut = rollout.top_p < 1 or rollout.top_k > 0
    return 8 + (4 * 8 if cut else 0)
