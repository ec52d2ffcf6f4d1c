"""The loop as a whole: it learns, it obeys its configuration, and it says what is wrong."""

import dataclasses

import pytest
import torch

from ppo_tui.ppo import masked_mean, masked_var
from ppo_tui.training.health import check_step
from training.toys import experience_of, make_trainer, measured_of, one_update

CONSTANT = {"terms": [{"kind": "regex", "pattern": "^"}]}


def records(config):
    return list(make_trainer(config).steps())


def codes(record):
    return {note.code for note in record.health}


def test_a_toy_reward_is_learnt_within_a_few_steps(small_config):
    config = small_config(
        steps=12,
        rollout={"batch_size": 32, "response_tokens": 6},
        ppo={"epochs": 4, "minibatches": 2, "kl_coef": 0.01},
        optim={"lr": 3e-3},
    )
    scores = [record.metrics["reward/score"] for record in records(config)]
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 1.0


def test_a_strong_kl_penalty_holds_the_policy_at_the_base(small_config):
    free, held = (
        records(
            small_config(
                steps=6, rollout={"batch_size": 32}, ppo={"kl_coef": coef}, optim={"lr": 3e-3}
            )
        )[-1].metrics["kl/ref"]
        for coef in (0.0, 5.0)
    )
    assert held < free


def test_the_same_seed_trains_the_same_run_and_another_one_does_not(small_config):
    one, same, other = (
        records(small_config(steps=2, seed=seed))[-1].metrics["policy/loss"] for seed in (1, 1, 2)
    )
    assert one == same != other


def test_an_epoch_that_moves_too_far_ends_the_step(small_config):
    trainer = make_trainer(
        small_config(ppo={"epochs": 4, "minibatches": 2, "stop_kl": 1e-6}, steps=1)
    )
    stats = one_update(trainer)
    assert stats.stopped_early
    assert stats.planned_steps == 8
    assert stats.optimizer_steps == 1
    assert stats.policy_kl > 1e-6
    assert {int(s["step"]) for s in trainer.optimizer.state.values()} == {1}


def test_a_generous_bound_ends_nothing(small_config):
    stats = one_update(make_trainer(small_config(ppo={"stop_kl": 1e3})))
    assert (stats.optimizer_steps, stats.stopped_early) == (4, False)


def test_an_early_stop_is_no_sign_of_ill_health(small_config):
    (record,) = records(small_config(ppo={"epochs": 3, "stop_kl": 1e-6}, steps=1))
    assert "health.optimizer_steps" not in codes(record)


def test_the_gradient_is_clipped_to_its_bound(small_config):
    stats = one_update(make_trainer(small_config(optim={"max_grad_norm": 1e-3})))
    assert stats.metrics["optim/grad_norm"] > 1e-3
    assert stats.max_clipped_norm <= 1e-3 * 1.001


def test_the_adaptive_coefficient_moves_by_the_kl_of_the_step(small_config):
    config = small_config(
        ppo={"kl_controller": "adaptive", "kl_horizon": 16.0, "kl_target": 6.0, "kl_coef": 0.1},
        steps=2,
    )
    first, second = records(config)
    assert first.metrics["kl/coef"] == 0.1
    # KL 0 at the start: error -1, clipped to -0.2; 8 episodes of a horizon of 16.
    assert first.metrics["kl/ref"] == 0.0
    assert second.metrics["kl/coef"] == pytest.approx(0.1 * (1 - 0.2 * 8 / 16))


def test_the_adaptive_rate_sees_the_kl_of_a_single_update_too(small_config):
    config = small_config(
        ppo={"epochs": 1, "minibatches": 1},
        optim={"schedule": "adaptive", "lr": 1e-2, "kl_target": 1e-5},
        steps=2,
    )
    first, second = records(config)
    assert first.metrics["policy/approx_kl"] > 2e-5
    assert second.metrics["optim/lr"] == pytest.approx(1e-2 / 1.5)


def test_an_entropy_bonus_raises_the_entropy(small_config):
    low, high = (
        records(
            small_config(
                steps=4,
                rollout={"batch_size": 16, "temperature": 0.7},
                reward=CONSTANT,
                ppo={"entropy_coef": coef, "kl_coef": 0.0},
                optim={"lr": 3e-3},
            )
        )[-1].metrics["policy/entropy"]
        for coef in (0.0, 1.0)
    )
    assert high > low + 0.1


@pytest.mark.parametrize("setting", [{"clip": 0.01}, {"clip_high": 5.0}, {"dual_clip": 1.001}])
def test_the_clips_of_the_configuration_reach_the_loss(small_config, setting):
    plain, changed = (
        one_update(make_trainer(small_config(ppo={"epochs": 4, **ppo})), lr=3e-2).metrics
        for ppo in ({}, setting)
    )
    assert plain["policy/loss"] != changed["policy/loss"]


@pytest.mark.parametrize("critic", ["head", "adapter"])
def test_the_critic_learns_what_is_to_come(small_config, critic):
    # Every response scores 1, and that is what any state is worth.
    config = small_config(
        steps=6,
        reward=CONSTANT,
        rollout={"batch_size": 16},
        ppo={"value": critic, "epochs": 4, "value_coef": 1.0, "value_clip": None},
        optim={"lr": 1e-4, "value_lr": 1e-2},
    )
    losses = [record.metrics["value/loss"] for record in records(config)]
    assert losses[-1] < 0.2 * losses[0]


def test_advantages_are_whitened_over_the_tokens_of_the_step(small_config):
    experience = experience_of(make_trainer(small_config()))
    assert masked_mean(experience.advantages, experience.mask).abs() < 1e-6
    assert masked_var(experience.advantages, experience.mask) == pytest.approx(1, abs=1e-4)


