"""Tiny models of many architectures with a real tokenizer, saved as real ones are.

For the tests of the engine. A model has random weights, wide enough that its next-token
distribution is far from uniform, and lies in a folder as `save_pretrained` writes it.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from ppo_tui.config.schema import AdapterConfig, ModelConfig
from ppo_tui.policy.decoder import Decoding
from ppo_tui.policy.loading import BaseModel, load_base
from ppo_tui.policy.roles import Roles
from ppo_tui.policy.sequences import Sequences, pad_prompts

VOCAB = 300
PAD, BOS, EOS = 0, 1, 2
CPU = torch.device("cpu")

_SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": PAD,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "initializer_range": 0.15,
}
_LLAMA = {**_SIZES, "intermediate_size": 64, "num_key_value_heads": 2}
_HEADS = {**_LLAMA, "head_dim": 16}

ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "llama": lambda **more: LlamaConfig(**{**_LLAMA, **more}),
    "qwen2": lambda **more: Qwen2Config(**{**_LLAMA, "tie_word_embeddings": True, **more}),
    "qwen3": lambda **more: Qwen3Config(**{**_HEADS, **more}),
    "gemma": lambda **more: GemmaConfig(**{**_HEADS, **more}),
    "gemma2": lambda **more: Gemma2Config(
        **{**_HEADS, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 16, **more}
    ),
    "gemma3": lambda **more: Gemma3TextConfig(
        **{
            **_HEADS,
            "sliding_window": 6,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 16,
            **more,
        }
    ),
    "mistral": lambda **more: MistralConfig(**{**_LLAMA, "sliding_window": 6, **more}),
    "phi": lambda **more: PhiConfig(**{**_LLAMA, "resid_pdrop": 0.3, "embd_pdrop": 0.3, **more}),
    "phi3": lambda **more: Phi3Config(**{**_LLAMA, **more}),
    "gpt2": lambda **more: GPT2Config(
        vocab_size=VOCAB,
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=128,
        initializer_range=0.15,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        resid_pdrop=0.3,
        embd_pdrop=0.3,
        attn_pdrop=0.3,
        **more,
    ),
    "gpt_neox": lambda **more: GPTNeoXConfig(
        **{**_SIZES, "intermediate_size": 64, "hidden_dropout": 0.3, **more}
    ),
    "opt": lambda **more: OPTConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=128,
        word_embed_proj_dim=64,
        init_std=0.15,
        dropout=0.3,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        **more,
    ),
    "cohere": lambda **more: CohereConfig(**{**_LLAMA, "logit_scale": 0.25, **more}),
    "granite": lambda **more: GraniteConfig(**{**_LLAMA, "logits_scaling": 4.0, **more}),
}

_TEXT = ["the cat sat on the mat and the dog ran", "a small house near the old sea", "good bad"] * 3

CHAT_TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)


def make_tokenizer(
    *, pad: str | None = "<pad>", eos: str = "</s>", chat_template: str | None = None
) -> Any:
    """A byte-level BPE tokenizer in which <pad> is 0, <s> 1 and </s> 2; `pad` may be `eos`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _TEXT,
        trainers.BpeTrainer(
            vocab_size=VOCAB,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token=eos, pad_token=pad
    )
    fast.chat_template = chat_template
    return fast


def save_model(
    folder: Path, architecture: str = "llama", tokenizer: Any = None, **config: Any
) -> Path:
    """Make a model of the architecture, the same at every call, and save it with a tokenizer."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModelForCausalLM.from_config(ARCHITECTURES[architecture](**config))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                # Biases of 0 and norms of 1 would hide that one of them is left out.
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
                assert parameter.isfinite().all(), name
    model.save_pretrained(folder)
    (make_tokenizer() if tokenizer is None else tokenizer).save_pretrained(folder)
    return folder


def edit_json(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def load(
    folder: Path, quantization: Any = "none", dtype: Any = "auto", device: torch.device = CPU
) -> BaseModel:
    """The model as it was saved, through the real loading code."""
    return load_base(ModelConfig(name=str(folder), quantization=quantization, dtype=dtype), device)


def load_roles(
    folder: Path,
    *,
    quantization: Any = "none",
    dtype: Any = "auto",
    critic: Any = "head",
    temperature: float = 1.0,
    rank: int = 4,
    targets: Any = "all-linear",
    packing: bool = True,
    decoding: Decoding | None = None,
    device: torch.device = CPU,
) -> Roles:
    """The model in its roles, through the real loading code."""
    base = load(folder, quantization, dtype, device)
    adapter = AdapterConfig(rank=rank, targets=targets)
    return Roles(base, adapter, critic, temperature, packing=packing, decoding=decoding)


def perturb(roles: Roles, scale: float = 0.05, seed: int = 3) -> Roles:
    """Give adapters and value head random weights, as if trained; LoRA begins as nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (*roles.policy_parameters(), *roles.value_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(scale * noise.to(parameter.device))
    return roles


def batch_of(
    prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad: int = PAD
) -> Sequences:
    """Prompts and responses given as token ids."""
    prompt_ids, prompt_lengths = pad_prompts(prompts, pad)
    width = max(len(ids) for ids in responses)
    rows = [list(ids) + [pad] * (width - len(ids)) for ids in responses]
    lengths = torch.tensor([len(ids) for ids in responses])
    return Sequences(prompt_ids, prompt_lengths, torch.tensor(rows), lengths)


def random_ids(length: int, seed: int) -> list[int]:
    """So many token ids, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCAB, (length,), generator=generator).tolist()


def uneven_batch(rows: int = 6) -> Sequences:
    """Prompts of 1 to 9 tokens and responses of 1 to 8."""
    return batch_of(
        [random_ids(1 + (5 * i) % 9, seed=i) for i in range(rows)],
        [random_ids(1 + (3 * i + 2) % 8, seed=100 + i) for i in range(rows)],
    )


def long_batch() -> Sequences:
    """Sequences of 4 to 19 tokens: some within a sliding window of 6, some thrice as long."""
    return batch_of(
        [random_ids(length, seed=length) for length in (3, 9, 8, 1)],
        [random_ids(length, seed=50 + length) for length in (1, 10, 5, 9)],
    )


def even_batch() -> Sequences:
    """Three sequences of 4 and 5 tokens: nothing is padded."""
    return batch_of(
        [random_ids(4, seed=row) for row in range(3)],
        [random_ids(5, seed=20 + row) for row in range(3)],
    )


def base_weights(roles: Roles) -> dict[str, torch.Tensor]:
    """Copies of everything that is not trained, quantised weights included."""
    trained = {id(p) for p in (*roles.policy_parameters(), *roles.value_parameters())}
    return {
        name: parameter.detach().clone()
        for name, parameter in roles.peft.named_parameters()
        if id(parameter) not in trained
    }
