"""The settings screen: what it lists, that changes hold and are kept, and how keys are given."""

from pathlib import Path

import pytest
from textual.widgets import Input

from ppo_tui.config.settings import AppSettings, load_settings, settings_path
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.dialogs import Ask, Confirm
from ppo_tui.screens.keys import Command
from ppo_tui.screens.settings import PressKey, SettingsList, SettingsScreen
from ppo_tui.screens.settings_rows import in_words, stepped, typed

from .goldens import check_golden, screen_text

COMMANDS = (
    Command(("app.help",), ("question_mark", "f1"), "Help", "Explain what is in focus", "app"),
    Command(("app.quit",), ("q",), "Quit", "Close the app; runs go on by themselves", "app"),
    Command(("app.redraw",), ("ctrl+l",), "Redraw", "Paint the whole screen anew", "app"),
    Command(("runs.delete",), ("x",), "Delete", "Delete the run, after a question", "runs"),
    Command(("runs.new",), ("n",), "New", "Choose model, preset and settings", "runs"),
    Command(
        ("training.pause", "training.continue"), ("p",), "Pause / Continue", "Hold it", "training"
    ),
)


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def open_home(self) -> None:
        self.push_screen(SettingsScreen(lambda: COMMANDS))

    async def ready(self) -> None:
        await self.workers.wait_for_complete()

    def go_to(self, row: str) -> None:
        rows = self.screen.query_one(SettingsList)
        rows.focus()
        rows.highlighted = rows.get_option_index(row)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_everything_is_in_one_list(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PPO_TUI_HOME", "/home/ada/ppo")
    app = Host()
    async with app.run_test(size=size) as pilot:
        await app.ready()
        await pilot.pause()
        await pilot.pause()  # the footer follows the row under the cursor
        check_golden(app, "settings")


async def test_the_theme_changes_under_the_cursor_and_is_kept() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.go_to("theme")
        await pilot.press("right")
        assert app.theme == "ppo-light"
        assert load_settings().theme == "ppo-light"
        await pilot.press("left", "left")
        assert app.theme == "ppo-high-contrast"
        assert "* theme" in screen_text(app)
        await pilot.press("enter")
        assert app.theme == "ppo-dark"
    assert settings_path().read_text() == "schema_version: 1\n"


@pytest.mark.parametrize("switch", ["bell", "title", "animations"])
async def test_enter_turns_a_switch(switch: str) -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.go_to(switch)
        await pilot.press("enter")
        assert getattr(app.settings, switch) is False
        assert getattr(load_settings(), switch) is False
        await pilot.press("enter")
        assert load_settings() == AppSettings()


async def test_the_refresh_rate_holds_at_once() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.go_to("refresh_hz")
        await pilot.press("minus")
        assert app.feed.hertz == 3.5
        await pilot.press("right", "right", "right")
        assert app.feed.hertz == 4.0


async def test_a_number_can_be_typed_and_is_checked_as_typed() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.go_to("smoothing")
        await pilot.press("enter")
        assert isinstance(app.screen, Ask)
        field = app.screen.query_one(Input)
        field.value = "7"
        await pilot.pause()
        assert "it must be from 0 to 0.99" in screen_text(app)
        await pilot.press("enter")
        assert isinstance(app.screen, Ask)
        field.value = "0,85"
        await pilot.press("enter")
        await pilot.pause()
        assert load_settings().smoothing == 0.85


async def test_a_number_that_is_not_answered_stays() -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.go_to("smoothing")
        await pilot.press("enter", "escape")
        assert app.settings == AppSettings()


async def test_a_new_key_works_at_once_and_is_kept() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("app.help")
        await pilot.press("enter")
        assert isinstance(app.screen, PressKey)
        await pilot.press("f7")
        await pilot.pause()
        assert load_settings().keymap == {"app.help": "f7"}
        assert "* Help                f7" in screen_text(app)
        await pilot.press("f7")
        await pilot.pause()
        assert type(app.screen).__name__ == "HelpScreen"


async def test_one_more_key_stands_beside_the_old_ones() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("runs.new")
        await pilot.press("a", "f2")
        await pilot.pause()
        assert load_settings().keymap == {"runs.new": "n,f2"}


async def test_alternatives_get_their_key_together() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("training.pause")
        await pilot.press("enter", "f4")
        await pilot.pause()
        assert load_settings().keymap == {"training.pause": "f4", "training.continue": "f4"}


@pytest.mark.parametrize(
    ("key", "reason"),
    [("ctrl+b", "tmux keeps it for itself"), ("tab", "it goes from one part"), ("enter", "lists")],
)
async def test_a_key_that_terminals_eat_is_refused_with_a_word(key: str, reason: str) -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("runs.new")
        await pilot.press("enter", key)
        await pilot.pause()
        assert isinstance(app.screen, PressKey)
        assert reason in screen_text(app)
        assert "Settings" in screen_text(app)  # still seen around the dialog
        await pilot.press("escape")
        await pilot.pause()
        assert app.settings == AppSettings()


async def test_a_clash_is_told_before_it_is_taken() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("runs.new")
        await pilot.press("enter", "q")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        text = screen_text(app)
        assert "q stands for both Quit (app.quit) and New (runs.new)." in text
        await pilot.press("enter")  # the harmless answer is in focus
        await pilot.pause()
        assert app.settings == AppSettings()


async def test_a_clash_that_was_taken_is_marked_and_explained() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("runs.new")
        await pilot.press("enter", "x", "y")
        await pilot.pause()
        assert load_settings().keymap == {"runs.new": "x"}
        text = screen_text(app)
    assert "▲ New                 x" in text
    assert "▲ Delete              x" in text
    assert "x stands for both Delete (runs.delete) and New (runs.new)." in " ".join(text.split())


async def test_r_gives_one_row_its_default() -> None:
    settings_path().write_text("smoothing: 0.9\nbell: false\nkeymap: {runs.new: f2}\n")
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        app.go_to("smoothing")
        await pilot.press("r")
        assert load_settings() == AppSettings(bell=False, keymap={"runs.new": "f2"})
        app.go_to("runs.new")
        await pilot.press("r")
        assert load_settings() == AppSettings(bell=False)


async def test_x_gives_everything_its_default_after_a_question() -> None:
    settings_path().write_text("smoothing: 0.9\nkeymap: {runs.new: f2}\n")
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        await pilot.press("x")
        await pilot.pause()
        assert "2 rows differ from the defaults." in screen_text(app)
        await pilot.press("n")
        assert load_settings().smoothing == 0.9
        await pilot.press("x", "y")
        await pilot.pause()
        assert load_settings() == AppSettings()


async def test_x_asks_nothing_if_there_is_nothing_to_lose() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, SettingsScreen)


