"""What work costs at the least: bytes for decoding, operations for scoring and update. Pure.

The counts are those of the textbook, not of what an engine happens to do: what an engine saves by
doing less shows as a larger share of the limit, what it does twice as a smaller one.
"""

from __future__ import annotations

import re

from ppo_tui.plan import Architecture

# (name, GB/s of its memory, dense TFLOP/s in bfloat16 or, where there is none, float16). The first
# pattern that is found in the device's name counts.
_DATA_SHEETS: tuple[tuple[str, float, float], ...] = (
    (r"\bB200", 8000, 2250),
    (r"\bH200", 4800, 989),
    (r"\bH100 NVL", 3938, 835),
    (r"\bH100 PCIe", 2039, 756),
    (r"\bH100", 3352, 989),
    (r"\bA100.*80GB PCIe|\bA100-PCIE-80GB", 1935, 312),
    (r"\bA100.*80GB", 2039, 312),
    (r"\bA100", 1555, 312),
    (r"\bA40\b", 696, 150),
    (r"\bA10G?\b", 600, 125),
    (r"\bL40S", 864, 362),
    (r"\bL4\b", 300, 121),
    (r"\bT4\b", 320, 65),
    (r"RTX 5090", 1792, 209),
    (r"RTX 4090", 1008, 165),
    (r"RTX 3090", 936, 71),
)


def data_sheet(device: str) -> tuple[float | None, float | None]:
    """Memory bandwidth in GB/s and matrix rate in TFLOP/s by a device's name, where known."""
    for pattern, bandwidth, rate in _DATA_SHEETS:
        if re.search(pattern, device, re.IGNORECASE):
            return bandwidth, rate
    return None, None


def lora_weights(a: Architecture, rank: int) -> int:
    """Weights of a LoRA of this rank on all linear layers."""
    return rank * a.layers * sum((x.inputs + x.outputs) * x.copies for x in a.block.linears)


def token_step_bytes(a: Architecture, batch: int, context: float, weight_bytes: float = 2) -> float:
    """Bytes to be read for one token of every row, in 16 bits.

    Args:
        a: The model.
        batch: Rows that are decoded together; the weights are read once for all of them.
        context: Tokens of a row that lie in the cache, mean over the rows and steps.
        weight_bytes: Of a weight in the linear layers.

    The embeddings count only where they are the output head too: of others a few rows are read.
    """
    head = a.vocab * a.hidden
    weights = weight_bytes * a.counts.linear + 2 * (head + a.counts.other)
    cache = 2 * 2 * a.layers * a.widths.key_value * context * batch
    return weights + cache


def rollout_bytes(
    a: Architecture, batch: int, prompt: int, response: int, weight_bytes: float = 2
) -> float:
    """Bytes to be read for the token steps of a rollout; the first token comes of the prompt."""
    steps = response - 1
    return steps * token_step_bytes(a, batch, prompt + (steps + 1) / 2, weight_bytes)


def forward_flop(a: Architecture, batch: int, tokens: float, predicted: float) -> float:
    """Operations of a forward pass.

    Args:
        a: The model.
        batch: Sequences.
        tokens: Of each sequence.
        predicted: Positions of each sequence over which the output head is run.
    """
    linear = 2 * a.counts.linear * tokens
    # Causal: half of the T x T scores, once for q·k and once for the sum of the values.
    attention = 2 * a.layers * a.widths.query * tokens**2
    head = 2 * a.hidden * a.vocab * predicted
    return batch * (linear + attention + head)


def score_flop(a: Architecture, rank: int, batch: int, prompt: float, response: float) -> float:
    """Operations to score a batch: one pass of the policy and one of the reference."""
    tokens = prompt + response
    adapter = 2 * lora_weights(a, rank) * batch * tokens
    return 2 * forward_flop(a, batch, tokens, response) + adapter


def update_flop(
    a: Architecture, rank: int, batch: int, prompt: float, response: float, epochs: int
) -> float:
    """Operations of an update: forward and backward, `epochs` times.

    The base is frozen, so that its matrices cost a product forward and one backward (for the
    activations' gradient); only the adapter's have one more. Attention has two products forward
    and four backward.
    """
    tokens = prompt + response
    adapter = 6 * lora_weights(a, rank) * batch * tokens
    attention = 2 * a.layers * a.widths.query * tokens**2 * batch
    return epochs * (2 * forward_flop(a, batch, tokens, response) + attention + adapter)
