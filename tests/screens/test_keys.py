"""Keys as data: what there is, what is refused, where two clash, and that Textual agrees."""

from pathlib import Path
from typing import ClassVar

import pytest
from textual.app import App
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static
from textual.widgets._toast import Toast

from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.keys import (
    EATEN,
    TAKEN,
    Command,
    all_commands,
    clashes,
    commands_of,
    complaints,
    lost,
    normal,
    refusal,
    shown,
    with_key,
)

WATER = Command(("garden.water",), ("w",), "Water", "Give water", "garden")
WEED = Command(("garden.weed",), ("e", "f3"), "Weed", "Take weeds out", "garden")
QUIT = Command(("app.quit",), ("q",), "Quit", "Close the app", "app")
YES = Command(("dialog.yes",), ("y",), "Yes", "Do it", "dialogs", modal=True)
SORT = Command(("shed.sort",), ("s",), "Sort", "Sort the tools", "shed")
CURVE = Command(("curve.zoom",), ("z",), "Zoom", "Larger", "curve")
PLOT = Command(("plot.save",), ("v",), "Save", "", "plot", beside=frozenset({"plot", "curve"}))


def test_signs_are_named_as_textual_names_them() -> None:
    assert normal("?, /,f5,A,ctrl+l") == ("question_mark", "slash", "f5", "A", "ctrl+l")


@pytest.mark.parametrize(
    ("key", "sign"), [("question_mark", "?"), ("slash", "/"), ("f5", "f5"), ("ctrl+l", "ctrl+l")]
)
def test_keys_are_shown_as_they_stand_on_the_keyboard(key: str, sign: str) -> None:
    assert shown(key) == sign


@pytest.mark.parametrize("key", [*EATEN, *TAKEN, "alt+x", "shift+f5", "ctrl+alt+x", "super+k"])
def test_keys_that_do_not_arrive_are_refused_with_a_reason(key: str) -> None:
    sentence = refusal(key, WATER)
    assert "cannot be used: " in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("key", ["w", "W", "5", "f9", "question_mark", "space", "home", "ctrl+l"])
def test_letters_digits_and_function_keys_are_taken(key: str) -> None:
    assert refusal(key, WATER) == ""


def test_a_key_that_something_has_by_default_is_not_refused_to_it() -> None:
    back = Command(("app.back",), ("escape",), "Back", "")
    assert refusal("escape", back) == ""


def test_a_key_for_two_things_of_one_place_is_a_clash() -> None:
    (clash,) = clashes([WATER, WEED, QUIT], {"garden.water": "e"})
    assert clash.sentence == "e stands for both Water (garden.water) and Weed (garden.weed)."


def test_what_is_everywhere_clashes_with_everything_but_questions() -> None:
    commands = [WATER, SORT, QUIT, YES]
    found = clashes(commands, {"app.quit": "s"})
    assert [(clash.one.id, clash.other.id) for clash in found] == [("shed.sort", "app.quit")]
    assert clashes(commands, {"app.quit": "y"}) == ()


def test_places_that_are_never_there_together_do_not_clash() -> None:
    assert clashes([WATER, SORT], {"shed.sort": "w"}) == ()


def test_a_widget_clashes_with_the_screen_that_uses_it() -> None:
    assert len(clashes([CURVE, PLOT, WATER], {"curve.zoom": "v"})) == 1
    assert clashes([CURVE, PLOT, WATER], {"curve.zoom": "w"}) == ()


def test_keys_that_were_swapped_do_not_clash() -> None:
    assert clashes([WATER, WEED], {"garden.water": "e", "garden.weed": "w"}) == ()


def test_what_the_app_itself_binds_twice_is_no_clash() -> None:
    twice = Command(("garden.wander",), ("w",), "Wander", "", "garden")
    assert clashes([WATER, twice], {}) == ()


def test_the_own_key_again_leaves_the_keymap() -> None:
    keymap = {"garden.water": "e", "app.quit": "f10"}
    assert with_key(keymap, WATER, ("w",)) == {"app.quit": "f10"}
    assert with_key(keymap, WATER, None) == {"app.quit": "f10"}
    assert with_key(keymap, WATER, ("w", "f7")) == {"app.quit": "f10", "garden.water": "w,f7"}


