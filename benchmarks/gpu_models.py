"""Models of real shape with random weights, made on the device from their configs.

No weights can be downloaded, and what a pass costs does not depend on them. A model that is only
ours to run never touches a disk; one that other engines load is written to a folder.

How long responses are is not left to chance. A model made on the device gets an end token outside
of its vocabulary, so that every response is full. A written one is made as `random_models.py` has
it: a matter of weights alone, so that every engine samples the same lengths in its ordinary way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.gpu_shapes import model_config
from benchmarks.random_models import BOS, EOS, PAD, byte_level_tokenizer, set_lengths
from ppo_tui.policy.loading import BaseModel
from ppo_tui.policy.vocabulary import Vocabulary

LARGEST_TOKENIZER = 18_511
"""Tokens that `byte_level_tokenizer` can make; it skips ids beyond when it decodes."""


def build_base(
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    quantization: str = "none",
    tiny: bool = False,
    end_tokens: int = 0,
    seed: int = 0,
) -> BaseModel:
    """Make a base model on the device.

    Args:
        name: A key of `gpu_shapes.MODELS`.
        device: Where it is made.
        dtype: Of its weights and the computation.
        quantization: ``none``, or ``nf4`` for the linear layers of the blocks.
        tiny: See `model_config`.
        end_tokens: So many tokens end a response; with 0 every response is full.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    config = model_config(name, tiny)
    vocab = int(config["vocab_size"])
    model = _build(config, device, dtype, quantization)
    model.requires_grad_(False)
    model.eval()
    ends = tuple(range(vocab - end_tokens, vocab)) if end_tokens else (vocab,)
    return BaseModel(
        model=model,
        tokenizer=byte_level_tokenizer(min(vocab, LARGEST_TOKENIZER)),
        vocabulary=Vocabulary(ends, pad_id=0, pad_is_own=True),
        device=device,
        dtype=dtype,
        quantization=quantization,
        context_length=int(config["max_position_embeddings"]),
        source=f"random weights ({name})",
    )


def save_folder(
    folder: Path,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    end_probability: float = 0.0,
    tiny: bool = False,
) -> int:
    """Write a model and its tokenizer for every engine to load; returns the bytes written.

    Pad is never sampled, and end of sequence with `end_probability` at each token, or never.
    """
    torch.manual_seed(0)
    config = model_config(name, tiny)
    tokenizer = byte_level_tokenizer(min(int(config["vocab_size"]), LARGEST_TOKENIZER))
    pad, bos, eos = (tokenizer.convert_tokens_to_ids(token) for token in (PAD, BOS, EOS))
    model = _build(config, device, dtype, "none")
    model.config.pad_token_id, model.config.bos_token_id, model.config.eos_token_id = pad, bos, eos
    model.generation_config.pad_token_id = pad
    model.generation_config.bos_token_id = bos
    model.generation_config.eos_token_id = eos
    set_lengths(model, pad, eos, end_probability)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(file.stat().st_size for file in folder.iterdir())


def _build(
    config: Mapping[str, Any], device: torch.device, dtype: torch.dtype, quantization: str
) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    fields = {key: value for key, value in config.items() if key != "model_type"}
    nobody = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    shape = AutoConfig.for_model(config["model_type"], **fields, **nobody)
    with torch.device(device), _default_dtype(dtype):
        if quantization == "none":
            return AutoModelForCausalLM.from_config(shape)
        # Block by block, so that no more than one is ever held unquantised.
        layers = shape.num_hidden_layers
        shape.num_hidden_layers = 1
        model = AutoModelForCausalLM.from_config(shape)
        shape.num_hidden_layers = layers
        blocks = model.model.layers
        block_class = type(blocks[0])
        _quantize(blocks[0], dtype)
        for number in range(1, layers):
            block = block_class(shape, number)
            _quantize(block, dtype)
            blocks.append(block)
    model.is_loaded_in_4bit = True  # peft asks the model, not its layers
    return model


def _quantize(block: nn.Module, dtype: torch.dtype) -> None:
    """Put the weights of a block's linear layers in NF4 with double quantisation, in place."""
    import bitsandbytes as bnb

    for parent in list(block.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not nn.Linear:
                continue
            packed = bnb.nn.Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=layer.bias is not None,
                compute_dtype=dtype,
                compress_statistics=True,
                quant_type="nf4",
                device="meta",
            )
            packed.weight = bnb.nn.Params4bit(
                layer.weight.data,
                requires_grad=False,
                compress_statistics=True,
                quant_type="nf4",
                module=packed,
            ).to(layer.weight.device)
            packed.bias = layer.bias
            # On a CPU it would repack the weights for a kernel that has no backward pass.
            packed.support_avx512bf16_for_cpu = False
            setattr(parent, name, packed)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
