"""A reward that hangs, answers nonsense for a while, or breaks: nothing trained is lost."""

import signal
from pathlib import Path

import pytest

from ppo_tui.runs.checkpoints import list_checkpoints
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe
from worker.nursery import opened
from worker.processes import events, make_run, reward_file, wait_for
from worker.test_worker import without_clock

FAULTY = """
import re, threading
from pathlib import Path

MARK = Path(__file__).with_name("broken")
calls = 0  # the first of them scores the base's answers to the watched prompts

def reward(prompts, responses):
    global calls
    calls += 1
    if calls >= {call} and MARK.exists():
        {fault}
    return [float(response.count("e")) for response in responses]
"""

FROM_THE_MARK = """answers = {"responses": responses}
        exec(MARK.read_text(), globals(), answers)
        return answers["answer"]"""

FAULTS = {
    "hangs": ("threading.Event().wait()", "reward.timeout"),
    "spins": ("while True: pass", "reward.timeout"),
    "nan": ("answer = [float('nan')] * len(responses)", "reward.not_finite"),
    "raises": ("raise ValueError('out of order')", "reward.raised"),
}

WEIGHTS = Path("checkpoints/step-000004/policy/adapter_model.safetensors")


@pytest.fixture(scope="module")
def nursery():
    with opened() as nursery:
        yield nursery
        nursery.clear()


@pytest.fixture(scope="module")
def faulty(small_config, tmp_path_factory, nursery):
    """A configuration whose reward does what stands in a file, and a run that none disturbed."""
    folder = tmp_path_factory.mktemp("faulty")
    reward = reward_file(folder, FAULTY.format(call=4, fault=FROM_THE_MARK))
    config = small_config(
        steps=4,
        reward={**reward, "timeout_seconds": 6},
        checkpoint={"every": 0},
        eval={"at_end": False},
    )
    straight = make_run(folder / "straight", config)
    assert nursery.work(straight) == 0
    return config, folder / "broken", straight


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reward_that_fails_costs_no_step_and_the_run_goes_on_as_if_it_never_had(
    faulty, nursery, tmp_path, fault
):
    config, mark, straight = faulty
    what, code = FAULTS[fault]
    mark.write_text(what)
    run = make_run(tmp_path / "run", config)
    assert nursery.work(run) == 1
    seen = observe(run)
    assert (seen.phase, seen.error.code) == (Phase.FAILED, code)
    assert "\n" not in seen.error.message
    # Two steps were done; none of them is lost, though no checkpoint was due.
    assert seen.state.step == 2
    assert [step for step, _ in list_checkpoints(run.checkpoints_path)] == [2]
    undone = [event for event in events(run, "health") if event["code"] == "health.step_undone"]
    assert len(undone) == (2 if fault == "nan" else 0)

    mark.unlink()
    assert nursery.work(run) == 0
    assert observe(run).phase is Phase.FINISHED
    assert without_clock(run) == without_clock(straight)
    assert (run.path / WEIGHTS).read_bytes() == (straight.path / WEIGHTS).read_bytes()


def test_a_reward_that_is_only_slow_is_waited_for(small_config, nursery, tmp_path):
    reward = reward_file(tmp_path, FAULTY.format(call=2, fault="threading.Event().wait(1.2)"))
    (tmp_path / "broken").touch()
    config = small_config(steps=1, reward={**reward, "timeout_seconds": 60}, eval={"at_end": False})
    assert nursery.work(make_run(tmp_path / "run", config)) == 0


def test_a_process_that_was_halted_has_not_waited_meanwhile(small_config, nursery, tmp_path):
    """SIGSTOP for longer than the reward's time, while the reward is asked."""
    asked = tmp_path / "asked"
    fault = f"Path({str(asked)!r}).touch(); threading.Event().wait(0.7)"
    reward = reward_file(tmp_path, FAULTY.format(call=2, fault=fault))
    (tmp_path / "broken").touch()
    config = small_config(steps=1, reward={**reward, "timeout_seconds": 6}, eval={"at_end": False})
    run = make_run(tmp_path / "run", config)
    worker = nursery.start(run)
    wait_for(asked.exists, worker)
    worker.signal(signal.SIGSTOP)
    _pass(8)
    assert worker.poll() is None
    worker.signal(signal.SIGCONT)
    assert worker.wait() == 0
    assert observe(run).phase is Phase.FINISHED


def _pass(seconds):
    """Let time pass for a process that is halted: there is nothing to wait for."""
    import threading

    threading.Event().wait(seconds)


def test_a_reward_that_lets_nothing_else_run_is_ended_with_its_process(
    small_config, nursery, tmp_path
):
    """The regular expression backtracks for ever, in C, and holds the interpreter."""
    fault = "re.match(r'(a+)+$', 'a' * 60 + 'b')"
    reward = reward_file(tmp_path, FAULTY.format(call=3, fault=fault))
    (tmp_path / "broken").touch()
    config = small_config(steps=3, reward={**reward, "timeout_seconds": 1}, checkpoint={"every": 1})
    run = make_run(tmp_path / "run", config)
    assert nursery.work(run) == -signal.SIGVTALRM
    seen = observe(run)
    assert seen.phase is Phase.CRASHED
    log = run.log_path.read_text()
    assert "reward.py" in log  # where it was, in the traceback of its thread
    assert "in reward" in log
    (tmp_path / "broken").unlink()
    assert nursery.work(run) == 0
