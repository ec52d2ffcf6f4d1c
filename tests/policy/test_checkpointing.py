"""Activations that are computed again: the same gradients, and less that is kept for them."""

import pytest
import torch
from models import ARCHITECTURES, load_roles, long_batch, perturb

from ppo_tui.policy.attention import layout_in_force
from ppo_tui.policy.checkpointing import checkpoint_blocks

ALL = sorted(ARCHITECTURES)


def gradients(roles, batch):
    """Of everything that is trained; and the elements kept for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    for parameter in (*roles.policy_parameters(), *roles.value_parameters()):
        parameter.grad = None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = roles.policy_pass(batch, with_entropy=True, entropy_gradient=True)
    # Other roles in between, as in a step: the blocks are computed again as what they were.
    roles.reference_logprobs(batch)
    weights = torch.linspace(0.5, 1.5, batch.response_ids.numel()).view(batch.response_ids.shape)
    sum((weights * part).sum() for part in output).backward()
    parameters = [*roles.policy_parameters(), *roles.value_parameters()]
    return torch.cat([p.grad.flatten() for p in parameters]), sum(kept.values())


CASES = [
    *((architecture, True, "head") for architecture in ALL),
    ("gemma3", False, "head"),
    ("llama", True, "adapter"),
    ("gpt2", False, "adapter"),
]


@pytest.mark.parametrize(("architecture", "packing", "critic"), CASES)
def test_gradients_are_the_same_and_less_is_kept(model_folder, architecture, packing, critic):
    roles = perturb(load_roles(model_folder(architecture), packing=packing, critic=critic))
    expected, whole = gradients(roles, long_batch())
    assert roles.checkpoint_activations()
    assert roles.checkpoints
    found, part = gradients(roles, long_batch())
    assert (found - expected).norm() / expected.norm() < 1e-6
    assert part < 0.7 * whole
    assert layout_in_force() is None


@pytest.mark.parametrize("options", [{"quantization": "nf4"}, {"dtype": "bfloat16"}])
def test_with_4_and_16_bits_as_well(model_folder, options):
    roles = perturb(load_roles(model_folder("llama"), **options))
    expected, _ = gradients(roles, long_batch())
    roles.checkpoint_activations()
    found, _ = gradients(roles, long_batch())
    assert (found - expected).norm() / expected.norm() < 1e-6


def test_the_numbers_of_a_pass_are_the_same_to_the_last_bit(model_folder):
    roles, batch = perturb(load_roles(model_folder("gpt2"))), long_batch()
    before = roles.policy_pass(batch)
    roles.checkpoint_activations()
    after = roles.policy_pass(batch)
    assert torch.equal(before.logprobs, after.logprobs)
    assert torch.equal(before.values, after.values)


def test_the_role_after_a_backward_pass_is_the_one_before_it(model_folder):
    roles, batch = perturb(load_roles(model_folder("llama"), critic="adapter")), long_batch()
    roles.checkpoint_activations()
    reference = roles.reference_logprobs(batch)
    output = roles.policy_pass(batch)
    again = roles.reference_logprobs(batch)
    (output.logprobs.sum() + output.values.sum()).backward()
    assert torch.equal(again, reference)
    assert roles._role == "reference"
    layer = roles._layers[0]
    assert layer.disable_adapters
    # And what was frozen meanwhile is trained again.
    assert all(p.requires_grad for p in (*roles.policy_parameters(), *roles.value_parameters()))


def test_dropout_stays_off(model_folder):
    roles, batch = perturb(load_roles(model_folder("gpt2"))), long_batch()
    roles.checkpoint_activations()
    one, _ = gradients(roles, batch)
    other, _ = gradients(roles, batch)
    assert torch.equal(one, other)
    assert not any(module.training for module in roles.peft.modules())


def test_blocks_are_wrapped_once(model_folder):
    roles, batch, runs = perturb(load_roles(model_folder("llama"))), long_batch(), []
    block = roles.base.model.model.layers[0]
    block.mlp.register_forward_pre_hook(lambda *seen: runs.append(1))
    assert roles.checkpoint_activations()
    assert roles.checkpoint_activations()
    roles.policy_pass(batch).logprobs.sum().backward()
    assert len(runs) == 2
    runs.clear()
    roles.reference_logprobs(batch)
    assert len(runs) == 1


def test_a_model_without_such_blocks_is_left_as_it_is():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert not checkpoint_blocks(model, torch.no_grad)
    assert "forward" not in vars(model[0])
