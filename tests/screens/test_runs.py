"""Home: the list of runs, live; how it is filtered, ordered, and where its keys lead."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.screen import Screen
from textual.widgets import Input

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import ErrorInfo, RunState
from ppo_tui.runs.state import write_state
from ppo_tui.screens.runs import BEHIND_BEATS, RunsScreen
from ppo_tui.screens.widgets.run_table import RunTable

from .conftest import MakeRun
from .goldens import check_golden, screen_text
from .home import Home, can, look, settle


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_list_of_runs(four_runs: None, home: Path, size: tuple[int, int]) -> None:
    (home / "runs" / "torn").mkdir()
    app = Home()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await pilot.press("down", "down", "space", "up")
        await pilot.pause()
        # The place is another one in every test.
        app.home.query_one("#place").styles.visibility = "hidden"
        await pilot.pause()
        check_golden(app, "runs")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_first_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("PPO_TUI_HOME", "/nowhere/ppo-tui")
    app = Home()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        check_golden(app, "runs-first-start")


async def test_the_newest_run_stands_first_and_is_described(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        names = [run.name for run in app.table.runs]
        assert names == ["sentiment-dawn", "sentiment-dusk", "sentiment-noon", "sentiment-night"]
        assert "learns to write glad reviews" in screen_text(app)
        assert "runs/sentiment-dawn" in screen_text(app)
        assert "4 runs" in screen_text(app)


async def test_a_failed_run_shows_its_error_and_hint_and_never_the_word_finished(
    make_run: MakeRun,
) -> None:
    error = ErrorInfo("reward.raised", "The reward function raised [ValueError]: no.", "Mend it.")
    make_run("noon", 12, Phase.FAILED, error=error)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = screen_text(app)
        assert "✗ failed" in shown
        assert "✗ The reward function raised [ValueError]: no. Mend it." in shown
        assert "finished" not in shown


async def test_a_worker_that_dies_is_told_at_the_next_look(
    make_run: MakeRun, worker: Callable[[RunDirectory], "subprocess.Popen[bytes]"]
) -> None:
    process = worker(make_run("night", phase=Phase.STOPPED))
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "● rollout" in screen_text(app)
        assert "1 live" in screen_text(app)
        process.kill()
        process.wait()
        await look(pilot)
        assert "✗ crashed" in screen_text(app)
        assert "the worker died after step 30" in screen_text(app)
        assert can(app, "resume")


async def test_a_look_that_finds_nothing_new_paints_nothing(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        drawn = dict(app.table._drawn)
        await look(pilot)
        assert all(app.table._drawn[row] is strip for row, strip in drawn.items())


async def test_the_list_does_not_look_while_another_screen_stands_on_it(
    make_run: MakeRun,
) -> None:
    make_run("night")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.push_screen(Screen())
        await pilot.pause()
        make_run("noon")
        for _ in range(2 * BEHIND_BEATS):
            app.home._beat()
        await settle(pilot)
        assert [run.name for run in app.table.runs] == ["night"]
        app.pop_screen()
        await settle(pilot)
        assert [run.name for run in app.table.runs] == ["noon", "night"]


@pytest.mark.parametrize("its_own_screen", [False, True])
async def test_the_end_of_a_run_is_told_behind_another_screen_too_but_once(
    make_run: MakeRun,
    worker: Callable[[RunDirectory], "subprocess.Popen[bytes]"],
    its_own_screen: bool,
) -> None:
    run = make_run("night", 12, Phase.CRASHED)
    process = worker(run)
    app = Home()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        in_front: Screen[None] = Screen()
        if its_own_screen:
            in_front.run_directory = run  # type: ignore[attr-defined]
        app.push_screen(in_front)
        await pilot.pause()
        process.kill()
        process.wait()
        for _ in range(2 * BEHIND_BEATS):
            app.home._beat()
            await settle(pilot)
        told = [note.title for note in app._notifications]
        assert told == ([] if its_own_screen else ["✗ Crashed"])


async def test_a_filter_keeps_the_runs_that_fit_and_escape_takes_it_away(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"state:failed", "enter")
        await pilot.pause()
        assert [run.name for run in app.table.runs] == ["sentiment-noon"]
        assert "1 of 4 runs" in screen_text(app)
        assert app.table.has_focus
        await pilot.press("escape")
        await pilot.pause()
        assert len(app.table.runs) == 4
        assert not app.home.query_one("#filter", Input).display


async def test_a_filter_that_nothing_fits_says_so(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("slash", *"[nothing", "enter")
        await pilot.pause()
        assert "None of 4 runs fits '[nothing'" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "sentiment-dusk" in screen_text(app)
        assert app.table.has_focus


async def test_an_empty_filter_is_none(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("slash", "enter")
        await pilot.pause()
        assert app.table.has_focus
        assert not app.home.has_class("-filtering")


async def test_digits_order_the_list_and_the_head_says_how(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("5")
        await pilot.pause()
        assert "reward▼" in screen_text(app)
        assert app.table.runs[0].name == "sentiment-night"
        await pilot.press("5")
        await pilot.pause()
        assert "reward▲" in screen_text(app)
        assert app.table.runs[0].name == "sentiment-dawn"
        await pilot.press("o")
        await pilot.pause()
        assert "step▼" in screen_text(app)


async def test_a_click_on_a_head_orders_the_list(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.click(RunTable, offset=(16, 0))
        await pilot.pause()
        assert app.home._order.column == "run"


async def test_enter_and_a_double_click_open_a_run(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down", "enter")
        await pilot.click(RunTable, offset=(20, 4), times=2)
        await pilot.pause()
        assert app.went == [("run", "sentiment-dusk"), ("run", "sentiment-night")]


async def test_log_export_and_playground_of_a_run_are_a_key_away(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("l", "e", "p", "n")
        await pilot.pause()
        places = [going[0] for going in app.went]
        assert places == ["log", "export", "playground", "new"]


async def test_a_run_without_a_checkpoint_has_nothing_to_export_or_to_talk_to(
    make_run: MakeRun,
) -> None:
    make_run("young", 0, Phase.STOPPED)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert (can(app, "export"), can(app, "playground"), can(app, "log")) == (None, None, True)
        await pilot.press("e", "p")
        assert app.went == []


async def test_what_is_impossible_for_a_run_is_greyed(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        stopped = [can(app, action) for action in ("resume", "stop", "delete", "compare")]
        assert stopped == [True, None, True, None]
        await pilot.press("end")
        assert can(app, "resume") is None
        assert app.table.highlighted is not None
        assert app.table.highlighted.phase is Phase.FINISHED


async def test_marked_runs_are_compared(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("v")
        await pilot.press("space", "space")
        await pilot.pause()
        assert "2 marked" in screen_text(app)
        await pilot.press("v")
        assert app.went == [("compare", ["sentiment-dawn", "sentiment-dusk"])]


async def test_one_marked_run_is_compared_with_the_one_under_the_cursor(four_runs: None) -> None:
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("space", "down", "v")
        assert app.went == [("compare", ["sentiment-dawn", "sentiment-noon"])]


async def test_nine_marked_runs_are_too_many_to_compare(make_run: MakeRun) -> None:
    for number in range(9):
        make_run(f"run-{number}", 1, samples=0)
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press(*["space"] * 8)
        assert can(app, "compare") is True
        await pilot.press("space")
        assert can(app, "compare") is None


async def test_a_folder_of_runs_that_vanishes_and_comes_back(make_run: MakeRun, home: Path) -> None:
    make_run("night")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shutil.move(home / "runs", home / "elsewhere")
        await look(pilot)
        assert "There are no runs yet." in screen_text(app)
        shutil.move(home / "elsewhere", home / "runs")
        await look(pilot)
        assert app.table.display
        assert app.table.has_focus
        assert "night" in screen_text(app)


async def test_a_folder_of_runs_that_cannot_be_read_is_told_in_words(home: Path) -> None:
    (home / "runs").write_text("a file")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "cannot be listed" in screen_text(app)
        assert can(app, "demo") is False
        await pilot.press("enter")
        assert app.went == []


async def test_three_hundred_runs_are_all_there(make_run: MakeRun, home: Path) -> None:
    first = make_run("run-000", 2, samples=0)
    for number in range(1, 300):
        shutil.copytree(first.path, home / "runs" / f"run-{number:03d}")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "300 runs" in screen_text(app)
        await pilot.press("end")
        await pilot.pause()
        assert "run-000" in screen_text(app)


async def test_hostile_names_models_and_errors_are_shown_literally(home: Path) -> None:
    error = ErrorInfo("x", "[bold]\x1b]0;title\x07 [/ " + "W" * 30_000, "\x9b2J")
    name = "odd [red]\x1b[2J"
    text = 'description: "[/] \\e[31m"\nmodel:\n  name: "[link=x]\\e[2J"\n'
    run = RunDirectory.create(home / "runs" / name, text)
    write_state(run, RunState(Phase.FAILED, 3, 10, None, 5.0, error=error))
    app = Home()
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        shown = screen_text(app)
        assert "odd [red]\\x1b[2J" in shown
        assert "[link=x]\\x1b[2J" in shown
        assert "✗ [bold]\\x1b]0;title\\x07 [/" in shown
        assert "\x1b" not in shown


async def test_escape_on_home_never_leaves_it(make_run: MakeRun) -> None:
    make_run("night")
    app = Home()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, RunsScreen)
        assert app.is_running
