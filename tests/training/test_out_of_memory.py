"""Memory that runs out anywhere in a step: smaller micro-batches, the same step, a word of it."""

import pytest
import torch

from ppo_tui.errors import OutOfMemory
from ppo_tui.policy.decoder import Decoding
from ppo_tui.training.checkpoint import load_checkpoint, save_checkpoint
from training.toys import make_trainer, trained_weights

ROWS = 2
"""More responses than this at a time are too many."""


def in_vain():
    """What the CPU's allocator says of a tensor that no machine can hold."""
    torch.empty(2**60, dtype=torch.uint8)


def run_out():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


class _Backward(torch.autograd.Function):
    """The same number, whose backward pass calls something first."""

    @staticmethod
    def forward(ctx, x, call):
        ctx.call = call
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        ctx.call()
        return grad, None


class Scarce:
    """A trainer whose passes over more than so many responses run out of memory.

    Args:
        trainer: Whose.
        where: ``scoring``, ``forward`` or ``backward`` of the update, ``evaluation``.
        rows: The most that fits.
        after: Only when so many optimiser steps have been taken.
        error: How it runs out.

    Attributes:
        times: How often it has run out.
    """

    def __init__(self, trainer, where, rows=ROWS, after=0, error=run_out):
        self.trainer, self.where, self.rows, self.times = trainer, where, rows, 0
        self._after, self._error = after, error
        self._pass = trainer.roles.policy_pass
        trainer.roles.policy_pass = self._policy_pass

    def _steps(self):
        return max((int(s["step"]) for s in self.trainer.optimizer.state.values()), default=0)

    def _fail(self, count):
        if count > self.rows and self._steps() >= self._after:
            self.times += 1
            self._error()

    def _policy_pass(self, batch, **how):
        trained = torch.is_grad_enabled()
        if self.where == ("forward" if trained else "scoring"):
            self._fail(len(batch))
        output = self._pass(batch, **how)
        if trained and self.where == "backward":
            changed = _Backward.apply(output.logprobs, lambda: self._fail(len(batch)))
            output = output._replace(logprobs=changed)
        return output


def relative(one, other):
    flat = [torch.cat([t.flatten() for t in tensors]) for tensors in (one, other)]
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


def notes(record, code="health.memory"):
    return [note for note in record.health if note.code == code]


def undisturbed(config, steps=1):
    trainer = make_trainer(config)
    run = trainer.steps()
    records = [next(run) for _ in range(steps)]
    return records, trained_weights(trainer)


CASES = [
    ("scoring", {}, "scoring", "head"),
    ("scoring", {"error": in_vain}, "scoring", "adapter"),
    ("forward", {}, "update", "head"),
    ("backward", {}, "update", "head"),
    ("backward", {"error": in_vain}, "update", "adapter"),
    ("forward", {"after": 1}, "update", "adapter"),
    ("backward", {"after": 3}, "update", "head"),
]


@pytest.mark.parametrize(("where", "how", "phase", "critic"), CASES)
def test_the_step_goes_on_with_the_same_result(small_config, where, how, phase, critic):
    config = small_config(ppo={"value": critic, "entropy_coef": 0.01}, optim={"lr": 1e-3})
    (expected,), weights = undisturbed(config)
    trainer = make_trainer(config)
    start = trained_weights(trainer)
    scarce = Scarce(trainer, where, **how)
    record = next(trainer.steps())
    # Four responses a minibatch; then two.
    assert scarce.times == 1
    assert relative(weights, start) > 1e-3
    assert relative(weights, trained_weights(trainer)) < 1e-5
    assert [s.response for s in record.samples] == [s.response for s in expected.samples]
    for name in ("policy/loss", "value/loss", "kl/ref", "reward/total", "policy/entropy"):
        assert record.metrics[name] == pytest.approx(expected.metrics[name], abs=1e-5)
    # The ratio of the first minibatch is 1 to the last bit, or there would be a note of it.
    assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
    assert [note.code for note in record.health] == ["health.memory"]
    (note,) = notes(record)
    assert note.message.startswith(f"Memory ran out in {phase} with 4 responses (")
    assert "from now on it is 2 at the most" in note.message
    assert (
        note.hint
        == f"Set engine.micro_batch_tokens={trainer.room.limit.tokens} to start like this."
    )


@pytest.mark.parametrize("where", ["scoring", "backward"])
def test_the_smaller_limit_is_kept_for_later_steps_and_in_checkpoints(
    small_config, tmp_path, where
):
    trainer = make_trainer(small_config())
    scarce = Scarce(trainer, where)
    run = trainer.steps()
    assert notes(next(run)) != []
    assert notes(next(run)) == []
    assert scarce.times == 1
    engine = trainer.state_dict()["engine"]
    assert engine["micro_batch_sequences"] == 2
    path = save_checkpoint(tmp_path, trainer, {})
    again = make_trainer(small_config())
    load_checkpoint(path, again)
    assert again.state_dict()["engine"] == engine
    assert again.room.limit == trainer.room.limit
    scarce = Scarce(again, where)
    for one, other in zip(run, again.steps(), strict=True):
        assert notes(one) == notes(other) == []
    assert scarce.times == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(trained_weights(trainer), trained_weights(again), strict=True)
    )


