"""No screen draws what a terminal would obey, even without the gate before the terminal."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.screens.app import Opening, PpoTuiApp
from ppo_tui.screens.harmless import Harmless
from screens.goldens import all_text
from screens.rating import Host as RatingHost

from .worlds import LONG, home, hostile_run, model, untamed

SIZES = [(80, 24), (140, 50)]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "SSH_CONNECTION", "COLORFGBG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(place: Path) -> RunDirectory:
    """The hostile run, in a home of its kind, with a decent one beside it."""
    model(place / "cache" / "models--ada--tiny[red]" / "snapshots" / "0123")
    RunDirectory.create(place / "home" / "runs" / "decent", resolve("demo").to_yaml(), total=30)
    return home(place / "home")


def ungated(app: PpoTuiApp) -> None:
    """Without the last gate: what is drawn has to be harmless by itself."""
    app._filters[:] = [each for each in app._filters if not isinstance(each, Harmless)]
    assert not any(isinstance(each, Harmless) for each in app.get_line_filters())


async def look(pilot: Pilot[Any]) -> str:
    """What is on the screen, once everything that was begun is drawn; fails if it is not tame."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    for _ in range(5):
        await pilot.pause(0.05)
    shown = all_text(pilot.app)
    assert untamed(shown) == []
    return shown


async def until(pilot: Pilot[Any], *words: str) -> str:
    """Look until all the words are there."""
    shown = ""
    for _ in range(100):
        shown = await look(pilot)
        if all(word in shown for word in words):
            return shown
    raise AssertionError(f"{words} never came; on the screen is\n{shown}")


Walk = Callable[[Pilot[Any], RunDirectory], Awaitable[None]]


async def runs(pilot: Pilot[Any], run: RunDirectory) -> None:
    await until(pilot, "Runs", "owned")
    for key in ("home", "down", "x", "escape", "s", "escape", "end", "x", "escape", "slash"):
        await pilot.press(key)
        await look(pilot)
    await pilot.press(*"owned")
    await until(pilot, "owned")


async def training(pilot: Pilot[Any], run: RunDirectory) -> None:
    pilot.app.open_run(run)  # type: ignore[attr-defined]
    await until(pilot, r"\x1b")
    for key in ("2", "down", "enter", "down", "end", "escape", "3", "down", "1", "v", "escape"):
        await pilot.press(key)
        await look(pilot)
    for key in ("question_mark", "pagedown", "escape", "ctrl+p"):
        await pilot.press(key)
        await look(pilot)


async def compare(pilot: Pilot[Any], run: RunDirectory) -> None:
    other = hostile_run(run.path.parent, f"{run.name}2")
    pilot.app.open_compare([run, other, RunDirectory(run.path.parent / "decent")])  # type: ignore[attr-defined]
    await until(pilot, "owned")
    for key in ("tab", "down", "pagedown", "tab", "pagedown", "tab", "pagedown", "1", "2", "3"):
        await pilot.press(key)
        await look(pilot)


async def log(pilot: Pilot[Any], run: RunDirectory) -> None:
    pilot.app.open_log(run)  # type: ignore[attr-defined]
    await until(pilot, r"\x1b]0;owned")
    for key in ("home", "right", "end", "slash", "o", "w", "enter", "n"):
        await pilot.press(key)
        await look(pilot)


async def export(pilot: Pilot[Any], run: RunDirectory) -> None:
    pilot.app.open_export(run)  # type: ignore[attr-defined]
    await until(pilot, "owned")
    await pilot.press("enter")
    await until(pilot, "PeftModel")


async def new_run(pilot: Pilot[Any], run: RunDirectory) -> None:
    pilot.app.open_new_run()  # type: ignore[attr-defined]
    await until(pilot, "own", "demo")
    for _ in range(30):
        await pilot.press("down")
        await look(pilot)
    for key in ("tab", "tab", "down", "enter", "escape"):
        await pilot.press(key)
        await look(pilot)


async def again(pilot: Pilot[Any], run: RunDirectory) -> None:
    await until(pilot, "Runs", "owned")
    pilot.app.open_new_run(resolve(str(run.config_path)), run.name)  # type: ignore[attr-defined]
    await look(pilot)
    for key in ("tab", "down", "down", "down", "down", "down", "enter", "escape", "tab"):
        await pilot.press(key)
        await look(pilot)


async def doctor(pilot: Pilot[Any], run: RunDirectory) -> None:
    pilot.app.open_doctor()  # type: ignore[attr-defined]
    await look(pilot)


async def settings(pilot: Pilot[Any], run: RunDirectory) -> None:
    pilot.app.open_settings()  # type: ignore[attr-defined]
    for key in ("down", "down", "enter", "escape"):
        await pilot.press(key)
        await look(pilot)


async def palette(pilot: Pilot[Any], run: RunDirectory) -> None:
    await until(pilot, "Runs", "owned")
    await pilot.press("ctrl+p", *"owned")
    await until(pilot, "Open run")


WALKS: list[Walk] = [
    runs,
    training,
    compare,
    log,
    export,
    new_run,
    again,
    doctor,
    settings,
    palette,
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.__name__)
async def test_a_screen_draws_text_alone(
    run: RunDirectory, walk: Walk, size: tuple[int, int]
) -> None:
    app = PpoTuiApp()
    ungated(app)
    async with app.run_test(size=size) as pilot:
        await walk(pilot, run)


@pytest.mark.parametrize("size", SIZES)
async def test_the_rating_screen_draws_text_alone(run: RunDirectory, size: tuple[int, int]) -> None:
    app = RatingHost(run)
    ungated(app)
    async with app.run_test(size=size) as pilot:
        # The process that advises is listened to for as long as the screen is there.
        for _ in range(500):
            await pilot.pause(0.02)
            if "egnirts" in all_text(app):
                break
        for key in ("p", "question_mark", "escape", "4", "n"):
            assert untamed(all_text(app)) == []
            assert "owned" in all_text(app)
            await pilot.press(key)
            await pilot.pause(0.05)
        assert untamed(all_text(app)) == []


async def test_texts_of_a_megabyte_are_drawn_with_calm(place: Path) -> None:
    run = hostile_run(place / "home" / "runs", "long", LONG)
    app = PpoTuiApp(Opening(run))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, "long", "word word")
        for key in ("2", "enter", "end"):
            await pilot.press(key)
            await look(pilot)
