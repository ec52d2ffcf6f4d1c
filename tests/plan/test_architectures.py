"""A model's shape is read from its config.json alone, to the last weight."""

import json
from pathlib import Path

import pytest

from ppo_tui.config.schema import ModelConfig
from ppo_tui.errors import ModelError
from ppo_tui.plan import architecture_from_config, read_architecture
from ppo_tui.plan.families import KNOWN

KNOWN_MODELS = json.loads((Path(__file__).parent / "known_models.json").read_text())
LLAMA = KNOWN_MODELS["meta-llama/Llama-3.2-1B"]["config"]


@pytest.mark.parametrize("name", sorted(KNOWN_MODELS))
def test_the_weights_of_a_public_model_are_counted_exactly(name):
    architecture = architecture_from_config(KNOWN_MODELS[name]["config"], name)
    assert architecture.parameters == KNOWN_MODELS[name]["parameters"]
    assert not architecture.estimated


def test_llama_1b_is_described_in_full():
    shape = architecture_from_config(LLAMA).to_dict()
    assert shape == {
        "model_type": "llama",
        "hidden": 2048,
        "layers": 16,
        "heads": 32,
        "kv_heads": 8,
        "head_dim": 64,
        "intermediate": 8192,
        "vocab": 128_256,
        "context": 32_768,
        "tied": True,
        "gated": True,
        "weights": {
            "linear": 973_078_528,
            "embeddings": 262_668_288,
            "head": 0,
            "other": 67_584,
            "total": 1_235_814_400,
        },
        "exact": False,
        "estimated": False,
    }


def test_gpt2_has_no_gate_and_learns_its_positions():
    shape = architecture_from_config(KNOWN_MODELS["openai-community/gpt2"]["config"])
    assert not shape.gated
    assert shape.intermediate == 3072
    assert shape.counts.embeddings == (50_257 + 1024) * 768
    assert [layer.name for layer in shape.block.linears] == ["c_attn", "c_proj", "c_fc", "c_proj"]


@pytest.mark.parametrize("kind", sorted(KNOWN))
@pytest.mark.parametrize("tied", [True, False])
def test_the_count_agrees_with_the_model_that_transformers_builds(kind, tied):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 80,
        "vocab_size": 101,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    if kind in ("phi", "gpt_neox"):
        sizes.pop("num_key_value_heads")
    if kind == "gpt2":
        sizes = {"n_embd": 48, "n_layer": 3, "n_head": 4, "vocab_size": 101, "n_positions": 64}
    if kind in ("qwen3", "gemma", "gemma2", "gemma3_text"):
        sizes["head_dim"] = 16
    config = AutoConfig.for_model(kind, **sizes, tie_word_embeddings=tied)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    shape = architecture_from_config(json.loads(config.to_json_string(use_diff=False)))
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D")
    } - {"lm_head", "embed_out"}
    assert {layer.name for layer in shape.block.linears} == linear


def test_an_unknown_architecture_is_estimated_from_its_numbers():
    config = {**LLAMA, "model_type": "novel", "architectures": ["NovelForCausalLM"]}
    shape = architecture_from_config(config)
    assert shape.estimated
    assert shape.gated
    assert shape.parameters == 1_235_814_400


def test_an_unknown_architecture_without_a_gate_has_two_matrices_in_its_mlp():
    config = {
        "model_type": "novel",
        "architectures": ["NovelForCausalLM"],
        "d_model": 64,
        "n_layers": 2,
        "n_heads": 4,
        "vocab_size": 100,
        "activation_function": "gelu",
    }
    shape = architecture_from_config(config)
    assert not shape.gated
    assert shape.counts.linear == 2 * (3 * 64 * 64 + 64 * 64 + 2 * 64 * 256)


def test_experts_are_counted_each():
    config = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4}
    dense, experts = architecture_from_config(LLAMA), architecture_from_config(config)
    assert experts.estimated
    assert experts.counts.linear - dense.counts.linear == 3 * 16 * 3 * 2048 * 8192


def test_the_text_part_of_a_model_of_text_and_images_is_planned():
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10_240,
        "num_hidden_layers": 34,
    }
    config = {
        "model_type": "gemma3",
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": text,
    }
    shape = architecture_from_config(config)
    assert shape.estimated
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.vocab) == (8, 4, 256, 262_208)
    assert 3.8e9 < shape.parameters < 4.0e9


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 64},
        {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 64},
        {"model_type": "roberta", "hidden_size": 64},
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
        | {"is_encoder_decoder": True},
        {**LLAMA, "architectures": ["LlamaForSequenceClassification"]},
        {"hidden_size": 64, "vocab_size": 100},
        {"model_type": "resnet"},
    ],
)
def test_what_is_no_causal_language_model_is_refused(config):
    with pytest.raises(ModelError) as caught:
        architecture_from_config(config, "my/model")
    assert caught.value.code == "model.unsupported"
    assert "my/model" in caught.value.message


@pytest.mark.parametrize("size", [0, -1, "2048", 2048.0, True, [], 10**12])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ModelError) as caught:
        architecture_from_config({**LLAMA, "hidden_size": size}, "my/model")
    assert caught.value.code == "model.bad_config"
    assert "hidden_size" in caught.value.message


def test_the_bundled_model_is_planned_from_its_weights():
    shape = read_architecture(ModelConfig())
    assert shape.model_type == "llama"
    assert shape.exact
    assert 500_000 <= shape.parameters <= 2_000_000
