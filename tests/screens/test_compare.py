"""Several runs on one chart, what differs between them, and their answers side by side."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.history import Batch, block_of
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import Event, step_event
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.compare import CompareScreen
from ppo_tui.screens.curves import RunCurves, time_at_work
from ppo_tui.screens.dialogs import Choose, ShowError
from ppo_tui.screens.widgets.chart import Chart
from ppo_tui.screens.widgets.side_by_side import foreign, numbered

from .conftest import LONG_AGO, MakeRun
from .goldens import check_golden, screen_text

HOSTILE = "glad [bold]\x1b[2J\x1b]0;title\x07 " + "名" * 100_000


class Host(PpoTuiApp):
    """The app, with the comparison as its first screen."""

    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self, runs: list[RunDirectory]) -> None:
        super().__init__()
        self.compared = runs

    def open_home(self) -> None:
        self.open_compare(self.compared)

    @property
    def view(self) -> CompareScreen:
        return next(s for s in self.screen_stack if isinstance(s, CompareScreen))


async def until(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Until the feed's thread has brought what is waited for."""
    for _ in range(1000):
        if condition():
            break
        await pilot.pause(0.01)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    assert condition()


async def settle(pilot: Pilot[Any], steps: int = 1) -> None:
    """Until every run is read and drawn, and what differs is shown."""
    app = pilot.app
    assert isinstance(app, Host)

    def read() -> bool:
        view = app.view
        known = all(seen is not None for seen in view._seen)
        return known and all(curves.last_step >= steps for curves in view._curves)

    await until(pilot, read)
    app.view.tick()
    await until(pilot, lambda: app.view._comparison is not None and not app.view._comparing)


def answer(run: RunDirectory, who: str, step: int, **given: str) -> None:
    """Journal answers to prompts; the keys of `given` are the prompts' last words."""
    items = [
        {"prompt": f"The {word} was", "response": text, "score": 0.5}
        for word, text in given.items()
    ]
    with JournalWriter(run.events_path) as journal:
        journal.append(Event("answers", 1.0, step, {"who": who, "answers": items}).to_json())


