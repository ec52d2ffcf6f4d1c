"""What a transformer block of each architecture consists of: linear layers, norms, activation.

Read from the numbers of config.json; the model's name plays no part. An architecture that is not
listed is described as its numbers suggest, and the result says that it is an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Reads = Literal["attention input", "attention output", "mlp input", "mlp hidden"]
NormKind = Literal["rms", "layer"]

LLAMA_LIKE = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"})
KNOWN = LLAMA_LIKE | {"phi", "phi3", "gpt2", "gpt_neox"}

# What the published config.json files leave out because it is the default of their class.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "llama": {"tie_word_embeddings": False, "hidden_act": "silu"},
    "mistral": {"tie_word_embeddings": False, "num_key_value_heads": 8, "hidden_act": "silu"},
    "qwen2": {"tie_word_embeddings": False, "hidden_act": "silu"},
    "qwen3": {"tie_word_embeddings": False, "head_dim": 128, "hidden_act": "silu"},
    "gemma": {"tie_word_embeddings": True, "head_dim": 256, "hidden_act": "gelu"},
    "gemma2": {
        "tie_word_embeddings": True,
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "hidden_act": "gelu",
        "attn_logit_softcapping": 50.0,
    },
    "gemma3_text": {
        "tie_word_embeddings": True,
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 262_208,
        "max_position_embeddings": 131_072,
        "hidden_act": "gelu",
    },
    "phi": {"tie_word_embeddings": False, "hidden_act": "gelu_new"},
    "phi3": {"tie_word_embeddings": False, "hidden_act": "silu"},
    "gpt2": {"tie_word_embeddings": True, "activation_function": "gelu_new"},
    "gpt_neox": {"tie_word_embeddings": False, "hidden_act": "gelu"},
}


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer of a block.

    Attributes:
        name: Its last name in transformers, which `adapter.targets` may list.
        inputs: Width of what it reads.
        outputs: Width of what it writes.
        reads: Which tensor it reads; layers that read the same one can share what is kept of it.
        bias: Whether it has a bias.
        copies: How many of it a block has (experts).
    """

    name: str
    inputs: int
    outputs: int
    reads: Reads
    bias: bool = False
    copies: int = 1

    @property
    def weights(self) -> int:
        """Entries of the weight matrix, of all copies."""
        return self.inputs * self.outputs * self.copies


@dataclass(frozen=True)
class Block:
    """One transformer block.

    Attributes:
        linears: Its linear layers.
        norms: How many norms of the hidden width it has.
        norm_kind: ``rms`` (a weight, computed in float32) or ``layer`` (weight and bias).
        head_norms: Whether queries and keys are normalised a head.
        mlp_kept: Tensors of the MLP's inner width that autograd keeps beside the adapters' inputs.
        attention_kept: The same of the width of all heads, of a padded batch: query, key, value and
            output.
        fused_value: Whether values are a view of one projection for queries, keys and values, and
            queries and keys are none, as they are rotated.
        eager_attention: Whether the scores ``[heads, T, T]`` are held (a soft cap rules out the
            fused kernels).
    """

    linears: tuple[LinearLayer, ...]
    norms: int
    norm_kind: NormKind
    head_norms: bool = False
    mlp_kept: int = 1
    attention_kept: int = 4
    fused_value: bool = False
    eager_attention: bool = False


