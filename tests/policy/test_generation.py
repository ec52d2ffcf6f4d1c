"""What is sampled is the scored distribution, and each row minds its own business."""

import pytest
import torch
from models import ARCHITECTURES, EOS, edit_json, load_roles, perturb, random_ids, save_model

from ppo_tui.policy.generation import finished, generate
from ppo_tui.policy.sampling import sample


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(logits, count, temperature, **cut):
    uniforms = torch.rand(count, generator=seeded(), dtype=torch.float64)
    tokens = sample(logits.expand(count, -1), uniforms, temperature, **cut)
    return tokens.bincount(minlength=logits.shape[-1]).double()


LOGITS = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0, -3.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_sampled_distribution_is_the_softmax_of_the_logits_at_the_temperature(temperature):
    counts = draws(LOGITS, 40_000, temperature)
    expected = 40_000 * (LOGITS.double() / temperature).softmax(-1)
    # The 99.9 % quantile of chi-square with 5 degrees of freedom.
    assert ((counts - expected) ** 2 / expected).sum() < 20.5


def test_top_k_keeps_the_likeliest_and_their_proportions():
    counts = draws(LOGITS, 20_000, 1.0, top_k=3)
    assert counts.nonzero().flatten().tolist() == [0, 2, 4]
    kept = LOGITS[[0, 2, 4]].double().softmax(-1) * 20_000
    assert ((counts[[0, 2, 4]] - kept) ** 2 / kept).sum() < 13.8


def test_top_p_keeps_the_fewest_that_hold_the_probability():
    # Probabilities 0.5, 0.3, 0.15, 0.05: two of them hold 0.8, three are needed for 0.81.
    logits = torch.tensor([0.3, 0.05, 0.5, 0.15]).log()
    assert draws(logits, 5_000, 1.0, top_p=0.79).nonzero().flatten().tolist() == [0, 2]
    assert draws(logits, 5_000, 1.0, top_p=0.81).nonzero().flatten().tolist() == [0, 2, 3]
    assert draws(logits, 5_000, 1.0, top_p=0.01).nonzero().flatten().tolist() == [2]


def test_top_k_and_top_p_together_cut_twice():
    logits = torch.tensor([0.3, 0.05, 0.5, 0.15]).log()
    # Of the three that top_k keeps, the first two hold 0.8 / 0.95 = 0.84.
    counts = draws(logits, 5_000, 1.0, top_k=3, top_p=0.84)
    assert counts.nonzero().flatten().tolist() == [0, 2]


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_a_token_without_probability_is_never_drawn(uniform):
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    token = sample(logits, torch.tensor([uniform], dtype=torch.float64), 1.0)
    assert token.item() in (1, 3)


def greedy_by_transformers(roles, prompt, tokens):
    model = roles.peft.get_base_model()
    ids = torch.tensor([prompt])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=tokens,
        pad_token_id=roles.base.vocabulary.pad_id,
    )
    return output[0, len(prompt) :].tolist()


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@torch.no_grad()
def test_at_a_tiny_temperature_it_writes_what_transformers_writes(
    model_folder, architecture, quantization
):
    # Longer than the sliding window of 6 of Mistral and Gemma 3, in a batch of uneven prompts.
    roles = load_roles(model_folder(architecture), quantization=quantization, temperature=1e-4)
    perturb(roles)
    prompts = [random_ids(length, seed=length) for length in (1, 4, 11)]
    batch = generate(roles, prompts, 10, seeded())
    for row, prompt in enumerate(prompts):
        length = int(batch.response_lengths[row])
        ours = batch.response_ids[row, :length].tolist()
        with roles.sampling():
            theirs = greedy_by_transformers(roles, prompt, 10)
        assert ours == theirs[:length]
        assert length == len(theirs) or ours[-1] == EOS


@pytest.fixture
def ending(tmp_path):
    """A model for which half of all tokens end a response."""
    folder = save_model(tmp_path, "llama")
    edit_json(folder / "generation_config.json", eos_token_id=list(range(2, 152)))
    return load_roles(folder)


def test_a_response_ends_with_its_first_end_token(ending):
    batch = generate(ending, [random_ids(3, seed) for seed in range(40)], 6, seeded())
    ends = set(ending.base.vocabulary.eos_ids)
    done = finished(batch, ending.base.vocabulary.eos_ids).tolist()
    for row, length in enumerate(batch.response_lengths.tolist()):
        tokens = batch.response_ids[row].tolist()
        assert 1 <= length <= 6
        assert not set(tokens[: length - 1]) & ends
        assert (tokens[length - 1] in ends) == done[row]
        assert done[row] or length == 6
        assert set(tokens[length:]) <= {ending.base.vocabulary.pad_id}
    assert {1, 2, 3} <= set(batch.response_lengths.tolist())


def test_no_column_is_only_padding(ending):
    batch = generate(ending, [[5]] * 3, 50, seeded())
    assert batch.response_ids.shape[1] == int(batch.response_lengths.max()) < 50


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_what_a_row_samples_does_not_depend_on_the_others(model_folder, architecture):
    roles = load_roles(model_folder(architecture))
    prompts = [random_ids(length, seed=length) for length in (4, 9, 1)]
    together = generate(roles, prompts, 8, seeded())
    alone = generate(roles, prompts[:1], 8, seeded())
    length = int(alone.response_lengths[0])
    assert int(together.response_lengths[0]) == length
    assert together.response_ids[0, :length].tolist() == alone.response_ids[0, :length].tolist()


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_how_many_rows_are_generated_at_once_changes_nothing(ending, rows):
    prompts = [random_ids(1 + seed, seed) for seed in range(7)]
    whole = generate(ending, prompts, 6, seeded())
    parts = generate(ending, prompts, 6, seeded(), rows_at_once=rows)
    assert torch.equal(whole.prompt_ids, parts.prompt_ids)
    assert torch.equal(whole.response_ids, parts.response_ids)
    assert torch.equal(whole.response_lengths, parts.response_lengths)


def test_the_same_seed_writes_the_same_text_and_another_one_does_not(model_folder):
    roles = load_roles(model_folder("llama"))
    one, same, other = (
        generate(roles, [[5, 6]] * 8, 6, seeded(seed)).response_ids for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_reference_answers_as_the_base_model_and_not_as_the_policy(model_folder):
    fresh = load_roles(model_folder("llama"))
    tuned = perturb(load_roles(model_folder("llama")), scale=0.2)
    expected = generate(fresh, [[5, 6]] * 8, 6, seeded())
    reference = generate(tuned, [[5, 6]] * 8, 6, seeded(), reference=True)
    policy = generate(tuned, [[5, 6]] * 8, 6, seeded())
    assert torch.equal(reference.response_ids, expected.response_ids)
    assert not torch.equal(policy.response_ids, expected.response_ids)


def test_sampled_responses_have_the_probability_that_is_scored(model_folder):
    # The mean log-probability of samples is minus the mean entropy of what they were drawn from.
    roles = perturb(load_roles(model_folder("llama"), temperature=0.8))
    batch = generate(roles, [[5, 6, 7]] * 600, 3, seeded())
    with torch.no_grad():
        output = roles.policy_pass(batch, with_entropy=True)
    gap = (output.logprobs + output.entropies)[batch.response_mask]
    assert gap.mean().abs() < 4 * gap.std() / len(gap) ** 0.5