@pytest.fixture
def two_runs(make_run: MakeRun) -> list[RunDirectory]:
    """Two runs that differ in their KL coefficient, and answered the same prompts."""
    runs = [
        make_run("night", 30, settings=["ppo.kl_coef=0.05"]),
        make_run("noon", 20, Phase.STOPPED, settings=["ppo.kl_coef=0.2"], rises=0.5),
    ]
    for run, word in zip(runs, ("wonderful", "nice"), strict=True):
        answer(run, "base", 0, soup=" cold.", film=" long.")
        answer(run, "policy", 20, soup=f" {word} and hot.", film=f" {word} to the end.")
    return runs


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_two_runs_side_by_side(two_runs: list[RunDirectory], size: tuple[int, int]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        check_golden(app, "compare")


async def test_each_run_has_a_line_of_its_own_with_its_value_and_state(
    two_runs: list[RunDirectory],
) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = screen_text(app)
        assert "● ━━━ 1 night 0.808 ✓ finished 30" in shown
        assert "■ ╍╍╍ 2 noon 0.367 ■ stopped 20" in shown


async def test_the_settings_that_differ_are_shown_first(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        (line,) = [line for line in screen_text(app).splitlines() if "ppo.kl_coef" in line]
        assert line.split()[-2:] == ["0.05", "0.2"]
        assert "settings that differ (1)" in screen_text(app)


async def test_numbers_and_answers_are_a_key_away(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        await pilot.press("2")
        await pilot.pause()
        (line,) = [line for line in screen_text(app).splitlines() if "reward/total" in line][-1:]
        assert line.split()[-2:] == ["0.665", "0.303"]
        await pilot.press("3")
        await pilot.pause()
        shown = screen_text(app)
        assert "The soup was" in shown
        assert "cold." in shown
        assert "wonderful and hot." in shown
        assert "nice and hot." in shown
        await pilot.press("1")
        await pilot.pause()
        assert "ppo.kl_coef" in screen_text(app)


async def test_the_next_metric_and_the_one_before(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("n")
        await pilot.pause()
        assert "reward/sentiment by step" in screen_text(app)
        await pilot.press("b", "b")
        await pilot.pause()
        assert "response/length by step" in screen_text(app)


async def test_a_metric_is_chosen_from_a_dialog(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("m")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        await pilot.press("home", "enter")
        await pilot.pause()
        assert "kl/coef by step" in screen_text(app)
        await pilot.press("m", "escape")
        await pilot.pause()
        assert "kl/coef by step" in screen_text(app)


async def test_a_metric_is_chosen_from_the_list_beside_a_wide_chart(
    two_runs: list[RunDirectory],
) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot)
        app.view.query_one(OptionList).focus()
        await pilot.press("home")
        await pilot.pause()
        assert "kl/coef by step" in screen_text(app)


async def test_time_at_work_takes_the_place_of_steps_and_back(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("left", "t")
        await pilot.pause()
        assert "reward/score by seconds at work" in screen_text(app)
        assert app.view.query_one(Chart).cursor is None
        await pilot.press("t")
        await pilot.pause()
        assert "reward/score by step" in screen_text(app)


async def test_smoothing_is_turned_off_and_on(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "by step, smoothed" in screen_text(app)
        await pilot.press("f")
        await pilot.pause()
        assert "smoothed" not in screen_text(app)
        await pilot.press("f")
        await pilot.pause()
        assert "by step, smoothed" in screen_text(app)


async def test_the_cursor_reads_the_values_of_all_runs_at_a_step(
    two_runs: list[RunDirectory],
) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("home")
        await pilot.pause()
        assert "1 night 0.081 " in screen_text(app)
        assert "2 noon 0.040 " in screen_text(app)


async def test_a_run_that_goes_on_moves_here_too(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("3")
        with JournalWriter(two_runs[1].events_path) as journal:
            journal.append(step_event(21, {"reward/score": 0.987}).to_json())
        answer(two_runs[1], "policy", 21, soup=" the very best.")
        await until(pilot, lambda: app.view._curves[1].last_step == 21)
        app.view.tick()
        await until(pilot, lambda: "the very best." in screen_text(app))
        assert "2 noon 0.987" in screen_text(app)


async def test_what_did_not_change_is_not_drawn_again(two_runs: list[RunDirectory]) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        strips = app.view.query_one(Chart)._strips
        app.view.tick()
        await pilot.pause()
        assert app.view.query_one(Chart)._strips is strips


async def test_eight_runs_have_eight_lines_on_the_smallest_screen(make_run: MakeRun) -> None:
    runs = [make_run(f"run-{number}", 5 + number, samples=0) for number in range(8)]
    app = Host(runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        shown = screen_text(app)
        for number, mark in enumerate("●■▲◆▼○□△"):
            assert any(
                mark in line and f" {number + 1} run-{number} " in line
                for line in shown.splitlines()
            )


async def test_runs_of_the_same_name_are_told_apart(make_run: MakeRun, home: Path) -> None:
    one = make_run("demo", 3)
    (home / "elsewhere").mkdir()
    os.rename(one.path, home / "elsewhere" / "demo")
    runs = [RunDirectory(home / "elsewhere" / "demo"), make_run("demo", 4)]
    app = Host(runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "1 elsewhere/demo" in screen_text(app)
        assert "2 runs/demo" in screen_text(app)


async def test_a_run_before_its_first_step_is_there_without_a_value(make_run: MakeRun) -> None:
    app = Host([make_run("young", 0, Phase.CREATED), make_run("old", 3)])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, steps=0)
        await until(pilot, lambda: app.view._curves[1].last_step == 3)
        app.view.tick()
        await pilot.pause()
        assert "1 young – ○ created 0" in screen_text(app)


async def test_a_run_that_vanishes_says_so_and_the_other_stays(
    two_runs: list[RunDirectory], home: Path
) -> None:
    app = Host(two_runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        two_runs[0].path.rename(home / "gone")
        await until(pilot, lambda: app.view._problems[0] != "")
        app.view.tick()
        await until(pilot, lambda: "there is no run at" in screen_text(app))
        assert "✗ unusable" in screen_text(app)
        assert "2 noon 0.367" in screen_text(app)


async def test_one_run_alone_is_refused_in_words(make_run: MakeRun) -> None:
    app = Host([make_run("night", 2)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, ShowError)
        assert "2 to 8 runs can be compared" in screen_text(app)
        await pilot.press("escape", "n", "m", "t", "f", "1", "2", "3")
        await pilot.pause()


async def test_runs_without_a_prompt_in_common_say_so(make_run: MakeRun) -> None:
    app = Host([make_run("night", 2, answers=False), make_run("noon", 2)])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("3")
        await pilot.pause()
        assert "They have answered no prompt in common yet." in screen_text(app)
        await pilot.press("1")
        await pilot.pause()
        assert "Their settings do not differ." in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_hostile_answers_names_and_metrics_are_shown_literally(
    make_run: MakeRun, size: tuple[int, int]
) -> None:
    runs = [
        make_run("odd [red]\x1b[2J", 2, answers=False),
        make_run("noon", 2, settings=["seed=7"], answers=False),
    ]
    for run in runs:
        answer(run, "policy", 2, **{HOSTILE: HOSTILE})
        with JournalWriter(run.events_path) as journal:
            journal.append(step_event(3, {"[bold]\x1b[31m": 1.0}).to_json())
    app = Host(runs)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, steps=3)
        assert "1 odd [red]\\x1b[2J" in screen_text(app)
        await pilot.press("3")
        await pilot.pause()
        shown = screen_text(app)
        assert "glad [bold]\\x1b[2J\\x1b]0;title\\x07" in shown
        assert "\x1b" not in shown
        await pilot.press("2", "m", "home", "enter")
        await pilot.pause()
        assert "[bold]\\x1b[31m by step" in screen_text(app)


async def test_the_lower_part_scrolls_by_keys(make_run: MakeRun) -> None:
    app = Host([make_run("night", 2), make_run("noon", 2)])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("2")
        app.view.query_one("#lower").focus()
        await pilot.press("end")
        await until(pilot, lambda: "value/loss" in screen_text(app))


def test_pauses_between_sessions_are_no_time_at_work() -> None:
    times = np.array([100.0, 102.0, 104.0, 90_000.0, 90_002.0, 90_001.0])
    assert time_at_work(times).tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]


def test_slow_steps_are_time_at_work() -> None:
    assert time_at_work(np.array([0.0, 300.0, 700.0])).tolist() == [0.0, 300.0, 700.0]
    assert time_at_work(np.array([])).tolist() == []


def steps(*scores: float, first: int = 1) -> Batch:
    records = [
        {**step_event(step, {"a": score}).to_json(), "time": LONG_AGO + 2.0 * step}
        for step, score in enumerate(scores, start=first)
    ]
    return Batch(block_of(records))


def test_curves_grow_by_batches_and_begin_anew_with_their_journal() -> None:
    curves = RunCurves()
    curves.take(steps(1.0, 2.0))
    curves.take(steps(4.0, first=3))
    assert curves.values("a").tolist() == [1.0, 2.0, 4.0]
    assert curves.axis(by_time=False).tolist() == [1.0, 2.0, 3.0]
    assert curves.axis(by_time=True).tolist() == [0.0, 2.0, 4.0]
    assert curves.last_step == 3
    assert len(curves.values("a", 0.5)) == 3
    again = steps(9.0)
    curves.take(Batch(again.block, restarted=True))
    assert curves.values("a", 0.5).tolist() == [9.0]


def test_a_value_is_read_at_a_place_or_else_the_newest() -> None:
    curves = RunCurves()
    assert np.isnan(curves.read("a", None, by_time=False))
    curves.take(steps(1.0, 2.0, 4.0))
    assert curves.read("a", None, by_time=False) == 4.0
    assert curves.read("a", 2, by_time=False) == 2.0
    assert curves.read("a", 2, by_time=True) == 2.0
    assert np.isnan(curves.read("a", 0, by_time=False))


def test_of_a_long_name_the_end_is_kept() -> None:
    assert numbered(0, "demo-20261125-084200", 12) == "1 …25-084200"
    assert numbered(0, "demo", 12) == "1 demo"


def test_an_endless_text_is_cut_and_says_how_long_it_is() -> None:
    assert foreign("x" * 100_000).endswith("x… (100,000 characters)")