@dataclass(frozen=True)
class Widths:
    """The widths that a block is made of; each in numbers of entries."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int

    @property
    def query(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key_value(self) -> int:
        """Width of all key heads (or value heads) together."""
        return self.kv_heads * self.head_dim


def block_of(model_type: str, widths: Widths, config: Mapping[str, Any], gated: bool) -> Block:
    """The block of `model_type`; one that is not known is taken as Llama's or GPT-NeoX's."""
    if model_type == "gpt2":
        return _fused_qkv_block(widths, ("c_attn", "c_proj", "c_fc", "c_proj"), config)
    if model_type == "gpt_neox":
        names = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
        return _fused_qkv_block(widths, names, config, rotated=True)
    if model_type == "phi":
        return _phi_block(widths, config)
    if model_type == "phi3":
        return _phi3_block(widths)
    if gated:
        return _llama_block(model_type, widths, config)
    return _fused_qkv_block(widths, ("qkv", "dense", "fc1", "fc2"), config, rotated=True)


def is_gated(model_type: str, config: Mapping[str, Any]) -> bool:
    """Whether the MLP multiplies its activation with a gate (three matrices instead of two)."""
    if model_type in LLAMA_LIKE or model_type == "phi3":
        return True
    if model_type in KNOWN:
        return False
    activation = str(config.get("hidden_act") or config.get("activation_function") or "silu")
    return "silu" in activation or "swi" in activation or "num_key_value_heads" in config


def _llama_block(model_type: str, widths: Widths, config: Mapping[str, Any]) -> Block:
    hidden, inner = widths.hidden, widths.intermediate
    # Qwen2 has the biases of q, k and v built in, without one on the output projection.
    qkv_bias = bool(config.get("attention_bias", False)) or model_type == "qwen2"
    out_bias = bool(config.get("attention_bias", False)) and model_type != "qwen2"
    mlp_bias = bool(config.get("mlp_bias", False))
    experts = _experts(config)
    linears = (
        LinearLayer("q_proj", hidden, widths.query, "attention input", qkv_bias),
        LinearLayer("k_proj", hidden, widths.key_value, "attention input", qkv_bias),
        LinearLayer("v_proj", hidden, widths.key_value, "attention input", qkv_bias),
        LinearLayer("o_proj", widths.query, hidden, "attention output", out_bias),
        LinearLayer("gate_proj", hidden, inner, "mlp input", mlp_bias, experts),
        LinearLayer("up_proj", hidden, inner, "mlp input", mlp_bias, experts),
        LinearLayer("down_proj", inner, hidden, "mlp hidden", mlp_bias, experts),
    )
    return Block(
        linears,
        norms=4 if model_type in ("gemma2", "gemma3_text") else 2,
        norm_kind="rms",
        head_norms=model_type in ("qwen3", "gemma3_text"),
        mlp_kept=3,
        eager_attention=bool(config.get("attn_logit_softcapping")),
    )


def _fused_qkv_block(
    widths: Widths,
    names: tuple[str, str, str, str],
    config: Mapping[str, Any],
    *,
    rotated: bool = False,
) -> Block:
    hidden, inner = widths.hidden, widths.intermediate
    fused = widths.query + 2 * widths.key_value
    bias = bool(config.get("attention_bias", True))
    return Block(
        (
            LinearLayer(names[0], hidden, fused, "attention input", bias),
            LinearLayer(names[1], widths.query, hidden, "attention output", bias),
            LinearLayer(names[2], hidden, inner, "mlp input", bias=True),
            LinearLayer(names[3], inner, hidden, "mlp hidden", bias=True),
        ),
        norms=2,
        norm_kind="layer",
        mlp_kept=_mlp_kept(config),
        attention_kept=6 if rotated else 4,
        fused_value=rotated,
    )


def _phi_block(widths: Widths, config: Mapping[str, Any]) -> Block:
    hidden, inner = widths.hidden, widths.intermediate
    return Block(
        (
            LinearLayer("q_proj", hidden, widths.query, "attention input", bias=True),
            LinearLayer("k_proj", hidden, widths.key_value, "attention input", bias=True),
            LinearLayer("v_proj", hidden, widths.key_value, "attention input", bias=True),
            LinearLayer("dense", widths.query, hidden, "attention output", bias=True),
            # Attention and MLP stand side by side and read the same norm.
            LinearLayer("fc1", hidden, inner, "attention input", bias=True),
            LinearLayer("fc2", inner, hidden, "mlp hidden", bias=True),
        ),
        norms=1,
        norm_kind="layer",
        mlp_kept=_mlp_kept(config),
    )


def _phi3_block(widths: Widths) -> Block:
    hidden, inner = widths.hidden, widths.intermediate
    fused = widths.query + 2 * widths.key_value
    return Block(
        (
            LinearLayer("qkv_proj", hidden, fused, "attention input"),
            LinearLayer("o_proj", widths.query, hidden, "attention output"),
            LinearLayer("gate_up_proj", hidden, 2 * inner, "mlp input"),
            LinearLayer("down_proj", inner, hidden, "mlp hidden"),
        ),
        norms=2,
        norm_kind="rms",
        mlp_kept=3,
        fused_value=True,
    )


def _mlp_kept(config: Mapping[str, Any]) -> int:
    # transformers writes gelu_new out in elementary steps, each of which keeps its input.
    activation = config.get("activation_function") or config.get("hidden_act")
    return 4 if activation in ("gelu_new", "gelu_fast") else 1


def _experts(config: Mapping[str, Any]) -> int:
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            return value
    return 1
