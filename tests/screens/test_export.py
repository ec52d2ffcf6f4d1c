"""The export's dialog: a folder, an answer in words, and how to load what was put there."""

import asyncio
import re
from pathlib import Path
from threading import Event

import pytest
from export.conftest import save_checkpoint
from textual.widgets import Input

from ppo_tui.export.adapter import export_adapter
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.screens import app as app_module
from ppo_tui.screens import export as export_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.base import PpoScreen
from ppo_tui.screens.export import ExportScreen
from ppo_tui.screens.help import HelpScreen

from .goldens import check_golden, screen_text


class Host(PpoTuiApp):
    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run_ = run

    def open_home(self) -> None:
        self.push_screen(PpoScreen())
        self.push_screen(ExportScreen(self.run_))


@pytest.fixture
def run(make_run, home, monkeypatch):
    monkeypatch.chdir(home)
    run = make_run(steps=0)
    save_checkpoint(run, 30)
    return run


async def settled(pilot):
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()


def fill(app, text):
    app.screen.query_one(Input).value = text


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_question_and_the_answer(run, home, size):
    app = Host(run)
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        assert app.screen.query_one(Input).value == str(home / "first-run-adapter")
        fill(app, "out")
        await pilot.pause()
        check_golden(app, "export-question")
        await pilot.press("enter")
        await settled(pilot)
        # The path is another at every run of the tests.
        shown = screen_text(app)
        assert "✓ The adapter after step 30" in shown
        assert "4 files, a README.md among them" in shown
        assert "PeftModel.from_pretrained" in shown
    assert (home / "out" / "README.md").is_file()


async def test_a_folder_that_is_taken_is_refused_in_words_and_another_may_follow(run, home):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(app, str(home))
        await pilot.press("enter")
        await settled(pilot)
        assert "✗" in screen_text(app)
        assert "is not empty" in " ".join(screen_text(app).replace("│", " ").split())
        fill(app, "other")
        await pilot.press("enter")
        await settled(pilot)
        assert "✓ The adapter after step 30" in screen_text(app)


async def test_a_run_without_a_checkpoint_says_how_to_get_one(make_run, home, monkeypatch):
    monkeypatch.chdir(home)
    app = Host(make_run("empty", steps=0))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await settled(pilot)
        assert "empty has no checkpoint yet" in screen_text(app)
        assert "`ppo-tui checkpoint empty`" in screen_text(app)


async def test_a_path_that_cannot_be_one_is_refused(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(app, "a\x00b")
        await pilot.press("enter")
        await settled(pilot)
        assert "That cannot be a folder" in screen_text(app)


async def test_code_and_path_are_copied_once_they_are_there(run, home):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        assert not app.screen.check_action("copy_code", ())
        fill(app, "out")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("p")
        assert app.clipboard == str(home / "out")
        await pilot.press("c")
        assert f"PeftModel.from_pretrained(base, {str(home / 'out')!r})" in app.clipboard


async def test_escape_closes_it(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        assert isinstance(app.screen, ExportScreen)
        await pilot.press("escape")
        assert not isinstance(app.screen, ExportScreen)


async def test_an_empty_folder_is_asked_for_again(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        fill(app, " ")
        await pilot.press("enter")
        await settled(pilot)
        assert "Name a folder that does not exist yet" in screen_text(app)


async def test_f1_explains_it(run):
    app = Host(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f1")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        assert "Copies the newest checkpoint's adapter" in screen_text(app)


@pytest.mark.parametrize(
    ("folder", "words"), [("out", "The adapter after step 30 is in"), (".", "is not empty")]
)
async def test_an_export_that_outlives_its_dialog_tells_how_it_ended(
    run, home, monkeypatch, folder, words
):
    begun, closed = Event(), Event()

    def slow(*arguments):
        begun.set()
        closed.wait(30)
        return export_adapter(*arguments)

    monkeypatch.setattr(export_module, "export_adapter", slow)
    app = Host(run)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        fill(app, folder)
        await pilot.press("enter")
        async with asyncio.timeout(30):
            while not begun.is_set():
                await pilot.pause(0.01)
            await pilot.press("escape")
            await pilot.pause()
            closed.set()
            while words not in " ".join(re.sub("[│▌]", " ", screen_text(app)).split()):
                await pilot.pause(0.01)
