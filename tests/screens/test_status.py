"""A run in one line, and its trouble in words; never wider than the terminal."""

import math

import pytest

from ppo_tui.runs.diagnosis import Change, Finding
from ppo_tui.runs.history import Batch, block_of
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import ErrorInfo, RunState, eval_event
from ppo_tui.runs.state import Observed
from ppo_tui.screens.status import finding_line, phase_words, status_of, trouble_of
from ppo_tui.screens.story import RunStory

from .conftest import metrics_of

KEYS = {"resume": "u", "log": "o", "apply": "a", "findings": "h"}
HOSTILE = "\x1b]0;x\x07[bold]name[/\u202e宽" * 3


def story_of(steps: int, first: int = 1) -> RunStory:
    story = RunStory()
    story.take(
        Batch(
            block_of(
                [
                    {
                        "kind": "step",
                        "step": number,
                        "time": 1000 + 2 * number,
                        "metrics": metrics_of(number, 0.5),
                    }
                    for number in range(first, steps + 1)
                ]
            )
        )
    )
    return story


def seen(phase: Phase, step: int = 12, total: int = 36, *, alive: bool = True) -> Observed:
    return Observed(phase, RunState(phase, step, total), alive)


def test_it_tells_state_step_time_left_reward_and_memory() -> None:
    line = status_of("demo", seen(Phase.UPDATE), story_of(12), 118).plain
    assert line == ("demo  ● update  step 12/36 33%  0:48 left  reward 0.425  KL 1.65  0.530 GiB")


def test_before_the_first_look_it_says_so() -> None:
    assert status_of("demo", None, RunStory(), 78).plain == "demo  reading …"


@pytest.mark.parametrize("width", [78, 98, 118, 198])
@pytest.mark.parametrize("phase", list(Phase))
def test_it_fits_whatever_it_is_called(width: int, phase: Phase) -> None:
    story = story_of(99_999, first=99_980)
    line = status_of(
        HOSTILE,
        seen(phase, 99_999, 100_000),
        story,
        width,
        asked="save and stop",
        looking_at=50_000,
    )
    state = phase_words(phase)
    assert line.plain.find(state) > 0
    assert line.plain.index("99999/100000") + 18 <= width
    assert "\x1b" not in line.plain


def test_at_80_columns_nothing_that_matters_is_cut() -> None:
    line = status_of("a-run-with-a-name-20261125-120000", seen(Phase.ROLLOUT), story_of(12), 78)
    assert line.cell_length <= 78
    for words in ("● rollout", "step 12/36 33%", "0:48 left", "reward 0.425", "GiB"):
        assert words in line.plain


def test_a_run_that_ended_has_no_time_left() -> None:
    line = status_of("demo", seen(Phase.FINISHED, 36, alive=False), story_of(36), 118).plain
    assert "✓ finished" in line
    assert "left" not in line


def test_an_evaluated_run_says_what_share_of_the_optimum_it_has_reached() -> None:
    story = story_of(36)
    found = eval_event(36, {"eval/share_of_optimum": 0.954})
    story.take(Batch(block_of([]), (found,)))
    line = status_of("demo", seen(Phase.FINISHED, 36, alive=False), story, 118).plain
    assert line.endswith("95% of the optimum")
    story.take(Batch(block_of([]), (eval_event(36, {"eval/share_of_optimum": None}),)))
    line = status_of("demo", seen(Phase.FINISHED, 36, alive=False), story, 118).plain
    assert "optimum" not in line


def test_a_replay_says_that_it_is_one() -> None:
    line = status_of("demo", seen(Phase.ROLLOUT, alive=False), story_of(3), 118, replay=20.0)
    assert "replay 20×" in line.plain


def test_a_missing_plan_and_a_reward_that_is_not_finite_are_no_trouble() -> None:
    story = RunStory()
    metrics = {"reward/score": math.nan, "memory/peak_gib": 1.0, "memory/planned_gib": None}
    story.take(Batch(block_of([{"kind": "step", "step": 1, "time": 1.0, "metrics": metrics}])))
    line = status_of("demo", seen(Phase.UPDATE, 1), story, 118).plain
    assert "reward –" in line
    assert "1.00 GiB" in line


def test_a_failure_is_told_with_its_hint_and_its_keys() -> None:
    error = ErrorInfo("memory.step", "The memory ran out.", "Lower ppo.micro_batch_size.")
    line = trouble_of(error, can_resume=True, keys=KEYS).plain
    assert line == ("✗ The memory ran out. Lower ppo.micro_batch_size.  [u: resume   o: its log]")
    assert "resume" not in trouble_of(error, can_resume=False, keys=KEYS).plain.split("[")[1]


def test_a_failures_words_are_literal() -> None:
    error = ErrorInfo("x", "[bold]\x1b[31m", "[/")
    assert "[bold]\\x1b[31m. [/" in trouble_of(error, can_resume=False, keys=KEYS).plain


def test_a_finding_names_the_key_that_does_something_about_it() -> None:
    change = Change("kl_coef", 0.1, live=True)
    finding = Finding("diagnosis.x", "warning", "KL runs away", "12 nats.", "Raise it.", change, 4)
    assert finding_line(finding, 2, KEYS).plain == (
        "▲ KL runs away: 12 nats. [a: KL coefficient → 0.100] [h: all] +2"
    )


def test_a_change_that_needs_a_new_run_says_so() -> None:
    change = Change("rollout.top_k", 0, live=False)
    finding = Finding("diagnosis.x", "error", "Cut", "It is cut.", "Off.", change, 4)
    assert "[a: rollout.top_k → 0 in a new run]" in finding_line(finding, 0, KEYS).plain
    assert finding_line(finding, 0, KEYS).plain.startswith("✗ ")


def test_a_finding_without_a_change_tells_the_remedy() -> None:
    finding = Finding("diagnosis.x", "warning", "Flat", "All alike.", "Look at them.", None, 4)
    assert "Look at them. [h: more]" in finding_line(finding, 0, KEYS).plain
