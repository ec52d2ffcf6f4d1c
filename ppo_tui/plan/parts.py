"""The parts of the memory plan: what a run holds, when, and where each number comes from.

The formulas for scoring and update are in `ppo_tui.plan.passes`, those for the rollout in
`ppo_tui.plan.rollout`, their symbols in `ppo_tui.plan.sizes`. Everything is in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ppo_tui.config.schema import AdapterConfig, RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.device import DeviceKind
from ppo_tui.plan.passes import (
    activation_bytes,
    adapted_layers,
    logits_rows,
    scoring_bytes,
    update_buffer_bytes,
)
from ppo_tui.plan.rollout import (
    is_plain,
    kv_cache_bytes,
    merging_bytes,
    prompt_pass_bytes,
    rollout_copy_bytes,
    step_bytes,
)
from ppo_tui.plan.sizes import Sizes, sizes_of

if TYPE_CHECKING:
    from ppo_tui.plan.choices import Choices

Phase = Literal["always", "rollout", "scoring", "update"]

GIB = 2**30

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Bits a weight: 4, an 8-bit scale for each 64 weights, a float32 one for each 256 of those
(double quantisation, arXiv:2305.14314): 4.127."""

DEVICE, GRAPHS = "device", "CUDA graphs"
"""The parts that torch's allocator does not count as handed out: it knows nothing of the one, and
takes what the other works in for free."""

