"""Sequences end to end say and learn what they do as padded rows, and cost their real tokens."""

import pytest
import torch
from models import (
    ARCHITECTURES,
    batch_of,
    even_batch,
    load_roles,
    long_batch,
    perturb,
    random_ids,
    uneven_batch,
)

from ppo_tui.policy.packing import pack, pack_ids, predicting

ALL = sorted(ARCHITECTURES)
PACKED = [name for name in ALL if name != "gemma2"]


def single_batch():
    return batch_of([random_ids(9, 1)], [random_ids(8, 2)])


BATCHES = {
    "uneven": uneven_batch,
    "long": long_batch,
    "even": even_batch,
    "single": single_batch,
}


def both_ways(folder, **options):
    """The same trained model, which computes packed and padded."""
    packed, padded = (
        perturb(load_roles(folder, packing=packing, **options)) for packing in (True, False)
    )
    assert packed.packs
    assert not padded.packs
    return packed, padded


def outcome(roles, batch):
    """All that a pass says, and the gradients of a sum of all that."""
    output = roles.policy_pass(batch, with_entropy=True, entropy_gradient=True)
    weights = torch.linspace(0.5, 1.5, batch.response_ids.numel()).view(batch.response_ids.shape)
    sum((weights * part).sum() for part in output).backward()
    parameters = [*roles.policy_parameters(), *roles.value_parameters()]
    gradients = [p.grad.flatten() for p in parameters if p.grad is not None]
    assert len(gradients) == len(parameters)
    return [part.detach() for part in output], torch.cat(gradients)


def relative(one, other):
    return float((one - other).norm() / other.norm())


def test_every_architecture_but_the_one_with_a_soft_cap_in_its_attention_packs(model_folder):
    assert [name for name in ALL if load_roles(model_folder(name)).packs] == PACKED


CASES = [*((architecture, "head") for architecture in PACKED), ("llama", "adapter")]


@pytest.mark.parametrize(("architecture", "critic"), CASES)
def test_what_a_pass_says_and_its_gradients_are_those_of_padded_rows(
    model_folder, architecture, critic
):
    packed, padded = both_ways(model_folder(architecture), critic=critic)
    for make in (uneven_batch, long_batch):
        for roles in (packed, padded):
            for parameter in (*roles.policy_parameters(), *roles.value_parameters()):
                parameter.grad = None
        found, gradients = outcome(packed, make())
        expected, expected_gradients = outcome(padded, make())
        for one, other in zip(found, expected, strict=True):
            assert (one - other).abs().max() < 1e-4
            assert other.abs().max() > 1e-2
        assert relative(gradients, expected_gradients) < 1e-4


@pytest.mark.parametrize("batch", ["even", "single"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_rows_of_like_length_and_a_single_row_are_no_exception(model_folder, architecture, batch):
    packed, padded = both_ways(model_folder(architecture))
    found, gradients = outcome(packed, BATCHES[batch]())
    expected, expected_gradients = outcome(padded, BATCHES[batch]())
    assert all((a - b).abs().max() < 1e-4 for a, b in zip(found, expected, strict=True))
    assert relative(gradients, expected_gradients) < 1e-4


@pytest.mark.parametrize(
    ("options", "bound"),
    [({"quantization": "nf4"}, 1e-4), ({"dtype": "bfloat16"}, 5e-2)],
)
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_4_bits_and_16_bits_pack_as_well(model_folder, architecture, options, bound):
    packed, padded = both_ways(model_folder(architecture), **options)
    found, gradients = outcome(packed, long_batch())
    expected, expected_gradients = outcome(padded, long_batch())
    mean = [(a - b).abs().mean() for a, b in zip(found, expected, strict=True)]
    assert all(difference < bound for difference in mean)
    assert relative(gradients, expected_gradients) < bound


@pytest.mark.parametrize("batch", ["uneven", "long"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "opt"])
@torch.no_grad()
def test_reference_readings_and_pooled_states_are_those_of_padded_rows(
    model_folder, tmp_path, architecture, batch
):
    packed, padded = both_ways(model_folder(architecture))
    packed.save_adapter("policy", tmp_path / "reward")
    results = []
    for roles in (packed, padded):
        roles.load_reward_adapter("taste", tmp_path / "reward")
        rows = BATCHES[batch]()
        logprobs, reading = roles.reference_reading(rows)
        results.append(
            [
                logprobs,
                torch.from_numpy(reading),
                roles.reference_logprobs(rows),
                roles.policy_pooled(rows),
                roles.pooled("taste", rows),
            ]
        )
    for one, other in zip(*results, strict=True):
        assert other.abs().max() > 1e-2
        assert (one - other).abs().max() < 1e-4 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_packed_pass_computes_the_real_tokens_and_no_others(model_folder, architecture):
    packed, padded = both_ways(model_folder(architecture))
    batch, seen = long_batch(), []
    for roles in (packed, padded):
        blocks = [m for name, m in roles.peft.named_modules() if name.endswith(".mlp")]
        assert len(blocks) == 2
        handle = blocks[0].register_forward_hook(
            lambda module, inputs, output: seen.append(inputs[0].shape[:-1].numel())
        )
        roles.policy_pass(batch)
        handle.remove()
    # 4 + 19 + 13 + 10 tokens, where the padded rows are 9 + 10 wide.
    assert seen == [46, 4 * 19]


def test_sequences_lie_end_to_end_each_from_position_0():
    packed = pack(batch_of([[5, 6], [7]], [[8], [9, 10]]))
    assert packed.ids.tolist() == [[5, 6, 8, 7, 9, 10]]
    assert packed.positions.tolist() == [[0, 1, 2, 0, 1, 2]]
    assert packed.starts.tolist() == [0, 3]
    same = pack_ids([[5, 6, 8], [7, 9, 10]], torch.device("cpu"))
    assert same.ids.tolist() == packed.ids.tolist()
    assert same.positions.tolist() == packed.positions.tolist()
    assert same.starts.tolist() == [0, 3]


def test_a_token_is_predicted_one_place_before_its_own():
    batch = batch_of([[5, 6], [7]], [[8], [9, 10]])
    assert predicting(batch, pack(batch)).tolist() == [1, 3, 4]
