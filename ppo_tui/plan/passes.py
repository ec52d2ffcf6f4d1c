"""The formulas for scoring and update: what passes over prompts and responses take.

Symbols as in `ppo_tui.plan.sizes`, with L layers, h hidden width, i MLP width, q width of all query
heads, k of all key heads, V vocabulary, r rank of the adapters. Everything is in bytes.

What autograd keeps a token and block was measured: tensors saved in the forward pass were counted
for each known architecture, and the formulas below give those counts within 5 %.
"""

from __future__ import annotations

from ppo_tui.config.schema import AdapterConfig, RunConfig
from ppo_tui.plan.architecture import Architecture
from ppo_tui.plan.families import LinearLayer
from ppo_tui.plan.sizes import Sizes

LOGITS_CHUNK_BYTES = 64 * 2**20
"""The float32 logits that the output head holds at a time."""


def adapted_layers(a: Architecture, adapter: AdapterConfig) -> tuple[LinearLayer, ...]:
    """The linear layers of a block that get an adapter."""
    if adapter.targets == "all-linear":
        return a.block.linears
    names = {target.rpartition(".")[2] for target in adapter.targets}
    return tuple(layer for layer in a.block.linears if layer.name in names)


def scoring_bytes(a: Architecture, quantization: str, s: Sizes) -> int:
    """A pass over N tokens, or a chunk of logits after it; 28 bytes a response token of results."""
    forward = pass_bytes(a, quantization, s, s.tokens, s.sequence)
    head = s.tokens * a.hidden * s.compute + logits_bytes(a, s)
    return max(forward, head) + 28 * s.batch * s.response


def pass_bytes(
    a: Architecture,
    quantization: str,
    s: Sizes,
    tokens: int,
    attended: int,
    *,
    merged: bool = False,
) -> int:
    """What a forward pass without gradients holds at its widest; measured like `kept_per_token`.

    The hidden states as they are and normalised, with float32 copies. Beside them one of

    - the MLP: three tensors of its width with a gate, else one more than it keeps;
    - the output of an adapted layer in c, and the adapter's part of it twice in float32, where c
      is 2 (else the adapter is added into the weights), beside what the gate has said;
    - queries, keys, values and output, twice where they are put into rows, and scores of
      ``[heads, T, T]`` where attention is not fused;

    and one layer's weights, taken out of their quantised form or with the adapter added in.
    """
    c, block, widths = s.compute, a.block, a.widths
    gated = sum(layer.reads == "mlp input" for layer in block.linears) > 1
    mlp = c * widths.intermediate * (3 if gated else block.mlp_kept + 1)
    adapted = 0
    if c == 2 and not merged:
        adapted = max(
            layer.outputs * (c + 8) + (c * widths.intermediate if layer.reads == "mlp input" else 0)
            for layer in block.linears
        )
    attention = 2 * c * (2 * widths.query + 2 * widths.key_value)
    if block.eager_attention:
        attention += a.heads * attended * (2 * c + 4)
    a_token = a.hidden * (2 * c + 8) + max(mlp, adapted, attention)
    return tokens * a_token + (0 if merged else widest_layer_bytes(a, quantization, c))


def widest_layer_bytes(a: Architecture, quantization: str, compute: int) -> int:
    """The largest layer's weights in c bytes, where a pass makes them anew.

    Quantised ones are taken out of their form, float32 ones have the adapter added in.
    """
    if quantization == "none" and compute == 2:
        return 0
    return compute * max(layer.inputs * layer.outputs for layer in a.block.linears)


def activation_bytes(a: Architecture, config: RunConfig, s: Sizes, *, checkpointing: bool) -> int:
    """What N tokens keep for the backward pass: L blocks and the end.

    A block that is computed again keeps its input alone. ``value: adapter`` keeps a second pass
    beside the policy's.
    """
    passes = 2 if config.ppo.value == "adapter" else 1
    return passes * pass_kept_bytes(a, config, s, checkpointing=checkpointing)


