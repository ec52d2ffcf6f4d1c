"""Home: what can be done with a run: start the demo, resume, stop, delete, copy its settings."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ppo_tui.runs.control import Inbox
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.screens.dialogs import Choose, Confirm, ShowError

from .conftest import MakeRun
from .goldens import screen_text
from .home import Home, can, look, settle


async def test_settings_are_copied_into_a_new_run(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down", "down", "c")
        await settle(pilot)
        ((kind, start, note),) = app.went
        assert (kind, note) == ("new", "With the settings of sentiment-noon.")
        assert start.config.ppo.kl_coef == 0.2


async def test_settings_that_cannot_be_read_are_told_and_not_copied(make_run: MakeRun) -> None:
    make_run("night").config_path.write_text("ppo: {klcoef: 1}")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("c")
        await settle(pilot)
        assert isinstance(app.screen, ShowError)
        assert "kl_coef" in screen_text(app)
        assert app.went == []


@pytest.mark.parametrize(("keys", "mode"), [(["enter"], "save"), (["down", "enter"], "now")])
async def test_a_run_at_work_is_asked_to_stop(
    make_run: MakeRun,
    worker: Callable[[RunDirectory], "subprocess.Popen[bytes]"],
    keys: list[str],
    mode: str,
) -> None:
    run = make_run("night", phase=Phase.STOPPED)
    worker(run)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        await pilot.press(*keys)
        await settle(pilot)
        (request,) = Inbox(run).take()
        assert (request.kind, request.args) == ("stop", {"mode": mode})


async def test_who_thinks_again_stops_nothing(
    make_run: MakeRun, worker: Callable[[RunDirectory], "subprocess.Popen[bytes]"]
) -> None:
    run = make_run("night", phase=Phase.STOPPED)
    worker(run)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("s", "down", "down", "enter")
        await pilot.press("s", "escape")
        await settle(pilot)
        assert Inbox(run).take() == []


async def test_a_run_is_deleted_after_a_question_whose_first_answer_is_no(
    make_run: MakeRun,
) -> None:
    run = make_run("night")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        assert "Delete night?" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        assert run.path.exists()
        await pilot.press("delete", "y")
        await settle(pilot)
        await look(pilot)
        assert not run.path.exists()
        assert "There are no runs yet." in screen_text(app)


async def test_a_directory_that_is_no_run_is_not_deleted_and_that_is_told(home: Path) -> None:
    (home / "runs" / "thesis").mkdir(parents=True)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert can(app, "open") is None
        await pilot.press("x", "y")
        await settle(pilot)
        assert isinstance(app.screen, ShowError)
        assert "is not a run directory" in screen_text(app)
        assert (home / "runs" / "thesis").exists()


async def test_what_a_resume_would_fail_on_is_told_in_words(make_run: MakeRun) -> None:
    make_run("night", 12, Phase.STOPPED, settings=["data.prompts=/nowhere/prompts.txt"])
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert isinstance(app.screen, ShowError)
        assert "/nowhere/prompts.txt" in screen_text(app)
        assert app.home.busy == ""


async def test_resume_starts_a_worker(make_run: MakeRun, launched: None) -> None:
    run = make_run("night", 12, Phase.STOPPED)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert run.launch_path.exists()
        assert app.home.busy == ""


@pytest.mark.parametrize(("key", "preset"), [("enter", "demo"), ("d", "demo"), ("t", "taste")])
async def test_the_first_key_starts_a_preset_and_opens_its_run(
    home: Path, launched: None, key: str, preset: str
) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(key)
        await settle(pilot)
        ((kind, name),) = app.went
        assert kind == "run"
        assert name.startswith(f"{preset}-")
        run = RunDirectory.open(home / "runs" / name)
        assert run.config_path.read_text().startswith(f"# preset: {preset}\n")
        assert run.launch_path.exists()


async def test_where_there_are_runs_the_keys_of_the_first_start_do_nothing(
    make_run: MakeRun,
) -> None:
    make_run("night")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert can(app, "demo") is can(app, "taste") is False
        await pilot.press("d", "t")
        await settle(pilot)
        assert app.went == []


async def test_a_demo_that_cannot_be_made_says_why(home: Path) -> None:
    (home / "runs").symlink_to("/proc/nowhere")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert isinstance(app.screen, ShowError)
        assert app.went == []
