"""The longest batch there can be, tried before the first step, and what is learnt from it."""

import pytest
import torch

from ppo_tui.errors import OutOfMemory
from training.toys import make_trainer, trained_weights


def tried(trainer):
    """The prompts', responses' and rows' sizes of all passes of the policy from now on."""
    seen, real = [], trainer.roles.policy_pass

    def look(batch, **how):
        seen.append(batch)
        return real(batch, **how)

    trainer.roles.policy_pass = look
    return seen


def test_it_tries_a_whole_minibatch_of_the_longest_prompts_with_full_responses(small_config):
    trainer = make_trainer(small_config())
    seen = tried(trainer)
    trainer.rehearse()
    (batch,) = seen
    longest = sorted((len(prompt.ids) for prompt in trainer.data.train), reverse=True)
    assert batch.prompt_lengths.tolist() == longest[:4]
    assert batch.response_lengths.tolist() == [6] * 4


def test_more_rows_than_prompts_are_the_longest_ones_again(small_config):
    config = small_config(rollout={"batch_size": 32}, ppo={"minibatches": 1})
    trainer = make_trainer(config)
    seen = tried(trainer)
    trainer.rehearse()
    prompts = len(trainer.data.train)
    assert prompts < 32
    lengths = seen[0].prompt_lengths.tolist()
    assert len(lengths) == 32
    assert lengths == sorted(lengths, reverse=True)
    assert lengths.count(lengths[0]) >= 32 // prompts


@pytest.mark.parametrize("ppo", [{}, {"value": "adapter", "entropy_coef": 0.01}])
def test_nothing_is_learnt_from_it_and_no_random_number_drawn(small_config, ppo):
    quiet, rehearsing = (make_trainer(small_config(ppo=ppo)) for _ in range(2))
    before = trained_weights(rehearsing)
    state = torch.get_rng_state()
    rehearsing.rehearse()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, trained_weights(rehearsing), strict=True))
    roles = rehearsing.roles
    assert all(p.grad is None for p in (*roles.policy_parameters(), *roles.value_parameters()))
    one, other = next(quiet.steps()), next(rehearsing.steps())
    assert one.metrics["policy/loss"] == other.metrics["policy/loss"]
    assert [s.response for s in one.samples] == [s.response for s in other.samples]
    assert all(
        torch.equal(a, b)
        for a, b in zip(trained_weights(quiet), trained_weights(rehearsing), strict=True)
    )


def scarce(trainer, rows):
    """Passes of the policy over more than so many responses run out of memory; their sizes."""
    sizes, real = [], trainer.roles.policy_pass

    def look(batch, **how):
        sizes.append(len(batch))
        if len(batch) > rows:
            torch.empty(2**60, dtype=torch.uint8)
        return real(batch, **how)

    trainer.roles.policy_pass = look
    return sizes


def test_what_does_not_fit_shows_before_the_first_step_and_is_halved(small_config):
    trainer = make_trainer(small_config())
    sizes = scarce(trainer, rows=1)
    trainer.rehearse()
    assert sizes == [4, 2, 1]
    assert trainer.room.limit.sequences == 1
    sizes.clear()
    record = next(trainer.steps())
    assert set(sizes) == {1}
    assert [note.code for note in record.health] == ["health.memory"] * 2


def test_where_not_even_one_response_fits_the_run_ends_before_it_begins(small_config):
    trainer = make_trainer(small_config())
    sizes = scarce(trainer, rows=0)
    with pytest.raises(OutOfMemory) as caught:
        trainer.rehearse()
    assert caught.value.code == "memory.step"
    assert sizes == [4, 2, 1, 1]
    assert trainer.step == 0
    roles = trainer.roles
    assert all(p.grad is None for p in (*roles.policy_parameters(), *roles.value_parameters()))