def test_a_keymap_is_complained_about_in_sentences() -> None:
    keymap = {"garden.water": "e", "garden.wed": "f2"}
    assert complaints([WATER, WEED], keymap) == [
        "e stands for both Water (garden.water) and Weed (garden.weed).",
        "The keymap of the settings names 'garden.wed', which is nothing here; "
        "did you mean 'garden.weed'?",
    ]


async def test_what_is_wrong_with_a_keymap_is_told_at_the_start(home: Path) -> None:
    (home / "settings.yaml").write_text("keymap: {app.help: q, app.halp: f2}\n")
    app = PpoTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        told = [toast.render().plain for toast in app.screen.query(Toast)]
    assert "q stands for both Help (app.help) and Quit (app.quit)." in told
    assert any("'app.halp', which is nothing here; did you mean 'app.help'?" in t for t in told)


class Tap(Static, can_focus=True):
    """Opens or closes: the same key, one or the other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "turn('open')", "Open", id="tap.open", tooltip="Let it run"),
        Binding("o", "turn('close')", "Close", id="tap.close", tooltip="Stop it"),
        Binding("d,delete", "drain", "Drain", id="tap.drain"),
        Binding("f", "fill", "Fill", id="tap.fill"),
    ]

    done: ClassVar[list[str]] = []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "turn" or parameters == ("close",)

    def action_turn(self, way: str) -> None:
        self.done.append(way)

    def action_drain(self) -> None:
        self.done.append("drain")

    def action_fill(self) -> None:
        self.done.append("fill")


def test_alternatives_on_one_key_are_one_command() -> None:
    turn, drain, fill = commands_of(Tap)
    assert turn.ids == ("tap.open", "tap.close")
    assert (turn.name, turn.words) == ("Open / Close", "Let it run; Stop it")
    assert drain.keys == ("d", "delete")
    assert fill.area == "Tap"


class Host(App[None]):
    def __init__(self, keymap: dict[str, str]) -> None:
        super().__init__()
        self.set_keymap(keymap)
        self.clashed: list[list[str]] = []
        Tap.done.clear()

    def compose(self):  # type: ignore[no-untyped-def]
        yield Tap("tap")

    def handle_bindings_clash(self, clashed_bindings, node) -> None:  # type: ignore[no-untyped-def]
        sentences = [clash.sentence for clash in lost(node, self._keymap)]
        if sentences not in self.clashed:
            self.clashed.append(sentences)


async def test_alternatives_move_to_another_key_together() -> None:
    app = Host(with_key({}, commands_of(Tap)[0], ("p",)))
    async with app.run_test() as pilot:
        await pilot.press("o", "p")
    assert Tap.done == ["close"]
    assert [found for found in app.clashed if found] == []


async def test_one_key_for_a_binding_that_had_two_is_no_clash() -> None:
    app = Host({"tap.drain": "z"})
    async with app.run_test() as pilot:
        await pilot.press("d", "delete", "z")
    assert Tap.done == ["drain"]
    assert [found for found in app.clashed if found] == []


async def test_a_clash_that_textual_finds_is_told_in_our_words() -> None:
    app = Host({"tap.drain": "f"})
    async with app.run_test() as pilot:
        await pilot.press("f")
    assert ["f stands for both Drain (tap.drain) and Fill (tap.fill)."] in app.clashed


def test_all_screens_are_looked_through() -> None:
    commands = all_commands()
    ids = [id_ for command in commands for id_ in command.ids]
    assert {"app.help", "app.quit", "doctor.again", "help.search", "settings.reset"} <= set(ids)
    assert len(ids) == len(set(ids))
    assert commands[0].id.startswith("app.")
    assert commands[-1].id.startswith("dialog.")


def test_every_key_of_the_app_has_a_name_and_words() -> None:
    commands = all_commands()
    assert [command.id for command in commands if not command.name] == []
    silent = [command.id for command in commands if not command.words]
    assert [id_ for id_ in silent if not id_.startswith("dialog.")] == []


def test_no_tooltip_is_changed_by_being_read_as_markup() -> None:
    for command in all_commands():
        for words in (command.words, command.name):
            assert Content.from_markup(words).plain == words
