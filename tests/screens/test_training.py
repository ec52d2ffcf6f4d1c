"""The training screen: what it shows of a run, what its keys ask of the worker."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from ppo_tui.config.settings import AppSettings
from ppo_tui.runs.control import Inbox
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import ErrorInfo, health_event, log_event, step_event
from ppo_tui.screens.app import Opening, PpoTuiApp
from ppo_tui.screens.dialogs import Choose
from ppo_tui.screens.findings import FindingsScreen, PanelsScreen
from ppo_tui.screens.training import TrainingScreen
from ppo_tui.screens.widgets.chart import Chart
from ppo_tui.screens.widgets.panels import KEYS, SHOWN_AT_FIRST, PanelGrid
from ppo_tui.screens.widgets.sample_list import SampleList

from .conftest import MakeRun, metrics_of
from .goldens import check_golden, screen_text

WORKER = """
import sys
from pathlib import Path
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import write_state

run = RunDirectory(Path(sys.argv[1]))
with RunLock(run):
    write_state(run, RunState(Phase(sys.argv[2]), 30, 60, current_process()))
    print("ready", flush=True)
    for line in sys.stdin:
        write_state(run, RunState(Phase(line.strip()), 30, 60, current_process()))
        print("ready", flush=True)
"""

Worker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Starts a process that holds a run as its worker does, in a state; a line changes it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run: RunDirectory, state: str = "update") -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(run.path), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def enter(process: "subprocess.Popen[bytes]", state: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{state}\n".encode())
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"


def app_on(run: RunDirectory, replay: float | None = None) -> PpoTuiApp:
    return PpoTuiApp(Opening(run, replay))


def training(app: PpoTuiApp) -> TrainingScreen:
    screen = next(s for s in app.screen_stack if isinstance(s, TrainingScreen))
    assert isinstance(screen, TrainingScreen)
    return screen


async def until(pilot: Pilot[Any], holds: Callable[[], bool], what: str = "") -> None:
    """Let the app go on until something holds; fails if it does not within seconds."""
    for _ in range(1500):
        if holds():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    pytest.fail(f"it never came to that: {what}")


async def read(app: PpoTuiApp, pilot: Pilot[Any], steps: int) -> TrainingScreen:
    """The training screen, once it has read the run and shows samples."""
    await until(pilot, lambda: any(isinstance(s, TrainingScreen) for s in app.screen_stack))
    screen = training(app)
    await until(pilot, lambda: screen.story.history.last_step >= steps, "steps were read")
    await until(pilot, lambda: bool(screen.query_one(SampleList).samples), "samples were read")
    await until(pilot, lambda: not screen.dirty, "all is drawn")
    await app.workers.wait_for_complete()
    await pilot.pause()
    return screen


def requests(run: RunDirectory) -> list[tuple[str, dict[str, Any]]]:
    return [(request.kind, dict(request.args)) for request in Inbox(run).take()]


async def asked(pilot: Pilot[Any], run: RunDirectory) -> tuple[str, dict[str, Any]]:
    """The one request that the worker finds."""
    await until(pilot, lambda: bool(requests(run)), "something was asked")
    (request,) = requests(run)
    return request


# ---- what it shows


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_finished_run(make_run: MakeRun, size: tuple[int, int]) -> None:
    app = app_on(make_run())
    async with app.run_test(size=size) as pilot:
        await read(app, pilot, 30)
        check_golden(app, "training")


@pytest.mark.parametrize("pane", ["samples", "answers"])
async def test_one_pane_at_a_time_where_there_is_no_room(make_run: MakeRun, pane: str) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(80, 24)) as pilot:
        await read(app, pilot, 30)
        await pilot.press("2" if pane == "samples" else "3")
        await pilot.pause()
        check_golden(app, f"training-{pane}")
        await pilot.press("1")
        await pilot.pause()
        assert isinstance(app.screen.focused, Chart)
        check_golden(app, "training")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_failed_run_shows_its_error_and_its_hint_and_never_says_finished(
    make_run: MakeRun, size: tuple[int, int]
) -> None:
    error = ErrorInfo("memory.step", "The device's memory ran out.", "Lower ppo.micro_batch_size.")
    app = app_on(make_run(steps=12, total=36, phase=Phase.FAILED, error=error))
    async with app.run_test(size=size) as pilot:
        await read(app, pilot, 12)
        text = " ".join(screen_text(app).split())
        assert "✗ failed" in text
        assert "The device's memory ran out." in text
        assert "Lower ppo.micro_batch_size." in text
        assert "o: its log" in text
        assert "finished" not in text
        check_golden(app, "training-failed")


async def test_a_worker_that_dies_is_a_crash_and_can_be_resumed(
    make_run: MakeRun, worker: Worker
) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    process = worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        assert "● update" in screen_text(app)
        process.kill()
        process.wait()
        await until(pilot, lambda: "✗ crashed" in screen_text(app), "the crash is told")
        assert "u: resume" in screen_text(app)
        assert screen.check_action("resume", ()) is True
        assert screen.check_action("pause", ()) is None


async def test_a_worker_that_stands_still_is_not_taken_for_one_that_works(
    make_run: MakeRun, worker: Worker
) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        assert "Nothing has moved" not in screen_text(app)
        assert screen.seen is not None
        screen.story._marked_at -= 150
        await until(pilot, lambda: "Nothing has moved" in screen_text(app), "it is told")
        text = " ".join(screen_text(app).split())
        assert "Nothing has moved for 2 min, and a step takes 0:02." in text
        assert "s: stop" in text
        now = screen.seen.state
        enter_later = replace(now, updated=now.updated + 1)
        screen.seen = replace(screen.seen, state=enter_later)
        await until(pilot, lambda: "Nothing has moved" not in screen_text(app), "it moves again")


async def test_steps_that_come_while_it_is_looked_at_are_shown(make_run: MakeRun) -> None:
    run = make_run(steps=3)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 3)
        with JournalWriter(run.events_path) as journal:
            journal.append(step_event(4, {**metrics_of(4, 0.5), "reward/score": 0.777}).to_json())
        await until(pilot, lambda: "0.777" in screen_text(app), "the new step is shown")
        assert screen.story.history.last_step == 4


async def test_nothing_is_drawn_while_nothing_happens(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        drawn: list[int] = []
        for chart in screen.query(Chart):
            chart.redraw = lambda: drawn.append(1)  # type: ignore[method-assign]
        for _ in range(40):
            await pilot.pause(0.02)
        assert drawn == []


async def test_what_goes_wrong_is_said_in_words_with_a_key_that_helps(
    make_run: MakeRun, worker: Worker
) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    with JournalWriter(run.events_path) as journal:
        event = health_event(
            30, "health.no_kl_penalty", "Nothing holds the policy.", hint="Set it."
        )
        journal.append(event.to_json())
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        text = screen_text(app)
        assert "▲ No KL penalty: Nothing holds the policy." in text
        assert "a: KL coefficient → 0.050" in text
        check_golden(app, "training-health")
        await pilot.press("a")
        assert await asked(pilot, run) == ("set", {"key": "kl_coef", "value": 0.05})


async def test_the_findings_can_be_read_in_full(make_run: MakeRun) -> None:
    run = make_run(steps=30)
    with JournalWriter(run.events_path) as journal:
        event = health_event(7, "health.whitening", "Mean [bold]0.4[/.", hint="Report it.")
        journal.append(event.to_json())
    app = app_on(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(app, pilot, 30)
        await pilot.press("h")
        await pilot.pause()
        assert isinstance(app.screen, FindingsScreen)
        text = screen_text(app)
        assert "since step 7" in text
        assert "Mean [bold]0.4[/." in text
        check_golden(app, "findings")
        await pilot.press("enter")  # nothing to apply: the list stays
        assert isinstance(app.screen, FindingsScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, TrainingScreen)


async def test_hostile_text_is_shown_and_not_obeyed(make_run: MakeRun) -> None:
    hostile = "\x1b]0;x\x07\x9b2J[bold]up[/ \u202egnirts\r\n" + "宽" * 50 + "x" * 100_000
    run = make_run(name="[bold]run[", steps=3)
    with JournalWriter(run.events_path) as journal:
        journal.append(health_event(3, f"health.{hostile}", hostile, hint=hostile).to_json())
        journal.append(log_event(hostile).to_json())
    app = app_on(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(app, pilot, 3)
        text = screen_text(app)
        assert "[bold]run[" in text
        assert "\\x1b]0;x\\x07" in text
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\r", "\u202e"}


async def test_a_run_directory_that_goes_away_is_a_sentence(make_run: MakeRun) -> None:
    run = make_run(steps=3)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 3)
        run.state_path.unlink()
        await until(pilot, lambda: "state.json" in screen_text(app), "the loss is told")


async def test_a_run_that_has_not_begun(home: Path) -> None:
    run = RunDirectory.create(home / "runs" / "new", "model:\n  name: bundled\n", total=9)
    app = app_on(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "○ created" in screen_text(app), "its state is shown")
        assert "no values yet" in screen_text(app)


# ---- keys


@pytest.mark.parametrize(
    ("key", "kind"), [("p", "pause"), ("c", "checkpoint")], ids=["pause", "checkpoint"]
)
async def test_a_key_asks_the_worker(
    make_run: MakeRun, worker: Worker, key: str, kind: str
) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        await pilot.press(key)
        assert await asked(pilot, run) == (kind, {})
        await until(pilot, lambda: "asked: " in screen_text(app), "the request is shown")


async def test_the_answer_to_a_request_is_told(make_run: MakeRun, worker: Worker) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await read(app, pilot, 30)
        await pilot.press("c")
        await asked(pilot, run)
        (request,) = Inbox(run).take()
        with JournalWriter(run.events_path) as journal:
            journal.append(log_event("Saved it all.").answering(request.id).to_json())
        await until(pilot, lambda: "Saved it all." in screen_text(app), "the answer is told")
        await until(pilot, lambda: "asked: " not in screen_text(app), "nothing is open any more")


async def test_a_paused_run_goes_on_with_the_same_key(make_run: MakeRun, worker: Worker) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    process = worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        enter(process, "paused")
        await until(pilot, lambda: "‖ paused" in screen_text(app), "the pause is shown")
        await pilot.press("p")
        assert await asked(pilot, run) == ("continue", {})


async def test_a_run_that_waits_for_ratings_goes_on_with_the_same_key(
    make_run: MakeRun, worker: Worker
) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    process = worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        assert "p Pause" in screen_text(app)
        enter(process, "awaiting_ratings")
        await until(pilot, lambda: "p: go on" in screen_text(app), "it is told")
        await until(pilot, lambda: "p Continue" in screen_text(app), "the key is told")
        await pilot.press("p")
        assert await asked(pilot, run) == ("continue", {})


@pytest.mark.parametrize(("downs", "mode"), [(0, "save"), (1, "now")])
async def test_stopping_asks_how(make_run: MakeRun, worker: Worker, downs: int, mode: str) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        await pilot.press("s")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        await pilot.press(*["down"] * downs, "enter")
        assert await asked(pilot, run) == ("stop", {"mode": mode})


async def test_stopping_can_be_thought_better_of(make_run: MakeRun, worker: Worker) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        await pilot.press("s", "down", "down", "enter")
        await pilot.press("s", "escape")
        await app.workers.wait_for_complete()
        assert requests(run) == []


@pytest.mark.parametrize(("key", "setting"), [("k", "kl_coef"), ("l", "lr")])
async def test_a_number_is_changed_while_the_run_goes_on(
    make_run: MakeRun, worker: Worker, key: str, setting: str
) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        await pilot.press(key)
        await pilot.pause()
        field = app.screen.query_one(Input)
        assert field.value == ("0.05" if key == "k" else "0.0005")
        field.value = "minus"
        await pilot.press("enter")
        assert requests(run) == []
        field.value = "0.125"
        await pilot.press("enter")
        assert await asked(pilot, run) == ("set", {"key": setting, "value": 0.125})


async def test_what_cannot_be_done_with_a_finished_run_is_greyed_out(make_run: MakeRun) -> None:
    run = make_run()
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        assert screen.check_action("go_on", ()) is False
        for action in ("pause", "checkpoint", "stop", "kl_coef", "learning_rate", "resume"):
            assert screen.check_action(action, ()) is None
        await pilot.press("p", "c", "s", "k", "l", "u", "a")
        await app.workers.wait_for_complete()
        assert requests(run) == []
        assert app.screen is screen


async def test_the_cursor_looks_back_and_the_samples_go_with_it(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        await pilot.press("home")
        samples = screen.query_one(SampleList)
        await until(pilot, lambda: bool(samples.samples) and samples.samples[0].step == 1, "step 1")
        assert {chart.cursor for chart in screen.query(Chart)} == {1}
        assert "looking at step 1" in screen_text(app)
        assert screen.check_action("follow", ()) is True
        await pilot.press("f")
        await until(pilot, lambda: samples.samples[0].step == 30, "the newest again")
        assert {chart.cursor for chart in screen.query(Chart)} == {None}


async def test_escape_goes_back_one_thing_at_a_time(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        await pilot.press("home", "enter")
        panels = screen.query_one(PanelGrid)
        assert panels.enlarged is not None
        await pilot.press("escape")
        assert panels.enlarged is None
        assert screen.query(Chart).first().cursor == 1
        await pilot.press("escape")
        assert screen.query(Chart).first().cursor is None
        assert app.screen is screen
        await pilot.press("escape")
        assert app.screen is not screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_chart_is_enlarged(make_run: MakeRun, size: tuple[int, int]) -> None:
    app = app_on(make_run())
    async with app.run_test(size=size) as pilot:
        screen = await read(app, pilot, 30)
        await pilot.press("tab", "z")
        await pilot.pause()
        enlarged = screen.query_one(PanelGrid).enlarged
        assert enlarged is not None
        assert enlarged.id == "panel-kl"
        assert [chart.id for chart in screen.query(Chart) if chart.size.height] == ["panel-kl"]
        check_golden(app, "training-enlarged")


async def test_help_explains_the_numbers_of_the_chart_in_focus(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        await pilot.press("tab")
        chart = screen.focused
        assert isinstance(chart, Chart)
        words = chart.explain()
        assert "**KL to the base** (`kl/ref`): How far the policy has moved" in words
        assert "*When all is well:*" in words
        await pilot.press("question_mark")
        await pilot.pause()
        assert "How far the policy has moved from the base model" in screen_text(app)


async def test_arrows_go_from_chart_to_chart(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(80, 24)) as pilot:
        await read(app, pilot, 30)
        await pilot.press("down")
        assert app.screen.focused is not None
        assert app.screen.focused.id == "panel-value_explained"
        await pilot.press("up")
        assert app.screen.focused.id == "panel-reward"


async def test_charts_are_chosen(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await read(app, pilot, 30)
        await pilot.press("v")
        await pilot.pause()
        assert isinstance(app.screen, PanelsScreen)
        check_golden(app, "panels")
        choices = app.screen.query_one(OptionList)
        assert choices.option_count == len(KEYS)
        # All that are shown are left out, but the first two.
        await pilot.press("down", *["down", "space"] * (len(SHOWN_AT_FIRST) - 2), "enter")
        await pilot.pause()
        await until(pilot, lambda: len(screen.query(Chart)) == 2, "two charts")
        assert [chart.id for chart in screen.query(Chart)] == ["panel-reward", "panel-kl"]


async def test_smoothing_goes_round(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        weights = []
        for _ in range(4):
            await pilot.press("m")
            weights.append(screen.smoothing)
        assert weights == [0.9, 0.97, 0.0, 0.6]


async def test_a_sample_is_opened(make_run: MakeRun) -> None:
    from ppo_tui.screens.sample import SampleScreen

    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        await pilot.press("2")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SampleScreen), "the sample is open")
        await pilot.press("escape")
        assert isinstance(app.screen, TrainingScreen)


async def test_the_best_samples_of_the_whole_run(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        await pilot.press("w")
        samples = screen.query_one(SampleList)
        await until(pilot, lambda: len(samples.samples) == 50, "the ranking is shown")
        assert "best first · whole run" in screen_text(app)
        assert {sample.score for sample in samples.samples} == {0.9}
        assert len({sample.step for sample in samples.samples}) > 10
        await pilot.press("2", "d")
        await until(pilot, lambda: samples.samples[0].score == -0.3, "the worst come first")
        await pilot.press("w")
        await until(pilot, lambda: len(samples.samples) == 4, "the newest step again")
        assert "Samples of step 30" in screen_text(app)


@pytest.mark.parametrize(
    ("key", "screen"),
    [("t", "PlaygroundScreen"), ("e", "ExportScreen"), ("o", "LogScreen"), ("n", "NewRunScreen")],
)
async def test_a_key_leads_to_another_screen(make_run: MakeRun, key: str, screen: str) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        await pilot.press(key)
        await until(pilot, lambda: type(app.screen).__name__ == screen, screen)


# ---- replay


async def test_a_run_is_played_again(make_run: MakeRun) -> None:
    app = app_on(make_run(), replay=1e5)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        assert "replay 100000×" in screen_text(app)
        assert screen.check_action("pause", ()) is False
        await until(pilot, lambda: "✓ finished" in screen_text(app), "it ends as it ended")


async def test_a_replay_can_be_faster_and_slower(make_run: MakeRun) -> None:
    app = app_on(make_run(), replay=20.0)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "replay 20×" in screen_text(app), "the speed is shown")
        await pilot.press("right_square_bracket")
        assert "replay 40×" in screen_text(app)
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert "replay 10×" in screen_text(app)


async def test_brackets_mean_nothing_without_a_replay(make_run: MakeRun) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await read(app, pilot, 30)
        assert screen.check_action("speed", (2,)) is False


# ---- how it looks elsewhere


@pytest.mark.parametrize("theme", ["ppo-light", "ppo-colour-blind", "ppo-high-contrast"])
async def test_every_theme_says_the_same(make_run: MakeRun, theme: str) -> None:
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        app.use_settings(AppSettings(theme=theme))
        await pilot.pause()
        check_golden(app, "training")


async def test_without_colour_it_says_in_signs_what_colour_says(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_on(make_run())
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        check_golden(app, "training-no-colour")
        assert "[-cold-] and I [-left-] it." in screen_text(app)


async def test_the_keymap_of_the_user_is_obeyed(make_run: MakeRun, worker: Worker) -> None:
    run = make_run(steps=30, total=60, phase=Phase.UPDATE)
    worker(run)
    app = app_on(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await read(app, pilot, 30)
        app.use_settings(AppSettings(keymap={"training.pause": "f9"}))
        await pilot.press("p")
        await app.workers.wait_for_complete()
        assert requests(run) == []
        await pilot.press("f9")
        assert (await asked(pilot, run))[0] == "pause"