async def test_the_search_finds_by_words_and_by_key() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await app.ready()
        await pilot.pause()
        await pilot.press("slash", *"delete the run")
        await pilot.pause()
        text = screen_text(app)
        assert "Delete" in text
        assert "smoothing" not in text
        await pilot.press("enter")
        assert app.screen.focused is app.screen.query_one(SettingsList)
        await pilot.press("escape")
        await pilot.pause()
        assert "smoothing" in screen_text(app)


async def test_a_search_for_nothing_there_says_so() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("slash", *"zebra")
        await pilot.pause()
        assert "Nothing here holds that." in screen_text(app)


async def test_enter_on_a_folder_copies_it(home: Path) -> None:
    app = Host()
    async with app.run_test() as pilot:
        app.go_to("folder.runs")
        await pilot.press("enter")
    assert app.clipboard == str(home / "runs")


async def test_keys_that_cannot_be_listed_leave_the_rest_of_use() -> None:
    def broken() -> tuple[Command, ...]:
        raise ImportError("no module named 'nothing'")

    class Broken(Host):
        CSS_PATH = Host.CSS_PATH

        def open_home(self) -> None:
            self.push_screen(SettingsScreen(broken))

    app = Broken()
    async with app.run_test() as pilot:
        while "cannot be listed" not in screen_text(app):
            await pilot.pause()
        app.go_to("bell")
        await pilot.press("enter")
    assert load_settings().bell is False


async def test_settings_that_cannot_be_written_hold_and_say_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Host()
    async with app.run_test() as pilot:
        (home / "file").write_text("not a folder")
        monkeypatch.setenv("PPO_TUI_HOME", str(home / "file" / "inside"))
        app.go_to("bell")
        await pilot.press("enter")
        await pilot.pause()
        assert "could not be written" in screen_text(app)
        assert app.settings.bell is False


async def test_a_damaged_file_is_told_at_the_start_and_kept_at_the_first_change(
    home: Path,
) -> None:
    settings_path().write_text("thema: dark\n")
    app = Host()
    async with app.run_test(notifications=True) as pilot:
        await pilot.pause()
        assert app.settings == AppSettings()
        app.go_to("bell")
        await pilot.press("enter")
        await pilot.pause()
    assert (home / "settings.unreadable.yaml").read_text() == "thema: dark\n"
    assert load_settings().bell is False


async def test_a_row_is_changed_by_the_mouse_as_well() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.ready()
        await pilot.pause()
        row = next(i for i, line in enumerate(screen_text(app).splitlines()) if " bell " in line)
        await pilot.click(offset=(4, row))
        await pilot.pause()
    assert load_settings().bell is False


@pytest.mark.parametrize(
    ("start", "direction", "end"),
    [(0.6, 1, 0.65), (0.6, -1, 0.55), (0.99, -1, 0.95), (0.97, 1, 0.99), (0.02, -1, 0.0)],
)
def test_a_step_lands_on_round_numbers_within_bounds(
    start: float, direction: int, end: float
) -> None:
    assert stepped(AppSettings(smoothing=start), "smoothing", direction).smoothing == end


def test_a_number_with_a_comma_is_understood() -> None:
    assert typed(AppSettings(), "refresh_hz", " 2,5 ").refresh_hz == 2.5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("refresh_hz", 1.0, "once a second"),
        ("refresh_hz", 0.5, "0.5 times a second"),
        ("smoothing", 0.0, "0 (none)"),
        ("smoothing", 0.6, "0.60"),
        ("bell", True, "on"),
        ("theme", "ppo-dark", "ppo-dark (dark)"),
    ],
)
def test_values_are_told_in_words(name: str, value: object, words: str) -> None:
    assert in_words(name, value) == words
