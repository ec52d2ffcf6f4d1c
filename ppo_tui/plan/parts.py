"""The formulas of the memory plan: how many bytes each part of a run takes.

Symbols: B responses a step, b sequences in memory at a time (micro-batch), P prompt and R response
tokens, T = P + R, L layers, h hidden width, i MLP width, q width of all heads, V vocabulary, r rank
of the adapters, c bytes of a number in computation (2 or 4). Everything is in bytes.

What autograd keeps a token and block was measured: tensors saved in the forward pass were counted
for each known architecture, and the formulas below give those counts within 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ppo_tui.config.schema import AdapterConfig, RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.device import DeviceKind
from ppo_tui.plan.families import LinearLayer

Phase = Literal["always", "rollout", "scoring", "update"]

MIB, GIB = 2**20, 2**30

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
"""Bits a weight: 4, an 8-bit scale for each 64 weights, a float32 one for each 256 of those
(double quantisation, arXiv:2305.14314): 4.127."""

LOGITS_CHUNK_BYTES = 64 * MIB
"""The float32 logits that the output head holds at a time."""

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


@dataclass(frozen=True)
class Sizes:
    """The sizes of a run that the formulas need.

    Attributes:
        batch: B.
        micro: b.
        prompt: P.
        response: R.
        compute: c.
    """

    batch: int
    micro: int
    prompt: int
    response: int
    compute: int

    @property
    def sequence(self) -> int:
        """T = P + R."""
        return self.prompt + self.response


def sizes_of(
    architecture: Architecture, config: RunConfig, device: DeviceKind, prompt_tokens: int
) -> Sizes:
    """Sizes of the run. Without `micro_batch_size` a whole minibatch is in memory at a time."""
    minibatch = config.rollout.batch_size // config.ppo.minibatches
    response = config.rollout.response_tokens
    prompt = prompt_tokens
    if architecture.context is not None:  # a longer prompt is never given to the model
        prompt = max(1, min(prompt, architecture.context - response))
    return Sizes(
        batch=config.rollout.batch_size,
        micro=min(config.ppo.micro_batch_size or minibatch, minibatch),
        prompt=prompt,
        response=response,
        compute=compute_bytes(config, device),
    )


def compute_bytes(config: RunConfig, device: DeviceKind) -> int:
    """Bytes of a number in computation; dtype: auto is 16 bits but on the CPU."""
    dtype = config.model.dtype
    if dtype == "auto":
        return 4 if device == "cpu" else 2
    return 4 if dtype == "float32" else 2


def parts_of(
    architecture: Architecture, config: RunConfig, device: DeviceKind, prompt_tokens: int
) -> tuple[MemoryPart, ...]:
    """All parts of the run's plan; those of size 0 are left out."""
    sizes = sizes_of(architecture, config, device, prompt_tokens)
    s, a = sizes, architecture
    sets = 2 if config.ppo.value == "adapter" else 1
    trained = sets * adapter_weights(a, config.adapter) + a.hidden + 1
    bits = {"nf4": "4.127 bits", "int8": "8 bits", "none": f"{8 * s.compute} bits"}
    quantization = config.model.quantization
    parts = (
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
            "device", OVERHEAD[device], "What CUDA and its libraries hold themselves.", "always"
        ),
        MemoryPart(
            "KV cache",
            kv_cache_bytes(a, s),
            f"Keys and values of {s.batch} x {s.sequence} tokens in {a.layers} layers.",
            "rollout",
        ),
        MemoryPart(
            "rollout copy",
            rollout_copy_bytes(a, config, s),
            "The adapted layers' weights with the adapter added in, for the time of a rollout.",
            "rollout",
        ),
        MemoryPart(
            "rollout buffers",
            rollout_buffer_bytes(a, quantization, s),
            f"The pass over {s.batch} x {s.prompt} prompt tokens, and the sampler's probabilities.",
            "rollout",
        ),
        MemoryPart(
            "scoring buffers",
            scoring_bytes(a, quantization, s),
            f"A pass over {s.micro} x {s.sequence} tokens without gradients.",
            "scoring",
        ),
        MemoryPart(
            "activations",
            activation_bytes(a, config, s),
            f"What {s.micro} x {s.sequence} tokens keep for the backward pass, {a.layers} layers.",
            "update",
        ),
        MemoryPart(
            "logits chunk",
            logits_bytes(a, s, gradients=True),
            f"Logits of at most {logits_rows(a, s)} response positions and their gradient.",
            "update",
        ),
    )
    return tuple(part for part in parts if part.bytes)


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


def adapted_layers(a: Architecture, adapter: AdapterConfig) -> tuple[LinearLayer, ...]:
    """The linear layers of a block that get an adapter."""
    if adapter.targets == "all-linear":
        return a.block.linears
    names = {target.rpartition(".")[2] for target in adapter.targets}
    return tuple(layer for layer in a.block.linears if layer.name in names)


def adapter_weights(a: Architecture, adapter: AdapterConfig) -> int:
    """Weights of one set of adapters: r·(in + out) for each adapted layer."""
    a_block = sum(
        (layer.inputs + layer.outputs) * layer.copies for layer in adapted_layers(a, adapter)
    )
    return a.layers * adapter.rank * a_block