@pytest.mark.parametrize("where", ["scoring", "forward"])
def test_it_halves_as_often_as_it_has_to(small_config, where):
    config = small_config(ppo={"epochs": 1}, optim={"lr": 1e-3})
    _, weights = undisturbed(config)
    trainer = make_trainer(config)
    scarce = Scarce(trainer, where, rows=1)
    record = next(trainer.steps())
    assert scarce.times == 2
    assert len(notes(record)) == 2
    assert trainer.state_dict()["engine"]["micro_batch_sequences"] == 1
    assert relative(weights, trained_weights(trainer)) < 1e-5
    assert notes(record, "health.ratio_first") == []


@pytest.mark.parametrize("moment", [1, 2, 4])
def test_memory_that_runs_out_in_the_optimiser_changes_nothing(small_config, monkeypatch, moment):
    config = small_config()
    _, weights = undisturbed(config)
    trainer = make_trainer(config)
    real, calls = trainer.optimizer.step, []

    def step():
        calls.append(1)
        if len(calls) == moment:
            run_out()
        return real()

    monkeypatch.setattr(trainer.optimizer, "step", step)
    next(trainer.steps())
    assert len(calls) == 5
    assert all(torch.equal(a, b) for a, b in zip(weights, trained_weights(trainer), strict=True))


def test_an_optimiser_without_room_says_what_to_do(small_config, monkeypatch):
    trainer = make_trainer(small_config())
    monkeypatch.setattr(trainer.optimizer, "step", in_vain)
    before = trained_weights(trainer)
    with pytest.raises(OutOfMemory, match="moments") as caught:
        next(trainer.steps())
    assert caught.value.code == "memory.step"
    assert all(torch.equal(a, b) for a, b in zip(before, trained_weights(trainer), strict=True))


def test_the_first_step_of_the_optimiser_takes_no_memory_for_its_moments(small_config, monkeypatch):
    # Where one group had moved before the moments of the other, it could not be begun again.
    trainer = make_trainer(small_config())
    moments = trainer.optimizer.state
    held = {key: state["exp_avg"].data_ptr() for key, state in moments.items()}
    assert len(held) == len(trained_weights(trainer))
    assert {int(state["step"]) for state in moments.values()} == {0}
    assert all(not state["exp_avg"].any() for state in moments.values())
    next(trainer.steps())
    assert {key: state["exp_avg"].data_ptr() for key, state in moments.items()} == held


def test_an_evaluation_that_runs_out_of_memory_finds_the_same(small_config):
    config = small_config(eval={"prompts": 3, "samples": 4})
    quiet, scarce_one = make_trainer(config), make_trainer(config)
    for trainer in (quiet, scarce_one):
        next(trainer.steps())
    expected = quiet.evaluate().metrics
    scarce = Scarce(scarce_one, "scoring")
    found = scarce_one.evaluate().metrics
    assert scarce.times == 1
    assert found == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert expected["eval/kl"] != 0
    # It is said with the next step.
    (note,) = notes(next(scarce_one.steps()))
    assert note.message.startswith("Memory ran out in evaluation with 4 responses (")


def test_an_evaluation_holds_no_more_at_a_time_than_a_minibatch(small_config):
    config = small_config(eval={"prompts": 3, "samples": 8})
    trainer, seen = make_trainer(config), []
    real = trainer.roles.policy_pass

    def look(batch, **how):
        seen.append(len(batch))
        return real(batch, **how)

    trainer.roles.policy_pass = look
    trainer.evaluate()
    assert seen == [4] * 6


def test_the_kl_after_a_single_epoch_is_the_same_where_memory_runs_out_over_it(small_config):
    config = small_config(ppo={"epochs": 1}, optim={"schedule": "adaptive", "lr": 1e-3})
    (expected,), _ = undisturbed(config)
    trainer = make_trainer(config)
    scarce = Scarce(trainer, "scoring", after=2)
    record = next(trainer.steps())
    assert scarce.times == 1
    kl = expected.metrics["policy/approx_kl"]
    assert kl > 1e-7
    assert record.metrics["policy/approx_kl"] == pytest.approx(kl, rel=1e-3)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_single_response_computes_its_activations_again_before_it_gives_up(small_config, where):
    config = small_config(ppo={"epochs": 1}, optim={"lr": 1e-3})
    _, weights = undisturbed(config)
    trainer = make_trainer(config)
    scarce = Scarce(trainer, where, rows=0)

    def fits_when_computed_again(count):
        if not trainer.roles.checkpoints:
            scarce.times += 1
            run_out()

    scarce._fail = fits_when_computed_again
    record = next(trainer.steps())
    assert scarce.times == 3
    assert trainer.roles.checkpoints
    assert trainer.state_dict()["engine"]["checkpointing"] is True
    *_, last = notes(record)
    assert "activations are computed again" in last.message
    assert relative(weights, trained_weights(trainer)) < 1e-5
    assert notes(record, "health.ratio_first") == []
    again = make_trainer(config)
    again.load_state_dict(trainer.state_dict())
    assert again.roles.checkpoints


