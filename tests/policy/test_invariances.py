"""What must not change a log-probability, a value or an update: padding, micro-batches, roles."""

import pytest
import torch
from models import (
    ARCHITECTURES,
    PAD,
    base_weights,
    batch_of,
    load,
    load_roles,
    perturb,
    random_ids,
    uneven_batch,
)

from ppo_tui.policy.sequences import Sequences

ALL = sorted(ARCHITECTURES)


def single(batch: Sequences, row: int) -> Sequences:
    return batch.select(torch.tensor([row]))


def wider(batch: Sequences, left: int, right: int) -> Sequences:
    pad = torch.nn.functional.pad
    return Sequences(
        pad(batch.prompt_ids, (left, 0), value=PAD),
        batch.prompt_lengths,
        pad(batch.response_ids, (0, right), value=PAD),
        batch.response_lengths,
    )


@pytest.mark.parametrize("architecture", ALL)
@torch.no_grad()
def test_padding_changes_logprobs_and_values_by_less_than_1e_5(model_folder, architecture):
    roles, batch = perturb(load_roles(model_folder(architecture))), uneven_batch()
    together = roles.policy_pass(batch, with_entropy=True)
    for row in range(len(batch)):
        alone = roles.policy_pass(single(batch, row), with_entropy=True)
        length = int(batch.response_lengths[row])
        for whole, part in zip(together, alone, strict=True):
            assert (whole[row, :length] - part[0]).abs().max() < 1e-5
            assert (whole[row, length:] == 0).all()


@torch.no_grad()
def test_columns_of_nothing_but_padding_change_nothing(model_folder):
    roles, batch = perturb(load_roles(model_folder("llama"), critic="adapter")), uneven_batch()
    narrow, wide = roles.policy_pass(batch), roles.policy_pass(wider(batch, left=3, right=2))
    width = batch.response_ids.shape[1]
    assert (wide.logprobs[:, :width] - narrow.logprobs).abs().max() < 1e-5
    assert (wide.values[:, :width] - narrow.values).abs().max() < 1e-5


@torch.no_grad()
def test_what_the_filler_token_is_changes_nothing(model_folder):
    roles = perturb(load_roles(model_folder("llama")))
    prompts = [random_ids(2, 1), random_ids(7, 2)]
    responses = [random_ids(5, 3), random_ids(1, 4)]
    one = roles.policy_pass(batch_of(prompts, responses, pad=0))
    other = roles.policy_pass(batch_of(prompts, responses, pad=250))
    assert torch.equal(one.logprobs, other.logprobs)
    assert torch.equal(one.values, other.values)


