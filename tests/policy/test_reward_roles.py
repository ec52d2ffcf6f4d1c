"""A reward adapter beside policy and critic: it reads, and nobody else notices that it is there."""

import json

import pytest
import torch
from models import EOS, base_weights, batch_of, load, perturb, random_ids, uneven_batch

from ppo_tui.config.schema import AdapterConfig
from ppo_tui.errors import RewardError
from ppo_tui.policy.roles import Roles

CASES = [("llama", "none"), ("gpt2", "none"), ("llama", "nf4"), ("gpt_neox", "none")]
SOME = {"llama": ("q_proj", "v_proj"), "gpt2": ("c_fc",), "gpt_neox": ("query_key_value",)}


def roles_of(model_folder, architecture, quantization="none", *, targets="all-linear", **more):
    base = load(model_folder(architecture), quantization)
    return Roles(base, AdapterConfig(rank=4, targets=targets), **more)


@pytest.fixture
def trained(model_folder, tmp_path):
    """Makes a reward adapter as the training does: it is the only adapter of its model."""

    def make(architecture, quantization="none", *, rank=2, targets="all-linear"):
        base = load(model_folder(architecture), quantization)
        roles = perturb(Roles(base, AdapterConfig(rank=rank, targets=targets), seed=9))
        folder = tmp_path / f"{architecture}-{quantization}-{rank}"
        roles.save_adapter("policy", folder)
        return folder, roles

    return make


def numbers(roles, batch):
    """All that a step computes: passes of the three roles, gradients, and merged sampling."""
    output = roles.policy_pass(batch, with_entropy=True)
    loss = output.logprobs.sum() + output.values.square().sum() + output.entropies.sum()
    loss.backward()
    trained = (*roles.policy_parameters(), *roles.value_parameters())
    gradients = [p.grad.clone() for p in trained if p.grad is not None]
    for parameter in trained:
        parameter.grad = None
    ids, mask, positions = batch.model_inputs()
    with torch.no_grad(), roles.sampling() as trunk:
        merged = trunk.head(trunk(ids, mask, positions).features)[mask.bool()]
    return [*output, roles.reference_logprobs(batch), merged, *gradients]


@pytest.mark.parametrize(("architecture", "quantization"), CASES)
def test_it_reads_what_it_read_when_it_was_trained(
    model_folder, trained, architecture, quantization
):
    folder, alone = trained(architecture, quantization)
    roles = perturb(roles_of(model_folder, architecture, quantization, critic="adapter"))
    roles.load_reward_adapter("taste", folder)
    batch = uneven_batch()
    expected = alone.policy_pooled(batch).detach()
    pooled = roles.pooled("taste", batch)
    assert pooled.dtype == torch.float32
    assert pooled.shape == (len(batch), 64)
    assert not pooled.requires_grad
    assert (pooled - expected).abs().max() < 1e-5
    assert (pooled - roles.policy_pooled(batch)).abs().max() > 1e-3


@pytest.mark.parametrize("critic", ["head", "adapter"])
@pytest.mark.parametrize(("architecture", "quantization"), CASES)
@pytest.mark.parametrize("policys", ["all layers", "some layers"])
def test_the_others_compute_the_same_to_the_last_bit(
    model_folder, trained, architecture, quantization, critic, policys
):
    some = SOME[architecture]
    targets, its = ("all-linear", some) if policys == "all layers" else (some, "all-linear")
    folder, _ = trained(architecture, quantization, targets=its)
    without = roles_of(model_folder, architecture, quantization, targets=targets, critic=critic)
    with_it = roles_of(model_folder, architecture, quantization, targets=targets, critic=critic)
    before = torch.get_rng_state()
    with_it.load_reward_adapter("taste", folder)
    assert torch.equal(torch.get_rng_state(), before)
    batch = uneven_batch()
    for one, other in zip(numbers(without, batch), numbers(with_it, batch), strict=True):
        assert torch.equal(one, other)
    perturb(without)
    perturb(with_it)
    with_it.pooled("taste", batch)
    for one, other in zip(numbers(without, batch), numbers(with_it, batch), strict=True):
        assert torch.equal(one, other)


