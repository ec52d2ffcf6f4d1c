"""The same in the app: the sentence is on the screen, and the app lives on."""

from pathlib import Path

import pytest
from schemas.conftest import recorded
from textual.pilot import Pilot
from textual.widgets import Input

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.screens.app import PpoTuiApp
from screens.goldens import screen_text

from .broken import FILES, everything_in
from .test_runs import spoil

SOME = ["noise", "deep lists", "a pipe", "a folder", "endless zeros", "a link to itself"]


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLORFGBG", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)


async def settled(app: PpoTuiApp, pilot: Pilot[None]) -> str:
    """What stands on the screen once everything that was begun is done, in one line."""
    for _ in range(4):
        await pilot.pause()
        await app.workers.wait_for_complete()
    await pilot.pause()
    return " ".join(screen_text(app).split())


@pytest.mark.parametrize("name", SOME)
async def test_a_run_that_is_none_is_listed_and_opened(home: Path, name: str) -> None:
    spoil(recorded(home, "mine").state_path, name)
    recorded(home, "other")
    app = PpoTuiApp()
    async with app.run_test(size=(120, 30)) as pilot:
        text = await settled(app, pilot)
        assert "mine" in text
        assert "other" in text
        app.open_run(RunDirectory(home / "runs" / "mine"))
        text = await settled(app, pilot)
        assert "state.json" in text
        await pilot.press("escape")
        assert "other" in await settled(app, pilot)


@pytest.mark.parametrize("name", SOME)
async def test_a_damaged_checkpoint_is_not_exported(home: Path, name: str) -> None:
    run = recorded(home, "mine")
    spoil(run.checkpoints_path / "step-000002" / "manifest.json", name)
    app = PpoTuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        app.open_export(run)
        await settled(app, pilot)
        app.screen.query_one(Input).value = str(home / "out")
        await pilot.press("enter")
        text = await settled(app, pilot)
        assert "damaged" in text
        assert not (home / "out").exists()
        assert app.is_running


@pytest.mark.parametrize("name", [*SOME, "2 GB", "missing"])
async def test_prompts_that_are_none_are_refused_in_the_form(
    home: Path, tmp_path: Path, name: str
) -> None:
    FILES[name](tmp_path / "prompts.jsonl")
    before = everything_in(home)
    app = PpoTuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        app.open_new_run(resolve("demo", [f"data.prompts={tmp_path / 'prompts.jsonl'}"]))
        await settled(app, pilot)
        await pilot.press("f5")
        text = await settled(app, pilot)
        assert "Prompt file" in text
        assert everything_in(home) == before
        assert app.is_running
