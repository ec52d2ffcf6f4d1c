"""How many ratings a run wants before its next step."""

import pytest

from ppo_tui.config.schema import RatingsConfig
from ppo_tui.training.taste import needed

WAIT = RatingsConfig(mode="wait", first=20, every=10, per_round=8)
FLOW = RatingsConfig(mode="flow", first=20)


@pytest.mark.parametrize(
    ("step", "wanted"), [(0, 20), (1, 20), (9, 20), (10, 28), (19, 28), (20, 36)]
)
def test_a_waiting_run_wants_a_round_more_every_so_many_steps(step, wanted):
    assert needed(WAIT, step, True, 0) == wanted


@pytest.mark.parametrize(("elsewhere", "wanted"), [(0, 28), (15, 13), (20, 8), (500, 8)])
def test_ratings_of_other_runs_count_for_the_first_round_only(elsewhere, wanted):
    assert needed(WAIT, 10, True, elsewhere) == wanted


def test_a_flowing_run_wants_its_first_ratings_and_then_waits_no_more():
    assert [needed(FLOW, step, True, 0) for step in (0, 10, 100)] == [20, 20, 20]


def test_a_flowing_run_with_another_reward_waits_for_nobody():
    assert needed(FLOW, 0, False, 0) == 0
