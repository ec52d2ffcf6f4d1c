"""Base's answer and now's, side by side; alone in a tiny app."""

from __future__ import annotations

import math

import pytest

from ppo_tui.screens.story import Answer
from ppo_tui.screens.widgets.answers import NOTHING_YET, Answers, marked
from ppo_tui.text.diff import Span

from .goldens import screen_text
from .host import Host

BASE = {
    "The soup was": Answer(" cold and dull.", -0.5, 0),
    "The room": Answer(" was small.", 0.0, 0),
}
NOW = {
    "The soup was": Answer(" hot and wonderful.", 0.75, 20),
    "The room": Answer(" was small.", 0.0, 20),
}


async def shown(app: Host, pilot: object) -> list[str]:
    await app.workers.wait_for_complete()
    await pilot.pause()  # type: ignore[attr-defined]
    return [line for line in screen_text(app).splitlines() if line]


async def test_before_there_are_answers_it_says_when_they_come():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(120, 8)) as pilot:
        lines = await shown(app, pilot)
        assert lines[0] == "Base and now"
        assert " ".join(lines[1:]) == NOTHING_YET

        answers.show_answers({}, {})
        assert (await shown(app, pilot))[0] == "Base and now"


async def test_both_answers_stand_under_their_prompt_with_score_and_step():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers(BASE, NOW)

        assert await shown(app, pilot) == [
            "Base and now · prompt 1 of 2 · -0.500 → 0.750",
            "The soup was",
            "base -0.500",
            " cold and dull.",
            "now 0.750 · step 20",
            " hot and wonderful.",
        ]


async def test_without_colours_what_changed_stands_in_marks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_COLOR", "1")
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers(BASE, NOW)
        lines = await shown(app, pilot)

    assert lines[3] == " [-cold-] and [-dull.-]"
    assert lines[5] == " {+hot+} and {+wonderful.+}"


def test_changed_words_are_bold_and_underlined_and_the_spaces_beside_them_are_not():
    content = marked([Span("the ", False), Span(" old ", True)], "[-", "-]", "red", both=True,
                     marks=False)  # fmt: skip

    assert content.plain == "the  old "
    styles = [(content.plain[s.start : s.end], str(s.style)) for s in content.spans if s.style]
    assert styles == [("old", "bold underline red")]


async def test_keys_go_through_the_prompts_round_the_end():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers(BASE, NOW)
        answers.focus()
        await pilot.press("right")
        lines = await shown(app, pilot)
        assert lines[0] == "Base and now · prompt 2 of 2 · 0.000 → 0.000"
        assert lines[1:] == ["The room", "base 0.000", " was small.", "now 0.000 · step 20",
                             " was small."]  # fmt: skip

        await pilot.press("right")
        assert answers.prompt == "The soup was"
        await pilot.press("left")
        assert answers.prompt == "The room"


async def test_newer_answers_are_shown_and_the_prompt_in_view_stays():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers(BASE, NOW)
        answers.focus()
        await pilot.press("right")
        answers.show_answers(BASE, {**NOW, "The room": Answer(" was lovely.", 0.5, 30)})
        lines = await shown(app, pilot)

    assert lines[0] == "Base and now · prompt 2 of 2 · 0.000 → 0.500"
    assert lines[4:] == ["now 0.500 · step 30", " was lovely."]


async def test_before_the_policy_has_answered_the_base_stands_alone():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers(BASE, {})

        assert await shown(app, pilot) == [
            "Base and now · prompt 1 of 2",
            "The soup was",
            "base -0.500",
            " cold and dull.",
            "now: the policy has not answered yet",
        ]


async def test_answers_of_a_run_whose_base_never_answered_are_shown():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers({}, {"The soup was": Answer("", math.nan, 5)})

        assert (await shown(app, pilot))[1:] == [
            "The soup was",
            "base: not answered",
            "now – · step 5",
            "(nothing)",
        ]


async def test_answers_that_a_resume_took_back_are_gone():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(120, 10)) as pilot:
        answers.show_answers(BASE, NOW)
        await shown(app, pilot)
        answers.show_answers({}, {})
        lines = await shown(app, pilot)

    assert lines[0] == "Base and now"
    assert " ".join(lines[1:]) == NOTHING_YET


async def test_text_that_would_be_markup_or_an_escape_sequence_is_shown_as_it_is():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers(
            {"[/a] prompt\x1b[2J": Answer(" [red]x[/", 0.0, 0)},
            {"[/a] prompt\x1b[2J": Answer(" [red]x[/ \x07", 0.0, 5)},
        )
        text = "\n".join(await shown(app, pilot))

    assert r"[/a] prompt\x1b[2J" in text
    assert r" [red]x[/ \x07" in text


async def test_of_a_very_long_answer_the_beginning_is_compared_and_it_says_so():
    answers = Answers()
    app = Host(answers)
    async with app.run_test(size=(60, 10)) as pilot:
        answers.show_answers({"p": Answer("x" * 100_000, 0.0, 0)}, {"p": Answer("y", 0.0, 5)})

        assert "base 0.000 · the first 4,000 characters" in await shown(app, pilot)
