"""The update does not depend on the micro-batches, and starts from the very policy that sampled."""

import pytest
import torch

from training.toys import experience_of, make_trainer, measured_of, one_update, trained_weights

ARCHITECTURES = ["llama", "gpt2", "gpt_neox", "gemma2", "phi", "opt"]


def relative(one, other):
    """Distance of two lists of tensors, relative to the size of the first."""
    flat = [torch.cat([t.flatten() for t in tensors]) for tensors in (one, other)]
    return float((flat[0] - flat[1]).norm() / flat[0].norm())


def gradients_of_the_first_step(config):
    """Gradients before the first optimiser step, on experience of a policy that has moved."""
    trainer = make_trainer(config)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(5)
        for parameter in (*trainer.roles.policy_parameters(), *trainer.roles.value_parameters()):
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    experience = experience_of(trainer)
    updater = trainer._updater
    updater._accumulate(
        experience, experience.measured.first_epoch.steps[0], kept=None, single=False
    )
    return [p.grad.clone() for p in updater._parameters if p.grad is not None]


@pytest.mark.parametrize("critic", ["head", "adapter"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_micro_batches_change_the_gradient_by_less_than_1e_5(small_config, architecture, critic):
    whole, *parts = (
        gradients_of_the_first_step(
            small_config(
                architecture,
                ppo={"value": critic, "micro_batch_size": size, "entropy_coef": 0.01},
                rollout={"batch_size": 12, "response_tokens": 7},
            )
        )
        for size in (None, 1, 2, 3)
    )
    assert sum(float(gradient.abs().sum()) for gradient in whole) > 1e-3
    for part in parts:
        assert relative(whole, part) < 1e-5


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_micro_batches_change_a_whole_update_by_less_than_1e_5(small_config, architecture):
    results = []
    for size in (None, 1, 3):
        trainer = make_trainer(
            small_config(
                architecture,
                ppo={"epochs": 1, "minibatches": 2, "micro_batch_size": size},
                optim={"lr": 1e-3},
            )
        )
        next(trainer.steps())
        results.append(trained_weights(trainer))
    start = trained_weights(make_trainer(small_config(architecture)))
    assert relative(start, results[0]) > 1e-3
    for result in results[1:]:
        assert relative(results[0], result) < 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [None, 1, 3])
def test_the_ratio_of_the_first_minibatch_is_exactly_1(small_config, architecture, size):
    trainer = make_trainer(small_config(architecture, ppo={"micro_batch_size": size}))
    for record in trainer.steps():
        assert record.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
        assert "health.ratio_first" not in {note.code for note in record.health}
        if record.step == 2:
            break
    experience = experience_of(trainer)
    for rows in experience.measured.first_epoch.steps[0]:
        batch = experience.sequences.select(rows)
        new = trainer.roles.policy_pass(batch).logprobs
        assert torch.equal(new, experience.measured.logprobs[rows, : new.shape[1]])


@pytest.mark.parametrize("estimator", ["head", "adapter"])
def test_the_ratio_of_the_first_minibatch_deviates_by_nothing_at_all(small_config, estimator):
    trainer = make_trainer(
        small_config(ppo={"micro_batch_size": 3, "entropy_coef": 0.01, "value": estimator})
    )
    assert [one_update(trainer).first_ratio_deviation for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_single_update_a_batch_takes_the_new_policy_as_the_old_one(small_config):
    trainer = make_trainer(small_config(ppo={"epochs": 1, "minibatches": 1}))
    rollout = trainer._roll_out()
    measured = measured_of(trainer, rollout)
    measured.logprobs.sub_(1.0)  # old log-probabilities that would give a ratio of e
    experience = trainer._estimate(rollout, trainer._score(rollout, measured.readings), measured)
    stats = trainer._updater.update(experience, 1e-3, 1e-3)
    assert stats.metrics["policy/ratio_first"] == pytest.approx(1, abs=1e-6)
    assert stats.first_ratio_deviation == 0.0
    assert stats.metrics["policy/clip_fraction"] == 0.0


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (3, 1), (1, 4), (3, 4)])
def test_optimiser_steps_are_epochs_times_minibatches(small_config, epochs, minibatches):
    trainer = make_trainer(
        small_config(
            ppo={"epochs": epochs, "minibatches": minibatches, "micro_batch_size": 1}, steps=2
        )
    )
    list(trainer.steps())
    counts = {int(state["step"]) for state in trainer.optimizer.state.values()}
    assert counts == {2 * epochs * minibatches}


def test_every_trained_tensor_is_trained_and_nothing_else(small_config):
    trainer = make_trainer(small_config(ppo={"value": "adapter"}, steps=2))
    before = {name: p.detach().clone() for name, p in trainer.roles.peft.named_parameters()}
    start = trained_weights(trainer)
    list(trainer.steps())
    assert all(not torch.equal(a, b) for a, b in zip(start, trained_weights(trainer), strict=True))
    changed = {
        name
        for name, p in trainer.roles.peft.named_parameters()
        if not torch.equal(p, before[name])
    }
    assert all(".policy." in name or ".value." in name for name in changed)
