"""Questions: what the keys answer, and what is in focus at first."""

from typing import Any

import pytest
from textual.app import App
from textual.widgets import Button, OptionList

from ppo_tui.errors import ConfigError
from ppo_tui.screens.dialogs import Ask, Choose, Confirm, ShowError

from .goldens import screen_text

HOSTILE = "[bold]x[/ \x1b[31m 宽"


class Asking(App[None]):
    """Shows one question and keeps the answer."""

    def __init__(self, question: Any) -> None:
        super().__init__()
        self.question = question
        self.answers: list[Any] = []

    def on_mount(self) -> None:
        self.push_screen(self.question, self.answers.append)


@pytest.mark.parametrize(
    ("keys", "danger", "answer"),
    [
        (["y"], False, True),
        (["n"], False, False),
        (["escape"], False, False),
        (["enter"], False, True),
        (["enter"], True, False),
        (["left", "enter"], True, True),
        (["right", "enter"], False, False),
    ],
)
async def test_a_yes_or_no(keys: list[str], danger: bool, answer: bool) -> None:
    app = Asking(Confirm("Delete it?", "For good.", danger=danger))
    async with app.run_test() as pilot:
        await pilot.press(*keys)
    assert app.answers == [answer]


async def test_a_click_answers() -> None:
    app = Asking(Confirm("Delete it?"))
    async with app.run_test() as pilot:
        await pilot.click("#yes")
    assert app.answers == [True]


async def test_what_is_lost_by_a_yes_has_the_no_in_focus() -> None:
    app = Asking(Confirm("Delete it?", danger=True))
    async with app.run_test():
        focused = app.screen.focused
        assert isinstance(focused, Button)
        assert focused.id == "no"


async def test_a_text_is_taken_with_enter() -> None:
    app = Asking(Ask("A name?", "old"))
    async with app.run_test() as pilot:
        await pilot.press("n", "e", "w", "enter")
    assert app.answers == ["new"]


async def test_a_text_that_is_wrong_is_not_taken_and_says_why() -> None:
    app = Asking(Ask("A number?", "", check=lambda text: "" if text.isdigit() else f"Not {text}."))
    async with app.run_test() as pilot:
        await pilot.press("x", "enter")
        assert app.answers == []
        assert "Not x." in screen_text(app)
        await pilot.press("backspace", "7", "enter")
    assert app.answers == ["7"]


async def test_escape_leaves_a_question_unanswered() -> None:
    app = Asking(Ask("A name?", "old"))
    async with app.run_test() as pilot:
        await pilot.press("escape")
    assert app.answers == [None]


async def test_one_of_several() -> None:
    app = Asking(Choose("Which?", [("a", "First"), ("b", "Second")], chosen="b"))
    async with app.run_test() as pilot:
        assert app.screen.query_one(OptionList).highlighted == 1
        await pilot.press("up", "enter")
    assert app.answers == ["a"]


async def test_none_of_several() -> None:
    app = Asking(Choose("Which?", [("a", "First")]))
    async with app.run_test() as pilot:
        await pilot.press("escape")
    assert app.answers == [None]


async def test_an_error_is_shown_whole_and_can_be_copied() -> None:
    app = Asking(ShowError(ConfigError("It is wrong.", hint="Mend it.", code="config.x")))
    async with app.run_test() as pilot:
        text = screen_text(app)
        assert "It is wrong." in text
        assert "Mend it." in text
        assert "config.x" in text
        await pilot.press("c")
        assert app.clipboard == "config.x: It is wrong. Mend it."
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


QUESTIONS = {
    "confirm": lambda: Confirm(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    "choose": lambda: Choose(HOSTILE, [("a", HOSTILE)], HOSTILE),
    "ask": lambda: Ask(HOSTILE, HOSTILE, HOSTILE, check=lambda text: HOSTILE),
    "error": lambda: ShowError(ConfigError(HOSTILE, hint=HOSTILE)),
}


@pytest.mark.parametrize("kind", QUESTIONS)
@pytest.mark.parametrize("size", [(80, 24), (20, 8)])
async def test_foreign_text_is_literal(kind: str, size: tuple[int, int]) -> None:
    app = Asking(QUESTIONS[kind]())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert "\x1b" not in text
        if size == (80, 24):
            assert "[bold]x[/" in text
