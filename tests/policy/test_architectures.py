"""Any base model: built from its config, saved, loaded back by the real code, trained a step."""

import math

import pytest
import torch
from models import (
    ARCHITECTURES,
    CHAT_TEMPLATE,
    EOS,
    base_weights,
    edit_json,
    load,
    load_roles,
    make_tokenizer,
    save_model,
    uneven_batch,
)
from training.toys import make_config, make_trainer, trained_weights

from ppo_tui.config.schema import AdapterConfig
from ppo_tui.errors import ConfigError
from ppo_tui.policy.generation import generate
from ppo_tui.policy.roles import Roles

ALL = sorted(ARCHITECTURES)


def a_step_trains_the_adapters_alone(config):
    """Train one step and look at all that it changed; returns its record."""
    trainer = make_trainer(config)
    base, start = base_weights(trainer.roles), trained_weights(trainer)
    record = next(trainer.steps())
    after = base_weights(trainer.roles)
    assert all(torch.equal(base[name], after[name]) for name in base)
    # At the very start LoRA's B is 0, so that its A has a gradient from the second update on.
    assert all(not torch.equal(a, b) for a, b in zip(start, trained_weights(trainer), strict=True))
    assert all(math.isfinite(record.metrics[name]) for name in ("policy/loss", "value/loss"))
    assert record.metrics["optim/grad_norm"] > 0
    assert record.metrics["kl/ref"] == 0.0
    return record


@pytest.mark.parametrize("architecture", ALL)
def test_it_trains_in_full_precision(small_config, architecture):
    record = a_step_trains_the_adapters_alone(small_config(architecture))
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
    assert record.health == ()


@pytest.mark.parametrize("architecture", ALL)
def test_it_trains_in_4_bits(small_config, architecture):
    config = small_config(architecture, model={"quantization": "nf4"})
    record = a_step_trains_the_adapters_alone(config)
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
    assert record.health == ()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma"])
def test_it_trains_in_8_bits(small_config, architecture):
    config = small_config(architecture, model={"quantization": "int8"})
    record = a_step_trains_the_adapters_alone(config)
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gemma2"])
def test_it_trains_in_bfloat16(small_config, architecture):
    config = small_config(architecture, model={"dtype": "bfloat16"})
    record = a_step_trains_the_adapters_alone(config)
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-2)


def test_4_bits_compute_in_bfloat16_where_that_is_asked_for(small_config):
    a_step_trains_the_adapters_alone(
        small_config("llama", model={"quantization": "nf4", "dtype": "bfloat16"})
    )


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("architecture", ALL)
@torch.no_grad()
def test_head_and_trunk_apart_are_the_whole_model(model_folder, architecture, quantization):
    roles = load_roles(model_folder(architecture), quantization=quantization)
    inputs = uneven_batch().model_inputs()
    real = inputs[1].bool()
    assert roles.trunk.is_split
    apart = roles.trunk.head(roles.trunk(*inputs).features)
    whole = roles.base.model(
        input_ids=inputs[0], attention_mask=inputs[1], position_ids=inputs[2]
    ).logits
    assert torch.equal(apart[real], whole[real])
    assert roles.trunk.vocab_size == whole.shape[-1]


@pytest.mark.parametrize("scale", [0.02, 0.15])
@torch.no_grad()
def test_a_soft_cap_is_found_even_where_it_hardly_bends(model_folder, scale):
    folder = model_folder("gemma2", initializer_range=scale, final_logit_softcapping=30.0)
    roles = load_roles(folder, dtype="bfloat16")
    large = torch.full((1, roles.trunk.hidden_size), 50.0, dtype=torch.bfloat16)
    assert roles.trunk.head(large).abs().max() <= 30.0


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("architecture", ALL)
def test_all_linear_layers_but_the_head_get_an_adapter(model_folder, architecture, quantization):
    from transformers.pytorch_utils import Conv1D

    folder = model_folder(architecture)
    plain = load(folder, quantization).model
    head = plain.get_output_embeddings()
    linear = {
        name
        for name, module in plain.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    }
    roles = load_roles(folder, quantization=quantization)
    model = roles.peft.get_base_model()
    adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert adapted == linear
    assert not hasattr(model.get_output_embeddings(), "lora_A")


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_4_bit_weights_really_are_4_bits_wide(model_folder, architecture):
    whole = load(model_folder(architecture)).model
    small = load(model_folder(architecture), "nf4").model
    weights = {
        name: p.numel() * p.element_size() for name, p in small.named_parameters() if "mlp" in name
    }
    for name, parameter in whole.named_parameters():
        if "mlp" in name and parameter.dim() == 2:
            assert weights[name] == parameter.numel() // 2


@torch.no_grad()
def test_4_bit_weights_are_not_repacked_by_a_pass_without_gradients(model_folder):
    roles = load_roles(model_folder("llama"), quantization="nf4")
    before = base_weights(roles)
    scales = [m.weight.quant_state.absmax.clone() for m in quantised(roles)]
    roles.reference_logprobs(uneven_batch())
    after = base_weights(roles)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(
        torch.equal(scale, m.weight.quant_state.absmax)
        for scale, m in zip(scales, quantised(roles), strict=True)
    )


def quantised(roles):
    return [m for m in roles.peft.modules() if hasattr(getattr(m, "weight", None), "quant_state")]


