"""Help: what it is made of, and how it is read and searched."""

from pathlib import Path
from typing import ClassVar

import pytest
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.base import PpoScreen
from ppo_tui.screens.help import HelpScreen, help_of, keys_of, name_of, paragraphs_with

from .goldens import check_golden, screen_text


class Curve(Static, can_focus=True):
    HELP = """
    # A curve

    It shows how the reward moves.

    The dim line is what was measured.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "back", "Earlier", id="curve.back", tooltip="Read the value before"),
        Binding("z", "zoom", "Zoom", id="curve.zoom", tooltip="Make [it] larger"),
    ]

    def action_back(self) -> None: ...

    def action_zoom(self) -> None: ...

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return None if action == "zoom" else True


class Garden(PpoScreen[None]):
    TITLE_WORDS = "Garden"
    HELP = "Where things grow."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "water", "Water", id="garden.water", tooltip="Give every plant some water"),
    ]

    def compose_body(self) -> ComposeResult:
        yield Curve("a curve", markup=False)
        yield Static("no help of its own", id="plain", markup=False)

    def action_water(self) -> None: ...


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def open_home(self) -> None:
        self.push_screen(Garden())


async def test_the_help_of_the_focused_widget_comes_before_the_screens() -> None:
    app = Host()
    async with app.run_test():
        curve = app.screen.query_one(Curve)
        first, second = help_of(app.screen, curve)
    assert first.startswith("# A curve\n\nIt shows")
    assert second == "Where things grow."


async def test_a_widget_without_help_leaves_the_screens() -> None:
    app = Host()
    async with app.run_test():
        texts = help_of(app.screen, app.screen.query_one("#plain"))
    assert texts == ("Where things grow.",)


async def test_the_keys_are_grouped_from_near_to_far() -> None:
    app = Host()
    async with app.run_test():
        app.screen.query_one(Curve).focus()
        groups = keys_of(app.screen)
    assert [group.title for group in groups] == ["In focus", "On this screen", "Everywhere"]
    assert [(line.keys, line.name) for line in groups[0].lines] == [
        ("← h", "Earlier"),
        ("z", "Zoom"),
    ]
    assert "Water" in [line.name for line in groups[1].lines]
    assert "Quit" in [line.name for line in groups[2].lines]


async def test_what_cannot_be_done_now_is_marked() -> None:
    app = Host()
    async with app.run_test():
        app.screen.query_one(Curve).focus()
        earlier, zoom = keys_of(app.screen)[0].lines
    assert (earlier.active, zoom.active) == (True, False)


async def test_a_remapped_key_is_shown_as_it_is_now() -> None:
    app = Host()
    async with app.run_test():
        app.set_keymap({"garden.water": "f7"})
        lines = {line.name: line.keys for group in keys_of(app.screen) for line in group.lines}
    assert lines["Water"] == "f7"


class NewRunScreen(PpoScreen[None]):
    pass


def test_a_screen_is_called_by_the_words_of_its_class() -> None:
    assert name_of(NewRunScreen()) == "New run"
    assert name_of(Garden()) == "Garden"


def test_a_search_keeps_whole_paragraphs() -> None:
    assert paragraphs_with("One cat.\n\nA dog,\nand a Cat.\n\nNone.", "cat") == (
        "One cat.\n\nA dog,\nand a Cat."
    )


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_question_mark_opens_it(size: tuple[int, int]) -> None:
    app = Host()
    async with app.run_test(size=size) as pilot:
        app.screen.query_one(Curve).focus()
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        check_golden(app, "help")


async def test_the_numbers_are_explained_below_the_keys() -> None:
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("question_mark")
        await pilot.press("slash", *"explained")
        await pilot.pause()
        text = screen_text(app)
    assert "explained variance (value/explained_variance)" in text
    assert "Where things grow." not in text
    assert "Water" not in text


async def test_a_search_shows_only_what_holds_the_word() -> None:
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("question_mark")
        await pilot.press("slash", *"PLANT")
        await pilot.pause()
        text = screen_text(app)
    assert "Water: Give every plant some water" in text
    assert "Quit" not in text
    assert "What the numbers" not in text


async def test_a_search_for_nothing_there_says_so() -> None:
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("question_mark")
        await pilot.press("slash", *"zebra")
        await pilot.pause()
        assert "Nothing here holds that." in screen_text(app)


async def test_escape_empties_the_search_before_it_closes_the_help() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("question_mark", "slash", "x", "escape")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        assert app.screen.query_one(Input).value == ""
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Garden)


async def test_enter_in_the_search_goes_to_the_text() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("question_mark", "slash", "k", "enter")
        await pilot.pause()
        assert app.screen.focused is not None
        assert app.screen.focused.id == "help-text"


async def test_q_closes_it_and_the_focus_is_where_it_was() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.screen.query_one(Curve).focus()
        await pilot.press("question_mark", "q")
        await pilot.pause()
        assert isinstance(app.screen, Garden)
        assert isinstance(app.screen.focused, Curve)


async def test_brackets_in_a_tooltip_are_shown_as_they_are() -> None:
    app = Host()
    async with app.run_test(size=(100, 40)) as pilot:
        app.screen.query_one(Curve).focus()
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Zoom: Make [it] larger (not now)" in screen_text(app)


async def test_it_scrolls_by_the_keyboard() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark", "end")
        await pilot.pause()
        await pilot.wait_for_animation()
        assert app.screen.query_one("#help-text").scroll_offset.y > 20
