"""A run that is played again comes as it came, at another speed."""

import json
from pathlib import Path

import pytest

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.screens.replay import ReplaySource

from .conftest import MakeRun


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def steps_of(source: ReplaySource) -> list[int]:
    pulse = source.poll()
    return [] if pulse is None or pulse.batch is None else pulse.batch.block.steps.tolist()


def test_steps_come_when_their_time_has_come(make_run: MakeRun) -> None:
    clock = Clock()
    source = ReplaySource(make_run(steps=30), 4.0, clock)
    assert steps_of(source) == [1]
    clock.now += 0.25
    assert steps_of(source) == []
    clock.now += 0.25
    assert steps_of(source) == [2]
    clock.now += 2.0
    assert steps_of(source) == [3, 4, 5, 6]
    assert source.step == 6


def test_it_is_going_on_until_it_ends_as_it_ended(make_run: MakeRun) -> None:
    clock = Clock()
    source = ReplaySource(make_run(steps=3, phase=Phase.STOPPED), 1.0, clock)
    pulse = source.poll()
    assert pulse is not None
    assert pulse.seen is not None
    assert pulse.seen.phase is Phase.ROLLOUT
    assert pulse.seen.state.step == 1
    assert not pulse.seen.alive
    clock.now += 100
    pulse = source.poll()
    assert pulse is not None
    assert pulse.seen is not None
    assert pulse.seen.phase is Phase.STOPPED
    assert pulse.batch is not None
    assert pulse.batch.block.steps.tolist() == [2, 3]
    assert source.poll() is None


def test_a_night_between_two_steps_is_not_played(make_run: MakeRun) -> None:
    run = make_run(steps=2, answers=False)
    lines = run.events_path.read_text().splitlines()
    late = json.loads(lines[1])
    late["time"] += 36_000
    run.events_path.write_text("\n".join([lines[0], json.dumps(late)]) + "\n")
    clock = Clock()
    source = ReplaySource(run, 10.0, clock)
    assert steps_of(source) == [1]
    clock.now += 2.9
    assert steps_of(source) == []
    clock.now += 0.2
    assert steps_of(source) == [2]


def test_the_speed_can_change_while_it_plays(make_run: MakeRun) -> None:
    clock = Clock()
    source = ReplaySource(make_run(steps=30), 2.0, clock)
    assert steps_of(source) == [1]
    source.speed = 20.0
    clock.now += 0.2
    assert steps_of(source) == [2, 3]


def test_a_run_without_a_journal_has_nothing_to_play(home: Path) -> None:
    run = RunDirectory.create(home / "runs" / "empty", "model:\n  name: bundled\n")
    pulse = ReplaySource(run, 2.0).poll()
    assert pulse is not None
    assert pulse.seen is not None
    assert pulse.seen.phase is Phase.CREATED
    assert pulse.problem == ""


def test_a_run_that_is_gone_is_a_problem_in_words(make_run: MakeRun) -> None:
    run = make_run(steps=2)
    run.state_path.unlink()
    pulse = ReplaySource(run, 2.0).poll()
    assert pulse is not None
    assert "state.json" in pulse.problem


@pytest.mark.parametrize("when", [None, "soon", True])
def test_a_line_without_a_time_does_not_hold_up_the_rest(make_run: MakeRun, when: object) -> None:
    run = make_run(steps=3)
    lines = [json.loads(line) for line in run.events_path.read_text().splitlines()]
    lines[1]["time"] = when
    run.events_path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    clock = Clock()
    source = ReplaySource(run, 1.0, clock)
    source.poll()
    clock.now += 1000
    assert 3 in steps_of(source)
