"""The learning rate, step by step, in literal numbers."""

import pytest

from ppo_tui.config.schema import OptimConfig
from ppo_tui.training.schedule import LearningRate


def rates(steps=4, **config):
    schedule = LearningRate(OptimConfig(lr=1e-3, **config), steps)
    return [1000 * schedule.at(step) for step in range(steps)]


def test_constant():
    assert rates() == pytest.approx([1, 1, 1, 1])


def test_linear_falls_to_0_after_the_last_step():
    assert rates(schedule="linear") == pytest.approx([1, 0.75, 0.5, 0.25])


def test_cosine_falls_to_0_after_the_last_step():
    expected = [1, 0.8535534, 0.5, 0.1464466]
    assert rates(schedule="cosine") == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "adaptive"])
def test_warm_up_rises_linearly_to_the_rate(schedule):
    assert rates(steps=5, schedule=schedule, warmup_steps=3) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1]
    )


def test_linear_and_cosine_begin_at_the_end_of_the_warm_up():
    assert rates(steps=6, schedule="linear", warmup_steps=2) == pytest.approx(
        [1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25]
    )
    assert rates(steps=6, schedule="cosine", warmup_steps=2) == pytest.approx(
        [1 / 3, 2 / 3, 1, 0.8535534, 0.5, 0.1464466]
    )


@pytest.mark.parametrize(
    ("kl", "rate"),
    [(0.021, 1e-3 / 1.5), (0.02, 1e-3), (0.01, 1e-3), (0.005, 1e-3), (0.0049, 1.5e-3), (0, 1.5e-3)],
)
def test_adaptive_moves_against_the_measured_kl(kl, rate):
    schedule = LearningRate(OptimConfig(lr=1e-3, schedule="adaptive", kl_target=0.01), 10)
    schedule.observe(0, kl)
    assert schedule.at(1) == pytest.approx(rate)


def test_adaptive_stays_within_its_bounds():
    config = OptimConfig(lr=1e-3, schedule="adaptive", min_lr=9e-4, max_lr=1.1e-3)
    schedule = LearningRate(config, 10)
    schedule.observe(0, 0.0)
    assert schedule.at(1) == pytest.approx(1.1e-3)
    schedule.observe(1, 1.0)
    schedule.observe(2, 1.0)
    assert schedule.at(3) == pytest.approx(9e-4)


def test_adaptive_does_not_listen_while_it_warms_up():
    schedule = LearningRate(OptimConfig(lr=1e-3, schedule="adaptive", warmup_steps=2), 10)
    schedule.observe(1, 0.0)
    assert schedule.at(2) == pytest.approx(1e-3)


def test_the_other_schedules_do_not_listen_at_all():
    schedule = LearningRate(OptimConfig(lr=1e-3), 10)
    schedule.observe(0, 0.0)
    assert schedule.at(1) == 1e-3


def test_a_rate_set_by_hand_goes_on_in_proportion():
    schedule = LearningRate(OptimConfig(lr=1e-3, schedule="linear"), 4)
    schedule.scale_to(1.5e-3, 1)
    assert [schedule.at(step) for step in (1, 2, 3)] == pytest.approx([1.5e-3, 1e-3, 0.5e-3])


def test_the_critics_rate_moves_like_the_policys():
    schedule = LearningRate(OptimConfig(lr=1e-3, value_lr=4e-3, schedule="linear"), 4)
    assert [schedule.value_at(step) for step in range(4)] == pytest.approx([4e-3, 3e-3, 2e-3, 1e-3])


def test_what_it_has_learnt_is_its_state():
    config = OptimConfig(lr=1e-3, schedule="adaptive")
    one, other = LearningRate(config, 10), LearningRate(config, 10)
    one.observe(0, 1.0)
    one.scale_to(5e-4, 1)
    other.load_state_dict(one.state_dict())
    assert other.at(1) == one.at(1) == pytest.approx(5e-4)