def pass_kept_bytes(a: Architecture, config: RunConfig, s: Sizes, *, checkpointing: bool) -> int:
    """The same of one pass.

    The final norm keeps its input, the value head what it reads, in float32 both; the output head
    the gradient of each log-probability, and of each entropy that is rewarded.
    """
    c = s.compute
    a_block = c * a.hidden if checkpointing else kept_per_token(a, config, s)
    head = c * (2 if config.ppo.entropy_coef > 0 else 1)
    return s.tokens * (a.layers * a_block + 4 * a.hidden) + s.answered * a.hidden * (4 + head)


def update_buffer_bytes(
    a: Architecture, config: RunConfig, s: Sizes, *, checkpointing: bool
) -> int:
    """What passes forth or back work with, beside what is kept.

    Forth: a chunk of logits; the second pass of ``value: adapter`` comes after it. Back: a block
    that is computed again, gradients, and the weights of one layer. Of gradients a quarter of a
    block was measured, as what it has kept is let go while they are made; or those of the widest
    layer's output where c is 2, once more in float32 for its adapter.
    """
    block = s.tokens * kept_per_token(a, config, s)
    widest = max(layer.outputs for layer in a.block.linears) if s.compute == 2 else 0
    back = max(block // 4, s.tokens * widest * (s.compute + 4))
    back += widest_layer_bytes(a, config.model.quantization, s.compute)
    back += block if checkpointing else 0
    forth = logits_bytes(a, s)
    if config.ppo.value == "adapter":
        forth -= pass_kept_bytes(a, config, s, checkpointing=checkpointing)
    return max(forth, back)


def kept_per_token(a: Architecture, config: RunConfig, s: Sizes) -> int:
    """Bytes that autograd keeps of one token in one block.

    - adapters: the input of each adapted layer in float32 (a copy for each where c is 2, shared by
      those with the same input where c is 4) and its r inner values;
    - attention: see `attention_kept`;
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
    norms = block.norms * widths.hidden * (4 if block.norm_kind == "rms" else c)
    if block.head_norms:
        norms += 4 * (widths.query + widths.key_value)
    return (
        inputs
        + 4 * config.adapter.rank * len(adapted)
        + attention_kept(a, config, s)
        + block.mlp_kept * widths.intermediate * c
        + norms
    )


def attention_kept(a: Architecture, config: RunConfig, s: Sizes) -> int:
    """Bytes that autograd keeps of one token in one block's attention.

    Packed: query, key, value and output in c and a float32 log-sum-exp a head; a value that is a
    view of a projection for all three holds on to the whole of it, beside the rotated queries and
    keys. Padded: keys and values are repeated to the width of all heads and the token has a row of
    the mask, or 8 bytes a head for each token that is attended to where attention is not fused.
    An output projection that reads float32 shares its input with the attention's output.
    """
    c, block, widths = s.compute, a.block, a.widths
    adapted = adapted_layers(a, config.adapter)
    shared = c == 4 and any(layer.reads == "attention output" for layer in adapted)
    if s.packed:
        width = 2 * widths.query + 2 * widths.key_value
        if block.fused_value:
            width += widths.query + widths.key_value
        return c * (width - shared * widths.query) + 4 * widths.heads
    tensors = (block.attention_kept - shared) * widths.query * c
    if block.eager_attention:
        return tensors + 8 * widths.heads * s.sequence
    return tensors + 4 * widths.heads + c * s.sequence


def logits_rows(a: Architecture, s: Sizes) -> int:
    """Response positions whose logits are held at a time."""
    return min(s.answered, max(1, LOGITS_CHUNK_BYTES // (4 * a.vocab)))


def logits_bytes(a: Architecture, s: Sizes) -> int:
    """A chunk of logits in c, in float32, and as log-probabilities.

    Gradients take no more: they are worked out in place, of the same chunk.
    """
    return logits_rows(a, s) * a.vocab * (s.compute + 4 + 4)
