"""The passes before the update: what they keep for it, and how far the sampler was from them."""

import dataclasses

import numpy as np
import pytest
import torch

from ppo_tui.rewards.protocol import REFERENCE
from ppo_tui.training.health import check_step
from ppo_tui.training.measuring import Measurer
from training.toys import make_trainer, measured_of, trained_weights

SINGLE = {"epochs": 1, "minibatches": 1, "entropy_coef": 0.01}


def relative(one, other):
    flat = [torch.cat([t.flatten() for t in tensors]) for tensors in (one, other)]
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


def count_passes(trainer):
    """The sizes of all passes of the policy from now on, and whether they were for training.

    Not the one over a short text by which an update looks at what it has made.
    """
    seen, real = [], trainer.roles.policy_pass

    def look(batch, **how):
        if how:
            seen.append((len(batch), torch.is_grad_enabled()))
        return real(batch, **how)

    trainer.roles.policy_pass = look
    return seen


@pytest.mark.parametrize("critic", ["head", "adapter"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_single_update_takes_its_loss_from_the_pass_that_was_measured(
    small_config, critic, checkpointing
):
    config = small_config(ppo=SINGLE | {"value": critic}, optim={"lr": 1e-3})
    keeping, anew = make_trainer(config), make_trainer(config)
    anew._measurer._keep_pass = False
    start = trained_weights(keeping)
    counts = []
    for trainer in (keeping, anew):
        if checkpointing:
            trainer.roles.checkpoint_activations()
        seen = count_passes(trainer)
        run = trainer.steps()
        records = [next(run) for _ in range(2)]
        counts.append(seen)
        assert records[-1].metrics["policy/ratio_first"] == 1.0
        assert [note for record in records for note in record.health] == []
    assert counts == [[(8, True)] * 2, [(8, False), (8, True)] * 2]
    assert relative(start, trained_weights(keeping)) > 1e-3
    assert relative(trained_weights(anew), trained_weights(keeping)) < 1e-6


def test_of_several_micro_batches_none_is_kept(small_config):
    config = small_config(ppo=SINGLE | {"micro_batch_size": 4}, optim={"lr": 1e-3})
    trainer = make_trainer(config)
    seen = count_passes(trainer)
    next(trainer.steps())
    assert seen == [(4, False)] * 2 + [(4, True)] * 2


@pytest.mark.parametrize("ppo", [{"epochs": 2, "minibatches": 1}, {"epochs": 1, "minibatches": 2}])
def test_where_there_are_more_optimiser_steps_nothing_is_kept(small_config, ppo):
    trainer = make_trainer(small_config(ppo=ppo))
    measured = measured_of(trainer, trainer._roll_out())
    assert measured.kept is None
    assert not measured.logprobs.requires_grad
    assert not measured.values.requires_grad


def test_what_is_kept_and_runs_out_of_memory_backwards_is_computed_anew_in_parts(small_config):
    config = small_config(ppo=SINGLE, optim={"lr": 1e-3})
    quiet, trainer = make_trainer(config), make_trainer(config)
    next(quiet.steps())
    left = [1]

    def scarce(gradient):
        if left:
            left.pop()
            raise torch.OutOfMemoryError("CUDA out of memory.")

    real = trainer.roles.policy_pass

    def look(batch, **how):
        output = real(batch, **how)
        if output.logprobs.requires_grad:
            output.logprobs.register_hook(scarce)
        return output

    trainer.roles.policy_pass = look
    seen = count_passes(trainer)
    record = next(trainer.steps())
    assert seen[0] == (8, True)
    assert max(rows for rows, _ in seen[1:]) <= 4
    for training in (False, True):
        assert sum(rows for rows, trained in seen[1:] if trained == training) == 8
    assert record.metrics["policy/ratio_first"] == 1.0
    assert [note.code for note in record.health] == ["health.memory"]
    assert relative(trained_weights(quiet), trained_weights(trainer)) < 1e-5


# ---- readings


def measurer(trainer):
    return Measurer(
        trainer.roles,
        trainer.room,
        frozenset({REFERENCE}),
        keep_reading=False,
        entropy_gradient=False,
        keep_pass=False,
    )


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_readings_do_not_depend_on_how_many_are_read_at_a_time(small_config, rows):
    trainer = make_trainer(small_config(ppo={"micro_batch_size": rows}))
    sequences = trainer._roll_out().sequences
    expected = trainer.roles.reference_reading(sequences)[1]
    found = measurer(trainer).read(sequences)
    assert list(found) == [REFERENCE]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found[REFERENCE], expected, atol=1e-4)


def test_readings_over_which_memory_runs_out_are_the_same(small_config):
    trainer = make_trainer(small_config())
    sequences = trainer._roll_out().sequences
    expected = measurer(trainer).read(sequences)[REFERENCE]
    real, sizes = trainer.roles.reference_reading, []

    def scarce(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(batch)

    trainer.roles.reference_reading = scarce
    found = measurer(trainer).read(sequences)[REFERENCE]
    assert sizes[0] == 4
    assert max(sizes[1:]) == 2
    assert sum(sizes[1:]) == len(sequences)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert trainer.room.limit.sequences == 2


def test_the_kl_of_a_response_is_the_sum_over_its_tokens(small_config):
    trainer = make_trainer(small_config(optim={"lr": 1e-2}))
    next(trainer.steps())
    sequences = trainer._roll_out().sequences
    with torch.no_grad():
        policy = trainer.roles.policy_pass(sequences).logprobs
        expected = (policy - trainer.roles.reference_logprobs(sequences)).sum(1)
    assert expected.abs().max() > 1e-3
    found = trainer._measurer.sequence_kl(sequences)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


# ---- the sampler and the policy in training


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_the_gap_of_sampler_and_policy_is_measured_and_small(small_config, architecture):
    run = make_trainer(small_config(architecture, optim={"lr": 1e-3})).steps()
    for record in (next(run), next(run)):
        assert 0 < record.metrics["rollout/logprob_gap"] < 1e-4
        assert record.metrics["rollout/logprob_gap_max"] < 1e-3
        assert record.health == ()


def test_a_sampler_of_other_weights_is_seen_and_said(small_config):
    trainer = make_trainer(small_config())
    rollout = trainer._roll_out()
    mask = rollout.sequences.response_mask
    shifted = dataclasses.replace(rollout, logprobs=rollout.logprobs + 0.5 * mask)
    scores, experience, _, update = trainer._learn_from(shifted)
    (note,) = check_step(trainer.config, shifted, scores, experience, update, torch.float32)
    assert note.code == "health.rollout_gap"


def test_the_gap_of_a_copy_in_16_bits_is_measured(small_config):
    config = small_config(model={"dtype": "bfloat16"}, optim={"lr": 1e-3})
    run = make_trainer(config).steps()
    next(run)
    gap = next(run).metrics["rollout/logprob_gap"]
    assert 1e-5 < gap < 0.1
