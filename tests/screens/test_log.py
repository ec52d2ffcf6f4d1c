"""The log's screen: follows as the file grows, searches, and shows everything literally."""

from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Input, Static

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.log import LogScreen
from ppo_tui.screens.widgets.log_view import LogView

from .goldens import check_golden, screen_text

LINES = [f"2026-11-25 08:42:{number:02d} INFO ppo_tui: line {number}" for number in range(60)]


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run_ = run

    def open_home(self) -> None:
        self.push_screen(LogScreen(self.run_))


@pytest.fixture
def run(make_run):
    return make_run(steps=1)


def write(run, *lines, end="\n"):
    with run.log_path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + end)


async def settled(pilot):
    """All that was written is on the screen."""
    pilot.app.screen._look()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


def notes(app):
    return [note.message for note in app._notifications]


def status(app):
    return screen_text(app).splitlines()[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_end_of_the_log_is_shown(run, size):
    write(run, *LINES)
    app = Host(run)
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        check_golden(app, "log")


async def test_it_follows_as_the_log_grows(run):
    write(run, *LINES)
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        write(run, "the newest line")
        await settled(pilot)
        assert "the newest line" in screen_text(app)
        assert "61 lines  following" in status(app)


async def test_looking_back_stays_where_it_is_until_f(run):
    write(run, *LINES)
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("home")
        await pilot.pause()
        write(run, "the newest line")
        await settled(pilot)
        assert "line 0\n" in screen_text(app)
        assert "looking back" in status(app)
        await pilot.press("f")
        await pilot.pause()
        assert "the newest line" in screen_text(app)
        assert "following" in status(app)


async def test_a_search_goes_to_the_newest_match_and_from_match_to_match(run):
    write(run, "an ERROR here", *LINES, "another error there", *LINES)
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("slash", *"Error")
        await pilot.pause()
        assert "another error there" in screen_text(app)
        assert "match 2 of 2" in status(app)
        await pilot.press("enter", "n")
        await pilot.pause()
        assert "an ERROR here" in screen_text(app)
        assert "match 1 of 2" in status(app)
        await pilot.press("p")
        await pilot.pause()
        assert "match 2 of 2" in status(app)
        await pilot.press("escape")
        await pilot.pause()
        assert not app.screen.query_one(Input).display
        assert "match" not in status(app)


async def test_a_search_without_a_match_says_so(run):
    write(run, *LINES)
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("n")
        await pilot.pause()
        assert notes(app) == ["Press / to search first."]
        await pilot.press("slash", *"zebra", "enter", "n")
        await pilot.pause()
        assert "0 matches" in status(app)
        assert notes(app)[-1] == "Nothing holds that."


async def test_long_lines_are_broken_or_not(run):
    write(run, "begin " + "x" * 200 + " end")
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert " end" in screen_text(app)
        await pilot.press("w")
        await pilot.pause()
        assert "not wrapped" in status(app)
        assert " end" not in screen_text(app)
        assert "begin " in screen_text(app)


async def test_the_path_is_copied(run):
    write(run, "x")
    app = Host(run)
    async with app.run_test(size=(120, 24)) as pilot:
        await settled(pilot)
        await pilot.press("y")
        await pilot.pause()
        assert app.clipboard == str(run.log_path)


async def test_a_hostile_log_is_shown_literally(run):
    write(run, "[bold red]no markup[/] [/ \x1b[31m \x1b]0;title\x07", "表" * 60, "z" * 100_000)
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("home")
        await pilot.pause()
        shown = screen_text(app)
        assert r"[bold red]no markup[/] [/ \x1b[31m \x1b]0;title\x07" in shown
        assert shown.count("表") == 60
        await pilot.press("end")
        await pilot.pause()
        assert "00,000 bytes)" in screen_text(app)


async def test_a_run_without_a_log_says_why(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "There is no log yet" in screen_text(app)
        write(run, "now there is")
        await settled(pilot)
        assert "There is no log yet" not in screen_text(app)
        assert "now there is" in screen_text(app)


async def test_a_log_that_cannot_be_read_says_why(run):
    run.log_path.mkdir()
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "cannot be read" in screen_text(app)


async def test_a_reason_is_drawn_once(run, monkeypatch):
    run.log_path.mkdir()
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        note = app.screen.query_one("#log-note", Static)
        drawn = []
        monkeypatch.setattr(note, "update", drawn.append)
        app.screen._look()
        await settled(pilot)
        assert drawn == []
        assert "cannot be read" in screen_text(app)


async def test_nothing_is_drawn_when_nothing_has_changed(run):
    write(run, *LINES)
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        view = app.screen.query_one(LogView)
        shown = view.lines
        await settled(pilot)
        assert view.lines is shown


async def test_escape_goes_back(run):
    write(run, "x")
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(LogScreen(run))
        await settled(pilot)
        depth = len(app.screen_stack)
        await pilot.press("escape")
        assert len(app.screen_stack) == depth - 1


class Alone(App[None]):
    def compose(self) -> ComposeResult:
        yield LogView()


async def test_the_view_draws_only_what_is_in_view():
    app = Alone()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.query_one(LogView)
        view.show([f"line {number}" for number in range(100_000)])
        await pilot.pause()
        await pilot.pause()
        text = screen_text(app)
        assert "line 99999" in text
        assert len(text.splitlines()) == 10


def rows_of(view):
    return [view._row(index) for index in range(view.row_count())]


async def test_the_view_marks_matches_across_a_break():
    app = Alone()
    async with app.run_test(size=(12, 6)) as pilot:
        view = app.query_one(LogView)
        view.show(["aaaaaaaneedleaaaa"])
        await pilot.pause()
        assert view._width == 9
        assert view.find("NEEDLE") == 1
        assert [view._parts(row, view.lines[0]) for row in rows_of(view)] == [
            [(0, 7, ""), (7, 9, "log--match"), (9, 9, "")],
            [(9, 9, ""), (9, 13, "log--match"), (13, 17, "")],
        ]


async def test_the_view_breaks_wide_characters_whole():
    app = Alone()
    async with app.run_test(size=(12, 6)) as pilot:
        view = app.query_one(LogView)
        view.show(["表" * 9])
        await pilot.pause()
        assert rows_of(view) == [(0, 0, 4), (0, 4, 8), (0, 8, 9)]


async def test_the_view_lays_out_what_is_new_and_no_more():
    app = Alone()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.query_one(LogView)
        view.show(["one", "two", "thr"])
        before = view._broken[0]
        view.show(["one", "two", "three " * 10, "four"])
        assert view._broken[0] is before
        assert view.row_count() == 5
        view.show(["two", "three " * 10, "four", "five"], first=1)
        assert view.row_count() == 5
        view.find("three")
        view.go_to_match(1)
        view.show(["three " * 10, "four", "five"], first=2)
        assert view.found == (1, 1)
        view.show(["new"], generation=1)
        assert rows_of(view) == [(0, 0, 3)]
        view.show([], generation=2)
        assert rows_of(view) == []
        await pilot.pause()


async def test_what_is_looked_at_stays_while_lines_above_it_are_forgotten():
    app = Alone()
    async with app.run_test(size=(40, 10)) as pilot:
        view = app.query_one(LogView)
        view.show([f"line {number}" for number in range(100)])
        await pilot.pause()
        view.scroll_to(y=50, animate=False, immediate=True)
        await pilot.pause()
        view.show([f"line {number}" for number in range(7, 107)], first=7)
        await pilot.pause()
        assert screen_text(app).splitlines()[0].strip(" ▁▂▃▄▅▆▇█") == "line 50"
        assert not view.follows