def kv_cache_bytes(a: Architecture, s: Sizes) -> int:
    """Keys and values: 2·B·T·c·(width of the key heads) a layer; growing copies one layer more."""
    return 2 * s.batch * s.sequence * s.compute * a.widths.key_value * (a.layers + 1)


def rollout_copy_bytes(a: Architecture, config: RunConfig, s: Sizes) -> int:
    """Merged weights of the adapted layers, c bytes each; quantised layers are not merged."""
    if config.model.quantization != "none":
        return 0
    merged = sum(layer.weights for layer in adapted_layers(a, config.adapter))
    return s.compute * a.layers * merged


def rollout_buffer_bytes(a: Architecture, quantization: str, s: Sizes) -> int:
    """The prompts' pass, or a sampling step: B·V logits (c and 4) and two float64 distributions."""
    prefill = pass_bytes(a, quantization, s, s.batch * s.prompt, s.prompt)
    sampling = s.batch * a.vocab * (s.compute + 4 + 8 + 8)
    return max(prefill, sampling)


def scoring_bytes(a: Architecture, quantization: str, s: Sizes) -> int:
    """A forward pass of b sequences, a logits chunk, and the batch's results (28 bytes a token)."""
    tokens = s.micro * s.sequence
    forward = pass_bytes(a, quantization, s, tokens, s.sequence)
    return forward + logits_bytes(a, s, gradients=False) + 28 * s.batch * s.response


def pass_bytes(a: Architecture, quantization: str, s: Sizes, tokens: int, attended: int) -> int:
    """What a forward pass without gradients holds at its widest, which is inside one MLP.

    The hidden states and a float32 copy, three tensors of the MLP's width and the float32 copy that
    the adapter reads; scores of ``[heads, T, T]`` where attention is not fused; one layer's weights
    taken out of their quantised form.
    """
    c = s.compute
    a_token = a.hidden * (2 * c + 4) + a.intermediate * (3 * c + 4)
    if a.block.eager_attention:
        a_token = max(a_token, a.heads * attended * (2 * c + 4))
    return tokens * a_token + dequantised_bytes(a, quantization, c)


def dequantised_bytes(a: Architecture, quantization: str, compute: int) -> int:
    """The largest layer's weights in c bytes, where they are quantised."""
    if quantization == "none":
        return 0
    return compute * max(layer.inputs * layer.outputs for layer in a.block.linears)


def activation_bytes(a: Architecture, config: RunConfig, s: Sizes) -> int:
    """What the backward pass needs of b·T tokens: L blocks, one more for its gradients, the end.

    ``value: adapter`` keeps a second pass beside the policy's.
    """
    passes = 2 if config.ppo.value == "adapter" else 1
    tokens = s.micro * s.sequence
    block = kept_per_token(a, config, s)
    end = a.hidden * (3 * 4 + s.compute)  # the final norm, the head's and the value head's input
    forward = tokens * (a.layers * block + end)
    backward = tokens * block + dequantised_bytes(a, config.model.quantization, s.compute)
    return passes * forward + backward


def kept_per_token(a: Architecture, config: RunConfig, s: Sizes) -> int:
    """Bytes that autograd keeps of one token in one block.

    - adapters: the input of each adapted layer in float32 (a copy for each where c is 2, shared by
      those with the same input where c is 4) and its r inner values;
    - attention: query, key, value and output in c, keys and values repeated to the width of all
      heads; a float32 log-sum-exp a head and the token's row of the mask where attention is fused,
      else 8 bytes a head for each token that is attended to;
    - MLP: 3·i·c with a gate, else i·c, or 4·i·c for an activation written in elementary steps;
    - norms: their input, in float32 for an RMS norm.
    """
    c, block, widths = s.compute, a.block, a.widths
    adapted = adapted_layers(a, config.adapter)
    if c == 2:
        inputs = 4 * sum(layer.inputs for layer in adapted)
    else:
        inputs = 4 * sum({layer.reads: layer.inputs for layer in adapted}.values())
    if config.model.quantization == "int8":
        inputs += c * sum({layer.reads: layer.inputs for layer in block.linears}.values())
    shared_output = c == 4 and any(layer.reads == "attention output" for layer in adapted)
    attention = (block.attention_kept - shared_output) * widths.query * c
    if block.eager_attention:
        attention += 8 * widths.heads * s.sequence
    else:
        attention += 4 * widths.heads + c * s.sequence
    norms = block.norms * widths.hidden * (4 if block.norm_kind == "rms" else c)
    if block.head_norms:
        norms += 4 * (widths.query + widths.key_value)
    return (
        inputs
        + 4 * config.adapter.rank * len(adapted)
        + attention
        + block.mlp_kept * widths.intermediate * c
        + norms
    )


def logits_rows(a: Architecture, s: Sizes) -> int:
    """Response positions whose logits are held at a time."""
    return min(s.micro * s.response, max(1, LOGITS_CHUNK_BYTES // (4 * a.vocab)))


def logits_bytes(a: Architecture, s: Sizes, *, gradients: bool) -> int:
    """A chunk of logits in c and twice in float32 (scaled by the temperature), and its gradient."""
    held = s.compute + 2 * 4
    return logits_rows(a, s) * a.vocab * held * (2 if gradients else 1)
