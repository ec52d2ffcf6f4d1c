"""The formula for activations against what autograd keeps, counted on small models."""

import json

import pytest

from ppo_tui.config.resolve import validate
from ppo_tui.plan import architecture_from_config, choose
from ppo_tui.plan.passes import kept_per_token
from ppo_tui.plan.sizes import sizes_of

SEQUENCES, TOKENS, RANK = 2, 128, 8
SIZES = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 768,
    "vocab_size": 64,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "attention_dropout": 0.0,
}
HEADS = {**SIZES, "head_dim": 64}
ALL_HEADS = {key: size for key, size in SIZES.items() if key != "num_key_value_heads"}
KINDS = {
    "llama": SIZES,
    "mistral": SIZES,
    "qwen2": SIZES,
    "qwen3": HEADS,
    "gemma": HEADS,
    "gemma2": HEADS,
    "gemma3_text": HEADS,
    "phi": ALL_HEADS,
    "phi3": SIZES,
    "gpt2": {"n_embd": 256, "n_head": 4, "vocab_size": 64, "n_positions": 256},
    "gpt_neox": ALL_HEADS,
}


def config_of(kind: str, layers: int):
    from transformers import AutoConfig

    count = "n_layer" if kind == "gpt2" else "num_hidden_layers"
    return AutoConfig.for_model(kind, **KINDS[kind], **{count: layers})


def adapted_model(kind: str, layers: int, dtype):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(config_of(kind, layers), dtype=dtype)
    model.requires_grad_(False)
    lora = LoraConfig(
        r=RANK, target_modules="all-linear", task_type="CAUSAL_LM", fan_in_fan_out=kind == "gpt2"
    )
    return get_peft_model(model, lora).eval()


def bytes_kept(kind: str, layers: int, dtype, packed: bool) -> int:
    """Bytes of all tensors that a forward pass saves, weights and buffers not counted."""
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    from ppo_tui.policy.lora import speed_up
    from ppo_tui.policy.packing import pack_ids
    from ppo_tui.policy.trunk import Trunk

    model = adapted_model(kind, layers, dtype)
    speed_up([module for module in model.modules() if isinstance(module, BaseTunerLayer)])
    trunk = Trunk(model.get_base_model())
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    ids = torch.arange(SEQUENCES * TOKENS).reshape(SEQUENCES, TOKENS) % 64
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        if packed:
            rows = pack_ids(ids.tolist(), ids.device)
            trunk(rows.ids, None, rows.positions, layout=rows.layout)
        else:
            mask = torch.ones_like(ids)
            mask[:, :5] = 0  # padding: without it the fused kernels would need no mask
            trunk(ids, mask, mask.cumsum(1) - mask)
    return sum(size for size, _ in kept.values())


EAGER = {"gemma2"}
"""Those whose attention cannot be packed."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "dtype", "packing"),
    [
        *((kind, "bfloat16", "auto") for kind in sorted(KINDS)),
        *((kind, "float32", "auto") for kind in ("llama", "gpt2", "gemma2", "phi3")),
        *((kind, "bfloat16", "never") for kind in ("llama", "gpt_neox")),
        ("llama", "float32", "never"),
    ],
)
def test_the_formula_gives_what_autograd_keeps(kind, dtype, packing):
    import torch

    packed = packing == "auto" and kind not in EAGER
    one, two = (bytes_kept(kind, layers, getattr(torch, dtype), packed) for layers in (1, 2))
    measured = (two - one) / (SEQUENCES * TOKENS)

    config = json.loads(config_of(kind, 1).to_json_string(use_diff=False))
    shape = architecture_from_config(config)
    run = validate(
        {
            "model": {"dtype": dtype},
            "adapter": {"rank": RANK},
            "rollout": {"response_tokens": TOKENS // 2},
            "engine": {"packing": packing},
        },
        "the test",
    )
    sizes = sizes_of(shape, run, "cuda", TOKENS // 2, choose(shape, run, None, "cuda", TOKENS // 2))
    assert sizes.packed == packed
    assert kept_per_token(shape, run, sizes) == pytest.approx(measured, rel=0.05)