OVERHEAD: dict[DeviceKind, int] = {"cuda": int(1.1 * GIB), "mps": GIB // 2, "cpu": 0}
"""CUDA's context and kernels, cuBLAS workspaces, the allocator's holes: 0.8 to 1.4 GiB."""


@dataclass(frozen=True)
class MemoryPart:
    """One part of the plan.

    Attributes:
        name: What it is, in a word or three.
        bytes: How much it takes.
        explanation: Where the number comes from, in a sentence.
        phase: When it is held; parts of different phases never stand beside each other.
    """

    name: str
    bytes: int
    explanation: str
    phase: Phase


def parts_of(
    architecture: Architecture,
    config: RunConfig,
    device: DeviceKind,
    prompt_tokens: int,
    choices: Choices,
) -> tuple[MemoryPart, ...]:
    """All parts of a run that is carried out as chosen; those of size 0 are left out."""
    s = sizes_of(architecture, config, device, prompt_tokens, choices)
    parts = (
        *_model_parts(architecture, config, device, s),
        *_rollout_parts(architecture, config, device, s, choices),
        *_pass_parts(architecture, config, s, choices),
    )
    return tuple(part for part in parts if part.bytes)


def phase_bytes(
    architecture: Architecture,
    config: RunConfig,
    device: DeviceKind,
    prompt_tokens: int,
    choices: Choices,
) -> dict[Phase, int]:
    """What is held always, and what each phase holds beside it."""
    sums: dict[Phase, int] = dict.fromkeys(("always", "rollout", "scoring", "update"), 0)
    for part in parts_of(architecture, config, device, prompt_tokens, choices):
        sums[part.phase] += part.bytes
    return sums


def _model_parts(
    a: Architecture, config: RunConfig, device: DeviceKind, s: Sizes
) -> tuple[MemoryPart, ...]:
    sets = 2 if config.ppo.value == "adapter" else 1
    trained = sets * adapter_weights(a, config.adapter) + a.hidden + 1
    bits = {"nf4": "4.127 bits", "int8": "8 bits", "none": f"{8 * s.compute} bits"}
    quantization = config.model.quantization
    return (
        MemoryPart(
            "weights",
            weight_bytes(a, quantization, s.compute),
            f"{a.counts.linear / 1e6:,.0f} M weights of the blocks in {bits[quantization]}, "
            f"{(a.parameters - a.counts.linear) / 1e6:,.0f} M others in {8 * s.compute} bits.",
            "always",
        ),
        MemoryPart(
            "adapters",
            4 * trained,
            f"{trained / 1e6:,.1f} M trained weights in float32: "
            f"{sets} x adapters of rank {config.adapter.rank}, and the value head.",
            "always",
        ),
        MemoryPart(
            "optimiser",
            12 * trained,
            "AdamW's two moments and the gradients of the trained weights, float32 each.",
            "always",
        ),
        MemoryPart(
            "undo",
            # Beside a card of its own memory it lies in the computer's.
            0 if device == "cuda" else 12 * trained,
            "The trained weights and moments as they were before the step, to put back if it "
            "breaks.",
            "always",
        ),
        MemoryPart(
            DEVICE, OVERHEAD[device], "What CUDA and its libraries hold themselves.", "always"
        ),
    )


def _rollout_parts(
    a: Architecture, config: RunConfig, device: DeviceKind, s: Sizes, choices: Choices
) -> tuple[MemoryPart, ...]:
    held: Phase = "always" if choices.keep_rollout else "rollout"
    until = "kept from step to step" if choices.keep_rollout else "for the time of a rollout"
    layers = "all" if config.model.quantization != "none" else "the adapted"
    step = step_bytes(a, config, s, choices)
    graphs = device == "cuda" and config.engine.cuda_graphs == "auto" and not is_plain(config)
    buffers = max(
        merging_bytes(a, config, s, choices), prompt_pass_bytes(a, config, s, choices), step
    )
    return (
        MemoryPart(
            "KV cache",
            kv_cache_bytes(a, config, s, device),
            f"Keys and values of {s.slots} x {s.sequence} tokens in {a.layers} layers, {until}.",
            held,
        ),
        MemoryPart(
            "rollout copy",
            rollout_copy_bytes(a, config, s, choices),
            f"The weights of {layers} linear layers in {8 * s.compute} bits with the adapter added "
            f"in, {until}.",
            held,
        ),
        MemoryPart(
            GRAPHS,
            step if graphs else 0,
            f"Memory of their own that the graphs of a token of {s.slots} responses work in, "
            f"{until}.",
            held,
        ),
        MemoryPart(
            "rollout buffers",
            buffers,
            f"The largest of: a pass over prompts of {s.prompt} tokens; a token of {s.slots} "
            "responses and its probabilities; a layer that is being copied.",
            "rollout",
        ),
    )


def _pass_parts(
    a: Architecture, config: RunConfig, s: Sizes, choices: Choices
) -> tuple[MemoryPart, ...]:
    again = ", each block computed again" if choices.checkpointing else ""
    activations = activation_bytes(a, config, s, checkpointing=choices.checkpointing)
    return (
        MemoryPart(
            "scoring buffers",
            scoring_bytes(a, config.model.quantization, s),
            f"A pass over {s.tokens:,} tokens without gradients.",
            "scoring",
        ),
        MemoryPart(
            "kept activations",
            activations if s.whole and config.ppo.epochs * config.ppo.minibatches == 1 else 0,
            "What the pass over the batch keeps for the only optimiser step, while the base scores "
            "it.",
            "scoring",
        ),
        MemoryPart(
            "activations",
            activations,
            f"What {s.tokens:,} tokens keep for the backward pass, {a.layers} layers{again}.",
            "update",
        ),
        MemoryPart(
            "update buffers",
            update_buffer_bytes(a, config, s, checkpointing=choices.checkpointing),
            f"Logits of at most {logits_rows(a, s)} response positions, or a block's gradients.",
            "update",
        ),
    )


def weight_bytes(a: Architecture, quantization: str, compute: int) -> int:
    """Weights of the base: linear layers of the blocks as quantised, all else in c bytes.

    int8 has a float32 scale for each output of a layer.
    """
    rest = compute * (a.parameters - a.counts.linear)
    if quantization == "nf4":
        return rest + int(a.counts.linear * NF4_BITS / 8)
    if quantization == "int8":
        rows = a.layers * sum(layer.outputs * layer.copies for layer in a.block.linears)
        return rest + a.counts.linear + 4 * rows
    return rest + compute * a.counts.linear


def adapter_weights(a: Architecture, adapter: AdapterConfig) -> int:
    """Weights of one set of adapters: r·(in + out) for each adapted layer."""
    a_block = sum(
        (layer.inputs + layer.outputs) * layer.copies for layer in adapted_layers(a, adapter)
    )
    return a.layers * adapter.rank * a_block