def test_the_gradient_through_4_bit_weights_is_that_of_the_weights_they_stand_for(model_folder):
    import bitsandbytes.functional as bnb

    small = load_roles(model_folder("qwen2"), quantization="nf4")
    whole = load_roles(model_folder("qwen2"))
    targets = dict(whole.peft.named_modules())
    for name, module in small.peft.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            targets[name].weight.data = bnb.dequantize_4bit(module.weight.data, state).float()
    batch, gradients = uneven_batch(), []
    for roles in (small, whole):
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in roles.policy_parameters():
                p.add_(0.05 * torch.randn(p.shape, generator=generator))
        roles.policy_pass(batch).logprobs.sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in roles.policy_parameters()]))
    assert (gradients[0] - gradients[1]).norm() / gradients[1].norm() < 1e-4


def test_a_model_without_a_pad_token_trains(tmp_path, prompts_file):
    folder = save_model(tmp_path, "llama", make_tokenizer(pad=None), pad_token_id=None)
    base = load(folder)
    assert (base.vocabulary.eos_ids, base.vocabulary.pad_id) == ((2,), 0)
    assert not base.vocabulary.pad_is_own
    a_step_trains_the_adapters_alone(make_config(folder, prompts_file))


def test_a_model_whose_pad_token_is_its_end_token_trains(tmp_path, prompts_file):
    folder = save_model(tmp_path, "gpt2", make_tokenizer(pad="</s>"))
    base = load(folder)
    assert (base.vocabulary.eos_ids, base.vocabulary.pad_id) == ((2,), 0)
    a_step_trains_the_adapters_alone(make_config(folder, prompts_file))


def test_where_the_first_token_is_the_end_token_another_one_pads(tmp_path):
    folder = save_model(tmp_path, "llama", make_tokenizer(pad="<pad>", eos="<pad>"), eos_token_id=0)
    assert load(folder).vocabulary.pad_id == 1


def test_a_model_without_a_chat_template_trains_on_plain_prompts(small_config):
    config = small_config("qwen3", data={"template": "Q: {prompt}"})
    assert config.data.template == "Q: {prompt}"
    a_step_trains_the_adapters_alone(config)


def test_a_model_with_a_chat_template_trains_on_chats(tmp_path, prompts_file):
    folder = save_model(tmp_path, "qwen2", make_tokenizer(chat_template=CHAT_TEMPLATE))
    config = make_config(folder, prompts_file, data={"template": "chat"})
    record = a_step_trains_the_adapters_alone(config)
    assert record.samples[0].prompt.endswith("<s>assistant:")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
def test_models_with_tied_and_untied_embeddings_train(tmp_path, prompts_file, architecture, tied):
    folder = save_model(tmp_path, architecture, tie_word_embeddings=tied)
    model = load(folder).model
    one, other = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert (one is other) == tied
    a_step_trains_the_adapters_alone(make_config(folder, prompts_file))


def test_several_end_tokens_of_the_generation_config_all_end_a_response(tmp_path):
    folder = save_model(tmp_path, "llama")
    ends = list(range(2, 150))
    edit_json(folder / "generation_config.json", eos_token_id=ends)
    roles = load_roles(folder)
    assert roles.base.vocabulary.eos_ids == tuple(ends)
    batch = generate(roles, [[5, 6]] * 32, 12, torch.Generator().manual_seed(0))
    seen = set()
    for ids, length in zip(batch.response_ids, batch.response_lengths.tolist(), strict=True):
        tokens = ids[:length].tolist()
        assert not set(tokens[:-1]) & set(ends)
        seen |= {tokens[-1]} & set(ends)
    assert len(seen) > 5


def test_end_tokens_beyond_the_vocabulary_are_left_out(tmp_path):
    folder = save_model(tmp_path, "llama")
    edit_json(folder / "generation_config.json", eos_token_id=[2, 7, 100_000])
    assert load(folder).vocabulary.eos_ids == (EOS, 7)


def test_dropout_of_the_config_is_off_in_training(small_config):
    # Its exact first ratio would not be 1 with dropout on.
    trainer = make_trainer(small_config("gpt2"))
    assert trainer.roles.base.model.config.attn_pdrop == 0.3
    assert not any(m.training for m in trainer.roles.peft.modules())


def test_the_output_head_cannot_be_named_as_a_target(model_folder):
    with pytest.raises(ConfigError, match="output head") as caught:
        Roles(load(model_folder("llama")), AdapterConfig(targets=("q_proj", "lm_head")))
    assert caught.value.code == "config.adapter_targets"


def test_targets_that_name_no_layer_are_refused_in_one_sentence(model_folder):
    with pytest.raises(ConfigError) as caught:
        Roles(load(model_folder("llama")), AdapterConfig(targets=("no_such_layer",)))
    assert caught.value.code == "config.adapter_targets"
    assert "no_such_layer" in caught.value.message
    assert "\n" not in caught.value.message


def test_named_targets_are_the_only_ones_adapted(model_folder):
    roles = load_roles(model_folder("llama"), targets=("q_proj", "v_proj"))
    adapted = {n.rpartition(".")[2] for n, m in roles.peft.named_modules() if hasattr(m, "lora_A")}
    assert adapted == {"q_proj", "v_proj"}


def test_the_context_length_is_read_from_the_config(model_folder):
    lengths = {name: load(model_folder(name)).context_length for name in ("llama", "gpt2", "opt")}
    assert lengths == {"llama": 128, "gpt2": 128, "opt": 128}
