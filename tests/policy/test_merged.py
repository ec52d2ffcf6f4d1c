"""The adapter added into a copy of the weights: the policy's numbers, and the base untouched."""

import pytest
import torch
from models import (
    ARCHITECTURES,
    VOCAB,
    base_weights,
    load_roles,
    perturb,
    save_model,
    uneven_batch,
)
from transformers import MixtralConfig

from ppo_tui.policy.adapters import tuner_layers

CASES = [
    ("llama", {}),
    ("qwen2", {}),
    ("gpt2", {}),
    ("gpt_neox", {"dtype": "bfloat16"}),
    ("llama", {"dtype": "bfloat16"}),
    ("llama", {"quantization": "nf4"}),
    ("gpt2", {"quantization": "nf4"}),
    ("gemma3", {"quantization": "nf4", "dtype": "bfloat16"}),
    ("llama", {"quantization": "int8"}),
    ("gpt2", {"quantization": "int8"}),
]


def addresses(roles):
    return {name: p.data_ptr() for name, p in roles.peft.named_parameters()}


@torch.no_grad()
def teacher_forced(roles, trunk, batch):
    """``[B, R]``: log-probabilities of the responses to whoever decodes with this trunk."""
    ids, mask, positions = batch.model_inputs()
    logits = trunk.head(trunk(ids, mask, positions).features).float()
    width = batch.prompt_ids.shape[1]
    chosen = logits[:, width - 1 : -1].log_softmax(-1)
    logprobs = chosen.gather(-1, batch.response_ids.unsqueeze(-1)).squeeze(-1)
    return logprobs * batch.response_mask


@pytest.mark.parametrize(("architecture", "options"), CASES)
def test_the_copy_answers_as_the_policy_does(model_folder, architecture, options):
    roles, batch = perturb(load_roles(model_folder(architecture), **options)), uneven_batch()
    with torch.no_grad():
        policy = roles.policy_pass(batch).logprobs
        reference = roles.reference_logprobs(batch)
    with roles.sampling(merge=True) as trunk:
        copy = teacher_forced(roles, trunk, batch)
    gap, moved = (copy - policy).abs(), (reference - policy).abs()
    exact = options.get("dtype") is None and options.get("quantization") != "int8"
    # LLM.int8 rounds what goes into a layer as well, which the copy does not.
    assert gap.max() < (1e-4 if exact else 0.5)
    assert gap.mean() < (1e-5 if exact else 0.1 * moved.mean())


@pytest.mark.parametrize(("architecture", "options"), CASES)
def test_the_base_is_the_same_to_the_last_bit_and_in_the_same_place(
    model_folder, architecture, options
):
    roles, batch = perturb(load_roles(model_folder(architecture), **options)), uneven_batch()
    before, places = base_weights(roles), addresses(roles)
    numbers = roles.reference_logprobs(batch)
    with roles.sampling(merge=True) as trunk:
        teacher_forced(roles, trunk, batch)
        assert roles.merged.made
    with pytest.raises(KeyError), roles.sampling(merge=True):
        raise KeyError
    after = base_weights(roles)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert addresses(roles) == places
    assert torch.equal(roles.reference_logprobs(batch), numbers)


@pytest.mark.parametrize("options", [{}, {"quantization": "nf4"}])
def test_a_copy_that_is_kept_follows_the_adapter_and_stays_where_it_is(model_folder, options):
    roles, batch = perturb(load_roles(model_folder("llama"), **options)), uneven_batch()
    with roles.sampling(merge=True) as trunk:
        before = teacher_forced(roles, trunk, batch)
        places = [copy.data_ptr() for copy in roles.merged._copies]
    perturb(roles, seed=8)
    with roles.sampling(merge=True) as trunk:
        after = teacher_forced(roles, trunk, batch)
        assert [copy.data_ptr() for copy in roles.merged._copies] == places
    with torch.no_grad():
        assert (after - roles.policy_pass(batch).logprobs).abs().max() < 1e-4
    assert (after - before).abs().max() > 1e-2
    roles.merged.drop()
    assert not roles.merged.made


def test_in_16_bits_the_sum_is_rounded_once_and_not_the_update_before_it(model_folder):
    roles = perturb(load_roles(model_folder("llama"), dtype="bfloat16"), scale=0.02)
    layer = tuner_layers(roles.peft)[0]
    weight = layer.get_base_layer().weight.clone()
    a, b = layer.lora_A["policy"].weight.double(), layer.lora_B["policy"].weight.double()
    exact = weight.double() + layer.scaling["policy"] * (b @ a)
    with roles.sampling(merge=True):
        copy = layer.get_base_layer().weight
        assert copy.dtype == torch.bfloat16
        assert not torch.equal(copy, weight)
        # Half a step of 8 bits of significance, and a little for the product itself.
        assert ((copy.double() - exact).abs() <= exact.abs() * 2**-8 + 1e-4).all()


@pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys")
def test_experts_that_share_a_tensor_are_decoded_with_the_adapter_beside_them(
    tmp_path, monkeypatch
):
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 2}
    more = {"vocab_size": VOCAB, "initializer_range": 0.15}
    monkeypatch.setitem(ARCHITECTURES, "mixtral", lambda: MixtralConfig(**sizes, **heads, **more))
    roles = perturb(load_roles(save_model(tmp_path, "mixtral")), scale=0.02)
    assert not roles.merged.possible
    assert not roles.decoder.merges
    with torch.no_grad():
        sequences, logprobs = roles.decoder.sample([[5, 6, 7]] * 4, 5, torch.Generator())
        assert (roles.policy_pass(sequences).logprobs - logprobs).abs().max() < 1e-4
        reference = roles.reference_logprobs(sequences)
    assert (reference - logprobs).abs().max() > 1e-3
    with roles.sampling(merge=True):
        assert not roles.merged.made


def test_the_copy_of_a_quantised_model_is_of_every_layer_and_of_another_only_what_changes(
    model_folder,
):
    some = ("q_proj", "v_proj")
    counts = {}
    for quantization in ("none", "nf4"):
        roles = load_roles(model_folder("llama"), quantization=quantization, targets=some)
        with roles.sampling(merge=True):
            counts[quantization] = len(roles.merged._copies)
    # Two layers with seven products each.
    assert counts == {"none": 4, "nf4": 14}
