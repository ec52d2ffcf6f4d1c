"""Numbers that are not finite, wherever they come from: undone, tried again, given up honestly."""

import math

import pytest
import torch

from ppo_tui.errors import RewardError
from ppo_tui.training.batches import StepRecord
from ppo_tui.training.undo import TRIES, NotFinite
from training.toys import make_trainer, trained_weights

NAN = float("nan")


def broken_times(trainer, where, times, value=NAN):
    """Let the first so many numbers of a kind be broken; how often they were, as a list."""
    roles, broken = trainer.roles, []

    def due(kind):
        if kind == where and len(broken) < times:
            broken.append(kind)
            return True
        return False

    sample, policy_pass, reference = (
        roles.decoder.sample,
        roles.policy_pass,
        roles.reference_logprobs,
    )

    def sampled(*given, **how):
        result = sample(*given, **how)
        if due("rollout"):
            result.logprobs[0, 0] = value
        return result

    def passed(*given, **how):
        output = policy_pass(*given, **how)
        training = torch.is_grad_enabled()
        if not training and due("scoring"):
            output.logprobs[0, 0] = value
        if not training and due("critic"):
            output.values[0, 0] = value
        if training and due("loss"):
            output = output._replace(logprobs=output.logprobs * value)
        if training and due("gradient"):
            hooked = output.logprobs.clone()
            hooked.register_hook(lambda gradient: gradient * value)
            output = output._replace(logprobs=hooked)
        return output

    def referred(*given, **how):
        result = reference(*given, **how)
        if due("reference"):
            result[0, 0] = value
        return result

    roles.decoder.sample, roles.policy_pass, roles.reference_logprobs = sampled, passed, referred
    score = trainer.reward.score

    def scored(samples):
        if due("reward"):
            raise RewardError("Reward term 'x': it returned nan.", code="reward.not_finite")
        return score(samples)

    trainer.reward.score = scored
    return broken


def draws(trainer):
    """Where the random numbers and the data stand."""
    return [
        trainer.sampling_rng.get_state().tolist(),
        trainer.shuffle_rng.get_state().tolist(),
        trainer.stream.state_dict(),
        trainer.scorer.moments.state_dict(),
        trainer.kl.coef,
    ]


def moments(trainer):
    state = trainer.optimizer.state_dict()["state"]
    return [
        state[number][name].clone() for number in sorted(state) for name in sorted(state[number])
    ]


def undone_notes(record: StepRecord):
    return [note for note in record.health if note.code == "health.step_undone"]


PLACES = ["rollout", "scoring", "critic", "reference", "loss", "gradient", "reward"]
QUIET = {"ratings": {"pool": 0}, "reward": {"scaling": "running"}}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("value", [NAN, math.inf])
def test_a_step_that_broke_is_done_again_on_other_texts(small_config, where, value):
    config = small_config(**QUIET)
    trainer, undisturbed = make_trainer(config), make_trainer(config)
    broken = broken_times(trainer, where, 1, value)
    record, other = next(trainer.steps()), next(undisturbed.steps())
    assert broken == [where]
    assert record.step == trainer.step == 1
    (note,) = undone_notes(record)
    assert note.happened
    assert "Step 1 was undone: " in note.message
    assert "learning rate times 0.25" in note.message
    assert note.hint
    assert record.metrics["optim/lr"] == pytest.approx(other.metrics["optim/lr"] / 4)
    assert all(torch.isfinite(tensor).all() for tensor in trained_weights(trainer))
    assert all(math.isfinite(v) for k, v in record.metrics.items() if k.startswith("policy/"))
    # The second try took the next prompts, and the statistics have seen one batch only.
    undisturbed.stream.take(config.rollout.batch_size)
    assert trainer.stream.state_dict() == undisturbed.stream.state_dict()
    assert trainer.scorer.moments.count == config.rollout.batch_size


@pytest.mark.parametrize("where", PLACES)
def test_a_step_that_cannot_be_done_leaves_everything_as_it_was(small_config, where):
    trainer = make_trainer(small_config(**QUIET))
    steps = trainer.steps()
    next(steps)
    before, moved, stood = trained_weights(trainer), moments(trainer), draws(trainer)
    broken = broken_times(trainer, where, 100)
    with pytest.raises((NotFinite, RewardError)) as caught:
        next(steps)
    assert len(broken) >= TRIES  # a scoring of two minibatches breaks twice
    assert caught.value.code == (
        "reward.not_finite" if where == "reward" else "training.not_finite"
    )
    assert f"Step 2 was tried {TRIES} times" in caught.value.message
    assert trainer.step == 1
    # What the policy says before anything has changed is of the state, which is not worth keeping.
    assert trainer.intact == (where in ("loss", "gradient", "reward"))
    for was, now in ((before, trained_weights(trainer)), (moved, moments(trainer))):
        assert all(torch.equal(one, other) for one, other in zip(was, now, strict=True))
    assert draws(trainer) == stood


def test_weights_that_a_rate_beyond_all_measure_makes_are_undone(small_config):
    """Nothing is broken by hand here: the optimiser itself makes the numbers."""
    trainer = make_trainer(small_config(optim={"lr": 1e30}, ppo={"epochs": 1, "minibatches": 1}))
    before = trained_weights(trainer)
    with pytest.raises(NotFinite) as caught:
        next(trainer.steps())
    assert "After the update" in caught.value.message or "The update" in caught.value.message
    assert all(
        torch.equal(one, other) for one, other in zip(before, trained_weights(trainer), strict=True)
    )


def test_what_comes_after_a_failure_is_what_would_have_come(small_config):
    config = small_config(**QUIET)
    failed, straight = make_trainer(config), make_trainer(config)
    steps = failed.steps()
    next(steps)
    heal = broken_times(failed, "loss", TRIES)
    with pytest.raises(NotFinite):
        next(steps)
    assert len(heal) == TRIES
    going_on, never_failed = failed.steps(), straight.steps()
    next(never_failed)
    for _ in range(2):
        one, other = next(going_on), next(never_failed)
        assert [s.response for s in one.samples] == [s.response for s in other.samples]
        assert one.metrics["policy/loss"] == other.metrics["policy/loss"]
    for one, other in zip(trained_weights(failed), trained_weights(straight), strict=True):
        assert torch.equal(one, other)


def test_any_other_failure_is_not_tried_again_and_undone_all_the_same(small_config):
    trainer = make_trainer(small_config(**QUIET))
    before, stood = trained_weights(trainer), draws(trainer)
    step = trainer.optimizer.step
    calls = []

    def breaks_down():
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("no such thing")
        return step()

    trainer.optimizer.step = breaks_down
    with pytest.raises(ValueError, match="no such thing"):
        next(trainer.steps())
    assert len(calls) == 2
    assert trainer.intact
    assert draws(trainer) == stood
    for one, other in zip(before, trained_weights(trainer), strict=True):
        assert torch.equal(one, other)
