"""Requests that end a run; a reward that posts them stands for a viewer in mid-step."""

import pytest

from ppo_tui.runs.control import post
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import read_state
from ppo_tui.training.session import Session
from worker.processes import answer_to, events, make_run, reward_file, steps_of

POSTING = """
from pathlib import Path
from ppo_tui.runs.control import post
from ppo_tui.runs.directory import RunDirectory

calls = 0

def reward(prompts, responses):
    global calls
    calls += 1
    if calls == {call}:
        request = post(RunDirectory(Path(__file__).with_name("run")), {arguments})
        Path(__file__).with_name("request").write_text(request)
    return [float(len(r)) for r in responses]
"""


def run_that_asks(small_config, tmp_path, call, arguments, **more):
    # The first call is not of a step: it scores the base's answers to the watched prompts.
    reward = reward_file(tmp_path, POSTING.format(call=call + 1, arguments=arguments))
    run = make_run(tmp_path / "run", small_config(reward=reward, checkpoint={"every": 0}, **more))
    phase = Session(run).execute()
    return run, phase, (tmp_path / "request").read_text()


def test_stop_finishes_the_step_and_saves(small_config, tmp_path):
    run, phase, request = run_that_asks(small_config, tmp_path, 2, '"stop"')
    assert phase is Phase.STOPPED
    assert steps_of(run) == [1, 2]
    assert [path.name for path in run.checkpoints_path.iterdir()] == ["step-000002"]
    assert answer_to(run, request)["state"] == "stopping"
    assert list(run.control_path.iterdir()) == []
    assert [event["state"] for event in events(run, "state")][-2:] == ["stopping", "stopped"]


def test_stop_now_leaves_the_step_and_saves_nothing(small_config, tmp_path):
    run, phase, request = run_that_asks(small_config, tmp_path, 2, '"stop", mode="now"')
    assert phase is Phase.STOPPED
    assert steps_of(run) == [1]
    assert list(run.checkpoints_path.iterdir()) == []
    assert answer_to(run, request)["state"] == "stopping"
    assert read_state(run).message == "Stopped without saving; there is no checkpoint."


def test_a_stopped_run_goes_on_where_it_was(small_config, tmp_path):
    run, _, _ = run_that_asks(small_config, tmp_path, 2, '"stop"')
    assert Session(run).execute() is Phase.FINISHED
    assert steps_of(run) == [1, 2, 3, 4]


def test_a_stop_before_the_first_step_stops_there(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config())
    request = post(run, "stop")
    assert Session(run).execute() is Phase.STOPPED
    assert answer_to(run, request)["state"] == "stopping"
    assert steps_of(run) == []
    assert list(run.checkpoints_path.iterdir()) == []


@pytest.mark.parametrize("kind", ['"pause"', '"checkpoint"', '"set", key="lr", value=0.1'])
def test_a_request_that_comes_in_the_last_step_is_answered_all_the_same(
    small_config, tmp_path, kind
):
    run, phase, request = run_that_asks(small_config, tmp_path, 4, kind, eval={"at_end": False})
    assert phase is Phase.FINISHED
    assert "too late" in answer_to(run, request)["message"]
    assert list(run.control_path.iterdir()) == []


def test_an_evaluation_is_due_after_the_last_step_too_if_every_says_so(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(eval={"every": 2, "at_end": False}))
    Session(run).execute()
    assert [event["step"] for event in events(run, "eval")] == [2, 4]


def test_with_an_evaluation_at_the_end_there_is_one_after_the_last_step(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(eval={"every": 2, "at_end": True}))
    Session(run).execute()
    assert [event["step"] for event in events(run, "eval")] == [2, 4]