def test_sampling_gives_the_base_back_and_leaves_the_rewards_own_layers_alone(
    model_folder, trained
):
    folder, _ = trained("gpt2")
    roles = perturb(roles_of(model_folder, "gpt2", targets=("c_fc",)))
    roles.load_reward_adapter("taste", folder)
    before = base_weights(roles)
    with roles.sampling():
        changed = {n for n, w in base_weights(roles).items() if not torch.equal(w, before[n])}
    assert len(changed) == 2
    assert all("c_fc" in name for name in changed)
    after = base_weights(roles)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_it_is_never_trained_and_never_saved(model_folder, trained, tmp_path):
    folder, _ = trained("llama")
    roles = roles_of(model_folder, "llama", critic="adapter")
    count = len(roles.policy_parameters()), len(roles.value_parameters())
    roles.load_reward_adapter("taste", folder)
    batch = uneven_batch()
    assert roles.adapter_names() == ["policy", "value"]
    assert (len(roles.policy_parameters()), len(roles.value_parameters())) == count
    its = [p for name, p in roles.peft.named_parameters() if ".reward_0." in name]
    assert len(its) == 2 * 2 * 7  # A and B, of the seven linear layers of two blocks
    for work in (roles.policy_pass, lambda b: roles.pooled("taste", b), roles.reference_logprobs):
        work(batch)
        assert not any(p.requires_grad for p in its)
        assert all(p.requires_grad for p in roles.policy_parameters())
    roles.save_adapter("policy", tmp_path / "saved")
    plain = roles_of(model_folder, "llama", critic="adapter")
    plain.load_adapter("policy", tmp_path / "saved")
    plain.save_adapter("policy", tmp_path / "again")
    names = ("adapter_model.safetensors", "adapter_config.json")
    for name in names:
        one, other = ((tmp_path / f / name).read_bytes() for f in ("saved", "again"))
        assert one == other


def test_two_of_them_of_any_name_do_not_mix(model_folder, trained):
    first, alone = trained("llama", rank=2)
    second, other = trained("llama", rank=3, targets=("q_proj",))
    roles = roles_of(model_folder, "llama")
    roles.load_reward_adapter("policy", first)
    roles.load_reward_adapter("a.b-c", second)
    batch = uneven_batch()
    for name, expected in (("a.b-c", other), ("policy", alone), ("a.b-c", other)):
        read = roles.pooled(name, batch)
        assert (read - expected.policy_pooled(batch)).abs().max() < 1e-5


def test_padding_and_the_end_token_change_nothing(model_folder, trained):
    folder, _ = trained("llama")
    roles = roles_of(model_folder, "llama")
    roles.load_reward_adapter("taste", folder)
    prompts, response = [random_ids(3, 1), random_ids(8, 2)], random_ids(5, 3)
    together = roles.pooled("taste", batch_of(prompts, [[*response, EOS], random_ids(9, 4)]))
    alone = roles.pooled("taste", batch_of(prompts[:1], [response]))
    assert (together[0] - alone[0]).abs().max() < 1e-5
    empty = roles.pooled("taste", batch_of(prompts[:1], [[EOS]]))
    assert empty.isfinite().all()


def test_the_state_at_the_last_token_of_the_response(model_folder):
    roles = perturb(roles_of(model_folder, "llama"))
    prompt, response = random_ids(4, 1), random_ids(3, 2)
    with roles.sampling(merge=False):
        model = roles.peft.get_base_model().model
        states = model(input_ids=torch.tensor([prompt + response])).last_hidden_state[0]
    pooled = roles.policy_pooled(batch_of([prompt], [response]))
    torch.testing.assert_close(pooled[0], states[6], rtol=1e-5, atol=1e-5)


def test_one_of_another_base_is_refused(model_folder, trained):
    folder, _ = trained("gpt2")
    with pytest.raises(RewardError, match="does not fit this base model") as refused:
        roles_of(model_folder, "llama").load_reward_adapter("taste", folder)
    assert refused.value.code == "reward.other_base"
    wider, _ = trained("llama")
    with pytest.raises(RewardError, match="is not as in the model") as refused:
        roles_of(
            lambda _: model_folder("llama", intermediate_size=32), "llama"
        ).load_reward_adapter("taste", wider)
    assert refused.value.code == "reward.other_base"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"peft_type": "IA3"}, "it is no LoRA"),
        ({"r": 4096}, "its rank is no number from 1 to 1024"),
        ({"r": 3}, "its rank is not that of its weights"),
        ({"lora_alpha": "big"}, "its alpha is no positive number"),
        ({"target_modules": ".*"}, "its layers are no list of names"),
        ({"modules_to_save": ["lm_head"]}, "it is more than a plain LoRA"),
        (None, "cannot be read"),
    ],
)
def test_a_damaged_one_says_what_is_wrong(model_folder, trained, change, sentence):
    folder, _ = trained("llama")
    path = folder / "adapter_config.json"
    path.write_text("{" if change is None else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RewardError, match=sentence) as refused:
        roles_of(model_folder, "llama").load_reward_adapter("taste", folder)
    assert refused.value.code == "reward.artefact_damaged"
