"""A reward function that misbehaves fails the run, whatever it does and whenever."""

import pytest

from ppo_tui.errors import RewardError
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state
from ppo_tui.training.session import Session
from worker.processes import make_run, reward_file, steps_of


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("1 / 0", "reward.raised"),
        ("exit(0)", "reward.raised"),
        ("[float('nan')] * len(responses)", "reward.not_finite"),
        ("[float('inf')] + [0.0] * (len(responses) - 1)", "reward.not_finite"),
        ("[1.0]", "reward.count"),
        ("[0.0] * (len(responses) + 1)", "reward.count"),
        ("None", "reward.count"),
        ("['good'] * len(responses)", "reward.not_number"),
    ],
)
def test_it_fails_the_run_with_a_code_and_one_sentence(small_config, tmp_path, answer, code):
    source = f"def reward(prompts, responses):\n    return {answer}\n"
    run = make_run(tmp_path / "run", small_config(reward=reward_file(tmp_path, source)))
    with pytest.raises(RewardError):
        Session(run).execute()
    state = read_state(run)
    assert (state.state, state.error.code, state.step) == (Phase.FAILED, code, 0)
    assert "\n" not in state.error.message
    assert list(run.checkpoints_path.iterdir()) == []


def test_steps_before_the_failure_are_kept_and_the_run_can_go_on(small_config, tmp_path):
    source = (
        "from pathlib import Path\n"
        "MARK = Path(__file__).with_name('fixed')\n"
        "calls = 0\n"
        "def reward(prompts, responses):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    assert MARK.exists() or calls < 4, 'third step'\n"
        "    return [1.0 * len(r) for r in responses]\n"
    )
    config = small_config(reward=reward_file(tmp_path, source), checkpoint={"every": 1})
    run = make_run(tmp_path / "run", config)
    with pytest.raises(RewardError, match="third step"):
        Session(run).execute()
    assert read_state(run).state is Phase.FAILED
    assert steps_of(run) == [1, 2]
    (tmp_path / "fixed").touch()
    assert Session(run).execute() is Phase.FINISHED
    assert steps_of(run) == [1, 2, 3, 4]
    assert read_state(run).error is None
