"""What is gathered from the journals, and the picture made of it."""

import time

import pytest
from rich.console import Console

from ppo_tui.cli.frame import Title, frame
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import write_atomic
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.process import current_process
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.records import Event
from ppo_tui.runs.state import observe

TITLE = Title("first-run", "bundled model", "demo", "cpu", 60)


def write_steps(run, times, first=1):
    with JournalWriter(run.events_path) as events:
        for number, when in enumerate(times, first):
            metrics = {"reward/score": number / 10, "kl/ref": 1.0}
            events.append(Event("step", when, number, {"metrics": metrics}).to_json())


def launched_at(run, when):
    record = {"v": 1, "time": when, **current_process().to_json()}
    write_atomic(run.launch_path, strict_json.dumps(record))


def test_the_time_left_follows_the_rate_of_this_session_alone(run):
    write_steps(run, [100.0, 101.0, 102.0])
    launched_at(run, 10_000.0)
    write_steps(run, [10_010.0, 10_014.0, 10_018.0], first=4)
    progress = Progress(run)
    progress.poll()
    assert progress.step == 6
    assert progress.seconds_per_step == 4.0
    assert progress.seconds_left(60) == 54 * 4.0


def test_a_pause_is_not_a_step(run):
    launched_at(run, 0.0)
    write_steps(run, [10.0, 11.0])
    with JournalWriter(run.events_path) as events:
        events.append(Event("state", 11.5, 2, {"state": "paused"}).to_json())
    write_steps(run, [500.0, 501.0], first=3)
    progress = Progress(run)
    progress.poll()
    assert progress.seconds_per_step == 1.0


def test_a_journal_that_was_cut_back_is_read_again(run):
    write_steps(run, [1.0, 2.0, 3.0])
    progress = Progress(run)
    progress.poll()
    assert progress.step == 3
    with JournalWriter(run.events_path) as events:
        events.cut(0)
    write_steps(run, [7.0])
    progress.poll()
    assert progress.step == 1
    assert progress.curves["reward/score"] == [0.1]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20)])
@pytest.mark.parametrize("colour", [True, False])
def test_the_picture_fits_the_terminal(run, start_worker, width, height, colour):
    start_worker(4, "finished").wait()
    progress = Progress(run)
    progress.poll()
    console = Console(
        width=width, height=height, force_terminal=True, no_color=not colour, markup=False
    )
    with console.capture() as capture:
        console.print(frame(TITLE, observe(run), progress, "Ctrl-C: stop.", console))
    lines = capture.get().splitlines()
    assert len(lines) < height
    assert any("step 4 of 60" in line for line in lines)
    assert "Ctrl-C: stop." in lines[-1]


def test_the_picture_says_in_words_what_there_is(run, start_worker):
    start_worker(4, "finished").wait()
    progress = Progress(run)
    progress.poll()
    console = Console(width=80, height=24, force_terminal=True, color_system=None, markup=False)
    with console.capture() as capture:
        console.print(frame(TITLE, observe(run), progress, "", console))
    picture = capture.get()
    for words in (
        "first-run · bundled model · cpu · preset demo",
        "KL to the base",
        "warning: step 1",
    ):
        assert words in picture
    assert "[bold]red[/]" in picture
    assert "\x1b[31m" not in picture
    assert "▁" in picture


def test_an_empty_run_can_be_drawn(run):
    console = Console(width=80, height=24, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(frame(TITLE, observe(run), Progress(run), "", console))
    assert "step 0 of 60" in capture.get()


def test_the_device_is_shown_once_the_worker_says_it(run):
    with JournalWriter(run.events_path) as events:
        events.append(Event("log", time.time(), None, {"device": "cuda (H200)"}).to_json())
    progress = Progress(run)
    progress.poll()
    assert progress.device == "cuda (H200)"