@pytest.mark.parametrize("architecture", ALL)
@torch.no_grad()
def test_logprobs_are_those_of_the_whole_model_on_the_unpadded_sequence(model_folder, architecture):
    roles, batch = load_roles(model_folder(architecture), temperature=0.7), uneven_batch()
    logprobs = roles.reference_logprobs(batch)
    model = roles.peft.get_base_model()
    for row in range(len(batch)):
        p, r = int(batch.prompt_lengths[row]), int(batch.response_lengths[row])
        prompt, response = batch.prompt_ids[row, -p:], batch.response_ids[row, :r]
        logits = model(input_ids=torch.cat([prompt, response])[None]).logits[0]
        expected = (logits[p - 1 : p + r - 1] / 0.7).log_softmax(-1)[range(r), response]
        assert (logprobs[row, :r] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("critic", ["head", "adapter"])
@torch.no_grad()
def test_a_fresh_policy_is_the_reference_to_the_last_bit(model_folder, critic):
    roles, batch = load_roles(model_folder("llama"), critic=critic), uneven_batch()
    output = roles.policy_pass(batch)
    assert torch.equal(output.logprobs, roles.reference_logprobs(batch))
    assert (output.values == 0).all()


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@torch.no_grad()
def test_with_the_adapters_off_the_logits_are_the_base_models(model_folder, quantization):
    batch = uneven_batch()
    ids, mask, positions = batch.model_inputs()
    untouched = load(model_folder("llama"), quantization).model
    roles = perturb(load_roles(model_folder("llama"), quantization=quantization, critic="adapter"))
    roles.policy_pass(batch)
    with roles.sampling(reference=True) as trunk:
        logits = trunk.head(trunk(ids, mask, positions).features)
    expected = untouched(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    assert torch.equal(logits[mask.bool()], expected[mask.bool()])


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_merging_for_sampling_gives_the_base_weights_back_bit_for_bit(model_folder, architecture):
    roles = perturb(load_roles(model_folder(architecture)))
    before = base_weights(roles)
    pointers = {name: p.data_ptr() for name, p in roles.peft.named_parameters()}
    with roles.sampling():
        changed = [n for n, w in base_weights(roles).items() if not torch.equal(w, before[n])]
    assert len(changed) == len(roles._layers)
    after = base_weights(roles)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert pointers == {name: p.data_ptr() for name, p in roles.peft.named_parameters()}


def test_an_error_while_sampling_gives_the_base_weights_back_too(model_folder):
    roles = perturb(load_roles(model_folder("llama")))
    before = base_weights(roles)
    sampling = roles.sampling()
    sampling.__enter__()
    assert sampling.__exit__(ValueError, ValueError("while sampling"), None) is False
    after = base_weights(roles)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("architecture", ALL)
@torch.no_grad()
def test_the_merged_policy_is_the_unmerged_one(model_folder, architecture):
    roles, batch = perturb(load_roles(model_folder(architecture))), uneven_batch()
    inputs, mask = batch.model_inputs(), batch.model_inputs()[1].bool()
    logits = []
    for merge in (True, False):
        with roles.sampling(merge=merge) as trunk:
            logits.append(trunk.head(trunk(*inputs).features)[mask])
    with roles.sampling(reference=True) as trunk:
        base = trunk.head(trunk(*inputs).features)[mask]
    assert (logits[0] - logits[1]).abs().max() < 2e-5
    assert (logits[0] - base).abs().max() > 1e-2


@torch.no_grad()
def test_the_temperature_divides_the_logits_of_policy_and_reference(model_folder):
    batch = uneven_batch()
    cold = perturb(load_roles(model_folder("llama"), temperature=0.5))
    doubled = perturb(load_roles(model_folder("llama")))
    head = doubled.peft.get_base_model().get_output_embeddings()
    head.weight.mul_(2)
    for one, other in (
        (cold.policy_pass(batch), doubled.policy_pass(batch)),
        ([cold.reference_logprobs(batch)], [doubled.reference_logprobs(batch)]),
    ):
        assert (one[0] - other[0]).abs().max() < 1e-5
    warm = perturb(load_roles(model_folder("llama"), temperature=1.0))
    assert (warm.policy_pass(batch).logprobs - cold.policy_pass(batch).logprobs).abs().max() > 0.01


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "phi", "gpt_neox"])
@torch.no_grad()
def test_dropout_in_the_config_changes_nothing(model_folder, architecture):
    roles, batch = perturb(load_roles(model_folder(architecture))), uneven_batch()
    assert torch.equal(roles.policy_pass(batch).logprobs, roles.policy_pass(batch).logprobs)
    assert not any(module.training for module in roles.peft.modules())


@torch.no_grad()
def test_the_value_adapter_does_not_touch_the_policy(model_folder):
    roles, batch = perturb(load_roles(model_folder("llama"), critic="adapter")), uneven_batch()
    before = roles.policy_pass(batch)
    for parameter in roles.value_parameters():
        parameter.mul_(3.0)
    after = roles.policy_pass(batch)
    assert torch.equal(before.logprobs, after.logprobs)
    assert (before.values - after.values).abs().max() > 0.01


def test_with_a_value_adapter_the_value_loss_gives_the_policy_no_gradient(model_folder):
    roles, batch = perturb(load_roles(model_folder("llama"), critic="adapter")), uneven_batch()
    roles.policy_pass(batch).values.square().sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in roles.policy_parameters())
    assert all(p.grad.any() for p in roles.value_parameters())


def test_with_a_value_head_the_value_loss_trains_the_trunk_too(model_folder):
    roles, batch = perturb(load_roles(model_folder("llama"))), uneven_batch()
    roles.policy_pass(batch).values.square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in roles.policy_parameters())
