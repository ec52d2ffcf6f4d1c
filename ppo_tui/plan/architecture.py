"""A model's shape: what the memory plan has to know of it, read from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import ModelError
from ppo_tui.plan.families import DEFAULTS, KNOWN, Block, Widths, block_of, is_gated
from ppo_tui.plan.model_files import find_config, read_config
from ppo_tui.plan.weights import WeightCounts, count_safetensors

# fmt: off
_ENCODERS = frozenset({
    "albert", "bert", "camembert", "clip", "convbert", "deberta", "deberta-v2", "distilbert",
    "electra", "ernie", "funnel", "ibert", "layoutlm", "longformer", "luke", "mobilebert",
    "modernbert", "mpnet", "nomic_bert", "roberta", "roformer", "squeezebert", "vit", "wav2vec2",
    "whisper", "xlm-roberta", "xlm-roberta-xl",
})
# fmt: on
_CAUSAL_ENDINGS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_MAX_SIZE = 10**9


@dataclass(frozen=True)
class Architecture:
    """The shape of a causal language model.

    Attributes:
        model_type: Its architecture, as config.json names it.
        widths: Hidden width, heads, width of a head, width inside the MLP.
        layers: Number of blocks.
        vocab: Number of tokens.
        context: Longest sequence in tokens, or None where it is not said.
        tied: Whether the output head is the token embeddings.
        gated: Whether the MLP has a gate (three matrices instead of two).
        block: What a block consists of.
        counts: Numbers of weights by kind.
        exact: Whether the counts were read from the weights themselves.
        estimated: Whether the architecture is not one that is known in detail.
    """

    model_type: str
    widths: Widths
    layers: int
    vocab: int
    context: int | None
    tied: bool
    gated: bool
    block: Block
    counts: WeightCounts
    exact: bool = False
    estimated: bool = False

    @property
    def hidden(self) -> int:
        """Width of the hidden states."""
        return self.widths.hidden

    @property
    def heads(self) -> int:
        """Number of query heads."""
        return self.widths.heads

    @property
    def kv_heads(self) -> int:
        """Number of key and value heads."""
        return self.widths.kv_heads

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.widths.head_dim

    @property
    def intermediate(self) -> int:
        """Width inside the MLP."""
        return self.widths.intermediate

    @property
    def parameters(self) -> int:
        """Number of all weights."""
        return self.counts.total

    def to_dict(self) -> dict[str, Any]:
        """The shape as plain data."""
        return {
            "model_type": self.model_type,
            "hidden": self.hidden,
            "layers": self.layers,
            "heads": self.heads,
            "kv_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate": self.intermediate,
            "vocab": self.vocab,
            "context": self.context,
            "tied": self.tied,
            "gated": self.gated,
            "weights": self.counts.to_dict(),
            "exact": self.exact,
            "estimated": self.estimated,
        }


def read_architecture(model: ModelConfig) -> Architecture:
    """The shape of `model`: of a local folder, of the bundled model, or of one on the hub.

    Where safetensors files lie beside config.json, the weights are counted from their headers.

    Raises:
        ModelError: It is not there (``model.missing``), is no model (``model.not_a_model``,
            ``model.not_a_folder``), its config.json is broken (``model.bad_config``), its weights
            are damaged (``model.corrupt``), or it is no causal language model
            (``model.unsupported``).
    """
    path = find_config(model)
    config = read_config(path, model.name)
    architecture = architecture_from_config(config, model.name)
    if "quantization_config" in config:
        return architecture  # packed matrices have other shapes than the layers they hold
    counts = count_safetensors(path.parent, architecture.tied)
    if counts is None:
        return architecture
    return replace(architecture, counts=counts, exact=True)


def architecture_from_config(config: Mapping[str, Any], name: str = "the model") -> Architecture:
    """The shape that a config.json describes.

    Args:
        config: The parsed file.
        name: What the model is called in an error.

    Raises:
        ModelError: ``model.unsupported`` or ``model.bad_config``.
    """
    _refuse_what_is_not_causal(config, name)
    text = _text_part(config)
    model_type = str(text.get("model_type", ""))
    fields = {**DEFAULTS.get(model_type, {}), **{k: v for k, v in text.items() if v is not None}}
    reader = _Reader(fields, name)
    hidden = reader.size("hidden_size", "n_embd", "d_model")
    layers = reader.size("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    heads = reader.size("num_attention_heads", "n_head", "n_heads", "num_heads")
    gated = is_gated(model_type, fields)
    widths = Widths(
        hidden=hidden,
        heads=heads,
        kv_heads=reader.size("num_key_value_heads", "num_kv_heads", default=heads),
        head_dim=reader.size("head_dim", default=max(1, hidden // heads)),
        intermediate=reader.size(
            "intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", default=4 * hidden
        ),
    )
    context = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
    bare = Architecture(
        model_type=model_type,
        widths=widths,
        layers=layers,
        vocab=reader.size("vocab_size"),
        context=reader.size(*context, default=0) or None,
        tied=bool(fields.get("tie_word_embeddings", True)),
        gated=gated,
        block=block_of(model_type, widths, fields, gated),
        counts=WeightCounts(0, 0, 0, 0),
        estimated=model_type not in KNOWN or text is not config,
    )
    return replace(bare, counts=_count(bare))


def _count(a: Architecture) -> WeightCounts:
    """Numbers of weights by arithmetic: what a checkpoint of this shape holds."""
    norm = a.hidden * (2 if a.block.norm_kind == "layer" else 1)
    biases = sum(layer.outputs * layer.copies for layer in a.block.linears if layer.bias)
    head_norms = 2 * a.head_dim if a.block.head_norms else 0
    other = a.layers * (a.block.norms * norm + biases + head_norms) + norm
    if a.model_type == "phi":
        other += a.vocab  # the one known architecture whose output head has a bias
    # GPT-2 learns its positions; the others compute them.
    positions = (a.context or 0) if a.model_type == "gpt2" else 0
    return WeightCounts(
        linear=a.layers * sum(layer.weights for layer in a.block.linears),
        embeddings=(a.vocab + positions) * a.hidden,
        head=0 if a.tied else a.vocab * a.hidden,
        other=other,
    )


class _Reader:
    """Reads whole numbers from a config.json under the several names they go by."""

    def __init__(self, fields: Mapping[str, Any], name: str) -> None:
        self.fields = fields
        self.name = name

    def size(self, *keys: str, default: int | None = None) -> int:
        for key in keys:
            value = self.fields.get(key)
            if value is None:
                continue
            # A list of one number a layer (a few architectures) is read as its largest.
            if isinstance(value, list) and value and all(type(item) is int for item in value):
                value = max(value)
            if type(value) is not int or not 0 < value <= _MAX_SIZE:
                raise ModelError(
                    f"The config.json of {self.name} has {key}: {str(value)[:60]}, which is no "
                    "size a model can have.",
                    code="model.bad_config",
                )
            return value
        if default is None:
            raise ModelError(
                f"The config.json of {self.name} does not say {keys[0]}, so that it is no language "
                "model that can be planned for.",
                code="model.unsupported",
            )
        return default


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's own settings, where it is one part of a model of text and images."""
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        return config
    kind = text.get("model_type", config.get("model_type"))
    inherited = {"model_type": "gemma3_text" if kind == "gemma3" else kind}
    if "tie_word_embeddings" in config:
        inherited["tie_word_embeddings"] = config["tie_word_embeddings"]
    return {**inherited, **text}


def _refuse_what_is_not_causal(config: Mapping[str, Any], name: str) -> None:
    kind = config.get("model_type")
    if config.get("is_encoder_decoder") is True:
        raise _unsupported(name, f"an encoder-decoder ({kind})")
    classes = config.get("architectures")
    named = [c for c in classes if isinstance(c, str)] if isinstance(classes, list) else []
    if any(c.endswith(_CAUSAL_ENDINGS) for c in named):
        return
    # A checkpoint of a class such as GPT2Model is the trunk of a causal model, and can be loaded.
    if named and not all(c.endswith("Model") for c in named):
        raise _unsupported(name, f"a {named[0]}")
    if isinstance(kind, str) and kind.lower() in _ENCODERS:
        raise _unsupported(name, f"an encoder ({kind})")
    if not named and not isinstance(kind, str):
        raise _unsupported(name, "of no architecture that its config.json names")


def _unsupported(name: str, what: str) -> ModelError:
    return ModelError(
        f"{name} is {what}; ppo-tui trains causal language models.",
        hint="Take a model whose config.json names a class that ends with ForCausalLM.",
        code="model.unsupported",
    )