def keeping(config):
    trainer = make_trainer(config)
    trainer.roles.decoder.decoding = Decoding(keep=True)
    return trainer


@pytest.mark.parametrize("where", ["scoring", "forward"])
def test_what_the_rollout_keeps_is_let_go_before_it_gives_up(small_config, where):
    config = small_config(ppo={"epochs": 1}, optim={"lr": 1e-3})
    _, weights = undisturbed(config, 2)
    trainer = keeping(config)
    scarce = Scarce(trainer, where, rows=0)

    def fits_beside_no_rollout(count):
        if trainer.roles.merged.made or trainer.roles.decoder._kept:
            scarce.times += 1
            run_out()

    scarce._fail = fits_beside_no_rollout
    run = trainer.steps()
    *_, last = notes(next(run))
    assert "are let go after it" in last.message
    assert scarce.times == 3
    assert notes(next(run)) == []
    assert scarce.times == 3
    assert not trainer.roles.checkpoints
    assert relative(weights, trained_weights(trainer)) < 1e-5
    again = keeping(config)
    again.load_state_dict(trainer.state_dict())
    assert again.roles.decoder.decoding.keep is False


@pytest.mark.parametrize(("where", "phase"), [("scoring", "scoring"), ("backward", "update")])
def test_where_not_even_a_single_response_fits_it_says_so(small_config, where, phase):
    trainer = make_trainer(small_config())
    before = trained_weights(trainer)
    scarce = Scarce(trainer, where, rows=0)
    with pytest.raises(OutOfMemory, match=f"a single response of .* in {phase}") as caught:
        next(trainer.steps())
    assert caught.value.code == "memory.step"
    # Four, two, one; in the update once more, with activations computed again.
    assert scarce.times == (3 if phase == "scoring" else 4)
    assert all(torch.equal(a, b) for a, b in zip(before, trained_weights(trainer), strict=True))


LENGTHS = torch.tensor([30, 10, 10, 5, 5, 5])
PARTS = [torch.tensor([0]), torch.tensor([1, 2]), torch.tensor([3, 4, 5])]


@pytest.mark.parametrize("reached", [2, 3])
def test_a_long_response_by_itself_is_not_blamed_for_others_together(small_config, reached):
    room = make_trainer(small_config()).room
    room.give_way(PARTS, PARTS[:reached], LENGTHS, "scoring")
    # The largest of those with several: 20 tokens of two responses.
    assert (room.limit.tokens, room.limit.sequences) == (10, 1)


def test_a_long_response_by_itself_is_blamed_where_memory_ran_out_in_it(small_config):
    trainer = make_trainer(small_config())
    with pytest.raises(OutOfMemory, match="a single response of 30 tokens in scoring"):
        trainer.room.give_way(PARTS, PARTS[:1], LENGTHS, "scoring")
    trainer.room.give_way(PARTS, PARTS[:1], LENGTHS, "update")
    assert trainer.roles.checkpoints
    assert trainer.room.limit.tokens is None


def test_fewer_responses_at_a_time_in_the_rollout_are_said_and_kept(small_config):
    config = small_config()
    (expected,), weights = undisturbed(config)
    trainer = make_trainer(config)
    times = []

    def look(module, args, kwargs):
        rows, width = kwargs["input_ids"].shape
        if width == 1 and rows > 3:
            times.append(rows)
            run_out()

    trainer.roles.trunk._body.register_forward_pre_hook(look, with_kwargs=True)
    run = trainer.steps()
    record = next(run)
    (first, second) = notes(record)
    assert "with 8 responses being written at a time; from now on it is 4" in first.message
    assert "with 4 responses being written at a time; from now on it is 2" in second.message
    assert second.hint == "Set engine.rollout_slots=2 to start like this."
    assert [s.response for s in record.samples] == [s.response for s in expected.samples]
    assert relative(weights, trained_weights(trainer)) < 1e-5
    assert trainer.state_dict()["engine"]["rollout_slots"] == 2
    count = len(times)
    assert notes(next(run)) == []
    assert len(times) == count == 2


def test_an_error_that_is_not_one_of_memory_ends_the_step(small_config):
    def fail():
        raise RuntimeError("device-side assert triggered")

    trainer = make_trainer(small_config())
    scarce = Scarce(trainer, "forward", error=fail)
    with pytest.raises(RuntimeError, match="device-side"):
        next(trainer.steps())
    assert scarce.times == 1


def test_who_forbids_computing_again_is_told_that_the_memory_is_too_small(small_config):
    trainer = make_trainer(small_config(engine={"checkpointing": "never"}))
    Scarce(trainer, "forward", rows=0)
    with pytest.raises(OutOfMemory, match="too small for a single response"):
        next(trainer.steps())
    assert not trainer.roles.checkpoints


def test_what_gave_way_in_an_evaluation_is_asked_for_and_told_once(small_config):
    trainer = make_trainer(small_config())
    trainer.room.halve(torch.arange(4), torch.tensor([9, 8, 7, 6]), "evaluation")
    (note,) = trainer.take_notes()
    assert note.happened
    assert trainer.take_notes() == []
