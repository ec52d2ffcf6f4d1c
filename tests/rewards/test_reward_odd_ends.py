"""A reward that ends in what is no Exception, or answers what training cannot compute with."""

import threading

import pytest

from ppo_tui.errors import RewardError
from ppo_tui.training.scoring import RunningMoments


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        ("__import__('asyncio').CancelledError('gone')", r"raised CancelledError: gone \(line 1\)"),
        ("type('Mine', (BaseException,), {})('odd')", r"raised Mine: odd \(line 1\)"),
    ],
)
def test_what_is_no_exception_is_a_failure_of_the_reward_too(
    python_reward, samples, raised, sentence
):
    reward = python_reward(f"def reward(prompts, responses): raise {raised}\n")
    with pytest.raises(RewardError, match=sentence) as caught:
        reward.score(samples("a"))
    assert caught.value.code == "reward.raised"


def test_a_keyboard_interrupt_of_the_rewards_own_is_its_failure(python_reward, samples):
    """In the thread in which a worker asks the reward, nobody can have pressed Ctrl-C."""
    reward = python_reward("def reward(prompts, responses): raise KeyboardInterrupt\n")
    caught: list[BaseException] = []

    def ask():
        try:
            reward.score(samples("a"))
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert isinstance(caught[0], RewardError)
    assert caught[0].code == "reward.raised"


@pytest.mark.parametrize("score", ["1e200", "-1e300", "1.1e18"])
def test_a_score_that_float32_cannot_square_is_refused(python_reward, samples, score):
    reward = python_reward(f"def reward(prompts, responses): return [0.0, {score}]\n")
    with pytest.raises(RewardError, match=r"for responses\[1\] = 'b'; no score may be beyond") as e:
        reward.score(samples("a", "b"))
    assert e.value.code == "reward.not_finite"


def test_the_largest_scores_that_are_taken_can_be_averaged(python_reward, samples):
    reward = python_reward("def reward(prompts, responses): return [1e18, -1e18]\n")
    moments = RunningMoments()
    moments.update(reward.score(samples("a", "b")).total)
    assert moments.mean == 0
    assert moments.std == pytest.approx(2**0.5 * 1e18)
