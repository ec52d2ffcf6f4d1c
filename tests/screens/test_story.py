"""What is known of a run: gathered from batches, smoothed, diagnosed, timed."""

import math

import numpy as np

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.history import Batch, block_of
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import (
    Event,
    eval_event,
    health_event,
    log_event,
    state_event,
)
from ppo_tui.screens.story import Answer, RunStory
from ppo_tui.screens.widgets.panels import KEYS, PANELS, SHOWN_AT_FIRST, metrics_of

from .conftest import metrics_of as healthy


def steps(first: int, last: int, *, seconds: float = 2.0, **metrics: float) -> Batch:
    return Batch(
        block_of(
            [
                {
                    "kind": "step",
                    "step": number,
                    "time": 1000 + seconds * number,
                    "metrics": {**healthy(number, 1 - math.exp(-number / 10)), **metrics},
                }
                for number in range(first, last + 1)
            ]
        )
    )


def events(*given: Event) -> Batch:
    return Batch(block_of([]), given)


def test_a_healthy_run_has_no_findings() -> None:
    story = RunStory()
    story.take(steps(1, 40))
    assert story.findings() == ()


def test_the_workers_own_checks_are_findings_too() -> None:
    story = RunStory()
    story.take(events(health_event(3, "health.whitening", "Mean 0.4.", hint="Report it.",
                                   level="error")))  # fmt: skip
    (finding,) = story.findings()
    assert (finding.code, finding.level, finding.cause) == (
        "health.whitening",
        "error",
        "Mean 0.4.",
    )


def test_the_grave_comes_first() -> None:
    story = RunStory()
    story.take(
        events(
            health_event(1, "health.few_tokens", "Few."),
            health_event(2, "health.whitening", "Mean 0.4.", level="error"),
        )
    )
    assert [finding.level for finding in story.findings()] == ["error", "warning"]


def test_a_run_described_late_is_diagnosed_again_with_what_it_is() -> None:
    story = RunStory()
    story.take(steps(1, 40, **{"memory/peak_gib": 7.9, "memory/planned_gib": 7.8}))
    assert story.findings() == ()
    story.describe(resolve("demo").config, 8.0)
    assert [finding.code for finding in story.findings()] == ["diagnosis.memory_near_limit"]


def test_time_left_is_the_median_step_of_this_session() -> None:
    story = RunStory(session_began=1000 + 2 * 20)
    story.take(steps(1, 30))
    assert story.seconds_per_step == 2.0
    assert story.seconds_left(40) == 20.0
    assert story.seconds_left(0) is None
    assert RunStory().seconds_left(40) is None


def test_a_pause_between_two_steps_is_no_steps_time() -> None:
    story = RunStory()
    story.take(steps(1, 10))
    late = steps(11, 20)
    late.block.times[:] += 3600
    story.take(late)
    assert story.seconds_per_step == 2.0


def test_a_smoothed_course_grows_with_its_metric() -> None:
    story = RunStory()
    story.take(steps(1, 5))
    first = story.smooth("reward/score", 0.9)
    assert first is not None
    before = first.copy()
    story.take(steps(6, 9))
    after = story.smooth("reward/score", 0.9)
    assert after is not None
    assert len(after) == 9
    np.testing.assert_array_equal(after[:5], before)
    assert story.smooth("reward/score", 0.0) is None


def test_base_and_now_are_the_newest_answers_to_the_watched_prompts() -> None:
    story = RunStory()
    answers = [{"prompt": "The soup", "response": " was cold.", "score": -0.2}]
    story.take(events(Event("answers", 0.0, 0, {"who": "base", "answers": answers})))
    now = [{"prompt": "The soup", "response": " was great.", "score": None}]
    story.take(events(Event("answers", 0.0, 10, {"who": "policy", "answers": now})))
    assert story.base == {"The soup": Answer(" was cold.", -0.2, 0)}
    assert story.now["The soup"].text == " was great."
    assert story.now["The soup"].step == 10
    assert math.isnan(story.now["The soup"].score)


def test_an_evaluations_pairs_fill_what_was_not_watched() -> None:
    story = RunStory()
    pairs = [
        {"prompt": "A", "base": "a", "tuned": "b", "base_score": 0.1, "tuned_score": 0.9},
        "rubbish",
        {"prompt": 3},
    ]
    story.take(events(eval_event(7, {"eval/kl": 1.0}, pairs=pairs)))
    assert story.base == {"A": Answer("a", 0.1, 7)}
    assert story.now == {"A": Answer("b", 0.9, 7)}
    assert story.evaluation is not None


def test_what_was_said_holds_until_the_next_step() -> None:
    story = RunStory()
    story.take(events(log_event("Loading the weights.", device="cuda")))
    assert story.said == "Loading the weights."
    story.take(steps(1, 1))
    assert story.said == ""


def test_an_answered_request_is_remembered_in_words() -> None:
    story = RunStory()
    story.take(
        events(
            log_event("Saved it.").answering("7-a"),
            state_event(Phase.PAUSED).answering("8-b"),
        )
    )
    assert story.answers == {"7-a": "Saved it.", "8-b": "paused"}


def test_a_journal_that_begins_anew_is_a_new_story() -> None:
    story = RunStory()
    story.take(steps(1, 30))
    story.take(events(health_event(3, "health.whitening", "Mean 0.4.")))
    story.smooth("reward/score", 0.9)
    again = steps(1, 5)
    story.take(Batch(again.block, restarted=True))
    assert story.history.last_step == 5
    assert story.findings() == ()
    smooth = story.smooth("reward/score", 0.9)
    assert smooth is not None
    assert len(smooth) == 5


def test_every_panel_has_a_name_of_its_own() -> None:
    assert len(set(KEYS)) == len(PANELS)
    assert set(SHOWN_AT_FIRST) <= set(KEYS)


def test_a_panel_shows_what_the_run_has() -> None:
    story = RunStory()
    story.take(steps(1, 3, **{"reward/length": 0.5}))
    by_key = {panel.key: panel for panel in PANELS}
    assert metrics_of(by_key["reward"], story) == [
        ("reward/score", "score"),
        ("reward/sentiment", "sentiment"),
        ("reward/length", "length"),
    ]
    assert metrics_of(by_key["kl"], story) == [("kl/ref", "k1"), ("kl/ref_k3", "k3")]


def test_a_single_term_is_the_score_itself() -> None:
    story = RunStory()
    story.take(steps(1, 3))
    assert metrics_of(PANELS[0], story) == [("reward/score", "score")]
