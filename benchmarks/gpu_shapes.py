"""The shapes of the models that `make bench-gpu` runs, as their config.json have them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppo_tui.plan import Architecture, architecture_from_config

MODELS: Mapping[str, Mapping[str, Any]] = {
    "tiny": {  # for the memory over many steps, where time goes into the number of steps
        "model_type": "llama",
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "intermediate_size": 256,
        "vocab_size": 1024,
        "tie_word_embeddings": True,
        "max_position_embeddings": 2048,
    },
    "qwen-0.5b": {  # Qwen2.5-0.5B
        "model_type": "qwen2",
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "intermediate_size": 4864,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
        "rope_theta": 1_000_000.0,
        "max_position_embeddings": 32_768,
    },
    "llama-1b": {  # Llama-3.2-1B
        "model_type": "llama",
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "intermediate_size": 8192,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
        "rope_theta": 500_000.0,
        "max_position_embeddings": 131_072,
    },
    "qwen-3b": {  # Qwen2.5-3B
        "model_type": "qwen2",
        "hidden_size": 2048,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 11_008,
        "vocab_size": 151_936,
        "tie_word_embeddings": True,
        "rope_theta": 1_000_000.0,
        "max_position_embeddings": 32_768,
    },
    "llama-8b": {  # Llama-3.1-8B
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 14_336,
        "vocab_size": 128_256,
        "tie_word_embeddings": False,
        "rope_theta": 500_000.0,
        "max_position_embeddings": 131_072,
    },
}
"""Configs by name, as their config.json has them, the smallest first."""

_TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1024,
}


def model_config(name: str, tiny: bool = False) -> dict[str, Any]:
    """The config of a model; `tiny` keeps its architecture and makes it small."""
    config = dict(MODELS[name])
    if tiny:
        config |= _TINY
        config.pop("head_dim", None)
    return config


def architecture(name: str, tiny: bool = False) -> Architecture:
    """A model's shape, as the memory plan and the limits count it."""
    return architecture_from_config(model_config(name, tiny), name)
