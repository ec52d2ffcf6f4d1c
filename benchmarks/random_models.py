"""Llama models with random weights and a byte-level BPE tokenizer, for benchmarks.

How long a random model's responses are is not left to chance: one channel of the residual stream
holds the same positive number at every position, and only the rows of pad and eos in the LM head
read it. So pad is never sampled, and eos either never (every response has full length) or with a
chosen probability at each token (lengths are geometric). It is a matter of weights alone: every
engine samples the same lengths in its ordinary way, with no option that suppresses a token.
"""

from __future__ import annotations

import itertools
import math
import random
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
NEVER = -1e4


@dataclass(frozen=True)
class ModelShape:
    """A Llama's sizes; the defaults are about those of the bundled model."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    vocab: int = 1024
    context: int = 512


TINY = ModelShape()
MIDDLE = ModelShape(hidden=512, layers=8, heads=8, vocab=8192)


def save_random_model(
    folder: Path, shape: ModelShape, eos_probability: float = 0.0, seed: int = 0
) -> None:
    """Writes a float32 model and its tokenizer to `folder`.

    Args:
        folder: Where to write; made if missing.
        shape: Sizes of the model.
        eos_probability: Chance of eos at each token; 0 means never.
        seed: Seed of the weights.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_level_tokenizer(shape.vocab)
    pad, bos, eos = (tokenizer.convert_tokens_to_ids(token) for token in (PAD, BOS, EOS))
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocab,
            hidden_size=shape.hidden,
            intermediate_size=4 * shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=False,
            pad_token_id=pad,
            bos_token_id=bos,
            eos_token_id=eos,
        )
    )
    set_lengths(model, pad, eos, eos_probability)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def set_lengths(model: Any, pad: int, eos: int, eos_probability: float) -> None:
    """Change the weights of a Llama or Qwen2 so that pad is never sampled, and eos as asked.

    Args:
        model: With random weights; its embeddings may be its output head.
        pad: Id of the pad token.
        eos: Id of the end token.
        eos_probability: Chance of eos at each token; 0 means never.
    """
    import torch

    with torch.no_grad():
        trunk, head = model.model, model.lm_head.weight
        trunk.embed_tokens.weight[:, 0] = 1.0
        for layer in trunk.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        # Where the embeddings are the head, the channel adds the same to all other logits.
        if head is not trunk.embed_tokens.weight:
            head[:, 0] = 0.0
        head[[pad, eos]] = 0.0
        head[[pad, eos], 0] = NEVER
        if eos_probability > 0:
            probe = torch.randint(256, head.shape[0], (16, 32), device=head.device)
            constant = trunk(probe).last_hidden_state[..., 0].mean()
            others = torch.logsumexp(model(probe).logits, -1).mean()
            odds = math.log(eos_probability / (1 - eos_probability))
            head[eos, 0] = (others + odds) / constant


def byte_level_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `vocab_size` tokens: specials, bytes, then letter pairs and triples."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = string.ascii_lowercase
    pairs = [(a, b) for a, b in itertools.product(letters, repeat=2)]
    triples = [(a + b, c) for a, b, c in itertools.product(letters, repeat=3)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    room = vocab_size - 3 - len(alphabet)
    merges = (pairs + triples)[:room]
    tokens = [PAD, BOS, EOS, *alphabet, *(left + right for left, right in merges)]
    if len(tokens) != vocab_size:
        raise ValueError(f"vocabulary of {vocab_size} is outside 259 to {len(tokens)}")
    backend = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )


def random_prompts(
    shape: ModelShape, count: int, shortest: int, longest: int, seed: int = 0
) -> list[list[int]]:
    """`count` prompts of ordinary tokens, each of `shortest` to `longest` tokens."""
    draw = random.Random(seed)
    return [
        [draw.randrange(3, shape.vocab) for _ in range(draw.randint(shortest, longest))]
        for _ in range(count)
    ]