def test_the_score_stands_at_the_last_token_and_the_penalty_of_the_kl_everywhere(small_config):
    trainer = make_trainer(small_config(ppo={"kl_coef": 0.5}))
    list(trainer.steps())
    rollout = trainer._roll_out()
    measured = measured_of(trainer, rollout)
    scores = trainer._score(rollout, measured.readings)
    experience = trainer._estimate(rollout, scores, measured)
    kl = 0.5 * (measured.logprobs - measured.ref_logprobs)
    last = rollout.sequences.response_lengths - 1
    expected = -kl
    expected[torch.arange(8), last] += scores.shaped
    assert (experience.rewards - expected).abs().max() < 1e-6
    assert (experience.rewards[~experience.mask] == 0).all()


def test_samples_per_prompt_stand_next_to_each_other(small_config):
    (record,) = records(small_config(rollout={"samples_per_prompt": 4}, steps=1))
    prompts = [sample.prompt for sample in record.samples]
    assert len(set(prompts)) == 2
    assert prompts[0] == prompts[3] != prompts[4] == prompts[7]


def test_best_and_worst_of_a_step_are_recorded_token_by_token(small_config):
    (record,) = records(small_config(steps=1))
    traced = [sample for sample in record.samples if sample.tokens is not None]
    scores = [sample.score for sample in record.samples]
    assert {sample.score for sample in traced} == {min(scores), max(scores)}
    assert all(len(sample.tokens) == sample.length for sample in traced)


def test_all_metrics_of_the_contract_are_there(small_config):
    (record,) = records(small_config(steps=1))
    assert set(record.metrics) >= {
        "reward/score", "reward/total", "reward/regex", "kl/ref", "kl/ref_k3", "kl/coef",
        "policy/loss", "policy/approx_kl", "policy/clip_fraction", "policy/entropy",
        "policy/ratio_first", "value/loss", "value/explained_variance", "value/clip_fraction",
        "response/length", "response/eos_rate", "response/distinct_2", "optim/lr",
        "optim/grad_norm", "time/rollout", "time/score", "time/reward", "time/update",
        "throughput/tokens_per_s", "throughput/episodes_per_s", "memory/peak_gib",
    }  # fmt: skip


# ---- health


def start_codes(config):
    return {note.code for note in make_trainer(config).check_start()}


def test_a_healthy_run_has_nothing_to_say(small_config):
    assert start_codes(small_config()) == set()
    assert all(codes(record) == set() for record in records(small_config()))


@pytest.mark.parametrize("cut", [{"top_k": 5}, {"top_p": 0.9}])
def test_a_cut_sampler_is_a_word_before_the_start(small_config, cut):
    assert start_codes(small_config(rollout=cut)) == {"health.sampler_cut"}


def test_no_kl_penalty_is_a_word_before_the_start(small_config):
    assert start_codes(small_config(ppo={"kl_coef": 0})) == {"health.no_kl_penalty"}


def test_scores_that_are_all_the_same_are_a_word(small_config):
    (record,) = records(small_config(reward=CONSTANT, steps=1))
    assert codes(record) == {"health.no_signal"}


def test_too_few_tokens_to_whiten_are_a_word(small_config):
    (record,) = records(
        small_config(rollout={"batch_size": 4, "response_tokens": 1}, reward=CONSTANT, steps=1)
    )
    assert "health.few_tokens" in codes(record)


@pytest.fixture
def step(small_config):
    """A step's parts and the check of them, to be broken."""
    trainer = make_trainer(small_config())
    rollout = trainer._roll_out()
    measured = measured_of(trainer, rollout)
    scores = trainer._score(rollout, measured.readings)
    experience = trainer._estimate(rollout, scores, measured)
    update = trainer._updater.update(experience, 1e-3, 1e-3)

    def check(experience=experience, **broken):
        stats = dataclasses.replace(update, **broken)
        notes = check_step(trainer.config, rollout, scores, experience, stats, torch.float32)
        return {note.code: note.level for note in notes}

    check.experience = experience
    return check


def test_a_whole_step_passes_its_checks(step):
    assert step() == {}


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"first_ratio_deviation": 1e-7}, {"health.ratio_first": "warning"}),
        ({"first_ratio_deviation": 0.3}, {"health.ratio_first": "error"}),
        ({"optimizer_steps": 3}, {"health.optimizer_steps": "error"}),
        ({"policy_kl": -0.1}, {"health.negative_k3": "error"}),
        ({"max_clipped_norm": 1.1}, {"health.grad_norm": "error"}),
    ],
)
def test_what_must_hold_and_does_not_is_said(step, broken, expected):
    assert step(**broken) == expected


def test_advantages_that_were_not_centred_are_said(step):
    shifted = dataclasses.replace(step.experience, advantages=step.experience.advantages + 1)
    assert step(shifted) == {"health.whitening": "error"}


def test_a_loss_that_is_not_finite_ends_the_run_before_it_changes_anything(small_config):
    from ppo_tui.errors import TrainingError
    from training.toys import trained_weights

    trainer = make_trainer(small_config())
    experience = experience_of(trainer)
    before = trained_weights(trainer)
    broken = dataclasses.replace(experience, advantages=experience.advantages * float("nan"))
    with pytest.raises(TrainingError) as caught:
        trainer._updater.update(broken, 1e-3, 1e-3)
    assert caught.value.code == "training.not_finite"
    after = trained_weights(trainer)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_graphs_that_could_not_be_captured_are_told(small_config):
    trainer = make_trainer(small_config())
    trainer.roles.decoder._graphs_refused = "operation not permitted"
    (note,) = next(trainer.steps()).health
    assert note.code == "health.cuda_graphs"
    assert "operation not permitted" in note.message
