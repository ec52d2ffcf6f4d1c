"""A clock that is set while a run goes on: nobody is taken for dead, stale or slow by it."""

import os
import subprocess
import sys
import time

import pytest
from worker.nursery import opened
from worker.processes import make_run, steps_of, wait_for

from ppo_tui.runs import strict_json
from ppo_tui.runs.control import Inbox, post
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter, read_journal
from ppo_tui.runs.launch import last_launch, start_worker
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.records import Event, RunState
from ppo_tui.runs.state import observe, read_state, write_state
from storage.places import course, weights
from storage.program import begin, said

YEAR, DAY = 365 * 86_400, 86_400
CONFIG = "schema_version: 1\nno_such_setting: 1\n"

CLOCK = '''
"""Shows the time that a file says, as if somebody had set the machine's clock."""
import os, time
_place, _time, _time_ns = os.environ["CLOCK_FILE"], time.time, time.time_ns

def _offset():
    with open(_place) as file:
        return int(file.read() or 0)

time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + _offset() * 10**9
'''


class Clock:
    """The clock of every process that is started with this environment."""

    def __init__(self, folder):
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CLOCK)
        self._file = folder / "offset"
        known = os.environ.get("PYTHONPATH")
        path = f"{folder}{os.pathsep}{known}" if known else str(folder)
        self.environment = {"PYTHONPATH": path, "CLOCK_FILE": str(self._file)}
        self.set(0)

    def set(self, seconds):
        """Set the clock so many seconds off."""
        aside = self._file.with_name("aside")
        aside.write_text(str(seconds))
        aside.replace(self._file)

    def shift(self, monkeypatch):
        """Let the clock of this process, a viewer, go with it."""
        real, real_ns = time.time, time.time_ns

        def offset():
            return int(self._file.read_text())

        monkeypatch.setattr(time, "time", lambda: real() + offset())
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + offset() * 10**9)


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    return Clock(tmp_path_factory.mktemp("clock") / "site")


@pytest.fixture(scope="module")
def clocked(clock):
    """A nursery whose workers' clock is set by `clock`."""
    with opened(**clock.environment) as nursery:
        yield nursery


@pytest.fixture(autouse=True)
def right_clock(clock):
    clock.set(0)
    yield
    clock.set(0)


@pytest.fixture(scope="module")
def config(model_folder, prompts_file):
    from training.toys import make_config

    return make_config(model_folder("llama"), prompts_file, steps=6, eval={"at_end": False})


def test_the_clock_of_these_tests_is_set(clock):
    clock.set(YEAR)
    code = "import time; print(time.time(), time.time_ns())"
    environment = {**os.environ, **clock.environment}
    out = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    seconds, nanoseconds = out.split()
    assert float(seconds) > time.time() + YEAR - DAY
    assert int(nanoseconds) > time.time_ns() + (YEAR - DAY) * 10**9


@pytest.mark.slow
def test_a_clock_set_during_a_run_changes_nothing_of_it(clock, clocked, config, home):
    straight = make_run(home / "runs" / "straight", config)
    assert clocked.work(straight) == 0
    run = make_run(home / "runs" / "mine", config)
    pause = post(run, "pause")
    worker = clocked.start(run)
    for offset in (YEAR, -DAY, 2 * YEAR):
        wait_for(lambda: read_state(run).state is Phase.PAUSED, worker)
        clock.set(offset)
        seen = observe(run)
        assert (seen.phase, seen.alive, seen.suspended) == (Phase.PAUSED, True, None)
        # One request goes on, the next, from a viewer of the other clock, pauses again.
        post(run, "continue")
        pause = post(run, "pause")
        wait_for(lambda pause=pause: answered(run, pause), worker)
    post(run, "continue")
    assert worker.wait() == 0
    assert observe(run).phase is Phase.FINISHED
    assert course(run) == course(straight)
    assert weights(run, 6) == weights(straight, 6)
    times = [event["time"] for event in read_journal(run.events_path).records]
    assert max(times) - min(times) > YEAR  # the clock was set indeed
    progress = Progress(run)
    progress.poll()
    assert progress.seconds_per_step is None or 0 < progress.seconds_per_step < 600
    assert 0 <= progress.took < 3600


def answered(run, request):
    return any(e.get("request") == request for e in read_journal(run.events_path).records)


@pytest.mark.slow
def test_commands_agree_whatever_the_clock_says_between_them(clock, config, home, tmp_path):
    from ppo_tui.config.resolve import config_to_yaml

    file = tmp_path / "mine.yaml"
    file.write_text(config_to_yaml(config.model_copy(update={"steps": 4000})))

    def program(*arguments):
        return said(begin(*arguments, **clock.environment))

    clock.set(YEAR)
    run = RunDirectory(home / "mine")
    assert program("train", str(file), "--run-dir", str(run.path), "--detach").code == 0
    deadline = time.monotonic() + 120
    while not steps_of(run):
        assert observe(run).alive
        assert time.monotonic() < deadline
    clock.set(-DAY)
    # What waits was asked after the start, though its clock says long before.
    asked = program("pause", str(run.path), "--json")
    assert asked.json == {
        "run_dir": str(run.path),
        "request": "pause",
        "answered": True,
        "state": "paused",
        "suspended": False,
        "message": "is paused",
    }
    shown = program("runs", "show", str(run.path))
    assert "paused, step" in shown.out
    assert "-" not in next(line for line in shown.out.splitlines() if "changed" in line)
    clock.set(2 * YEAR)
    assert program("stop", str(run.path)).code == 0
    deadline = time.monotonic() + 120
    while observe(run).alive:
        assert time.monotonic() < deadline
    assert observe(run).phase is Phase.STOPPED


# ---- without a worker


@pytest.fixture
def run(home):
    return RunDirectory.create(home / "runs" / "mine", CONFIG, total=10)


@pytest.mark.parametrize("offset", [-DAY, 0, YEAR])
def test_a_worker_that_is_starting_is_alive_whatever_the_clock_says(run, offset):
    write_state(run, RunState(Phase.STOPPED, 3, 10))
    started = {"v": 1, "time": time.time() + offset, **current_process().to_json()}
    run.launch_path.write_text(strict_json.dumps(started))
    seen = observe(run)
    assert (seen.phase, seen.alive) == (Phase.LOADING, True)


@pytest.mark.parametrize("offset", [-DAY, 0, YEAR])
def test_a_start_that_died_before_a_word_is_a_crash_whatever_the_clock_says(run, offset):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    started = {"v": 1, "time": time.time() + offset, "pid": dead.pid, "process_start": 1.0}
    run.launch_path.write_text(strict_json.dumps(started))
    assert observe(run).phase is Phase.CRASHED


@pytest.mark.parametrize("offset", [-DAY, YEAR])
def test_a_new_worker_never_obeys_what_the_last_one_left_undone(run, clock, monkeypatch, offset):
    clock.set(offset)
    clock.shift(monkeypatch)
    post(run, "stop")
    clock.set(0)
    (run.control_path / "notes.txt").write_text("not a request")
    start_worker(run).wait()
    assert [path.name for path in run.control_path.iterdir()] == ["notes.txt"]
    assert last_launch(run) is not None


def test_what_is_asked_of_a_worker_stays_when_another_is_tried(run):
    started = {"v": 1, "time": 1.0, **current_process().to_json()}
    run.launch_path.write_text(strict_json.dumps(started))
    request = post(run, "stop")
    start_worker(run).wait()
    assert [waits.id for waits in Inbox(run).take()] == [request]


def write_steps(run, times):
    with JournalWriter(run.events_path) as events:
        for number, when in enumerate(times, 1):
            events.append(Event("step", when, number, {"metrics": {"kl/ref": 1.0}}).to_json())


@pytest.mark.parametrize("jump", [-DAY, YEAR])
def test_the_rate_and_the_time_taken_leave_the_jump_out(run, jump):
    now = 1_000_000.0
    started = {"v": 1, "time": now, "pid": 2**22 + 1, "process_start": now}
    run.launch_path.write_text(strict_json.dumps(started))
    write_steps(
        run, [now + 10, now + 12, now + 14, *(now + jump + 14 + 2 * i for i in range(1, 5))]
    )
    progress = Progress(run)
    progress.poll()
    assert progress.seconds_per_step == pytest.approx(2.0)
    assert progress.seconds_left(10) == pytest.approx(6.0)
    assert progress.took == pytest.approx(20.0)


@pytest.mark.parametrize("offset", [-DAY, YEAR])
def test_how_long_it_has_run_is_counted_by_no_clock_that_is_set(run, clock, monkeypatch, offset):
    started = {"v": 1, "time": time.time() + offset, **current_process().to_json()}
    run.launch_path.write_text(strict_json.dumps(started))
    clock.shift(monkeypatch)
    clock.set(offset)
    so_far = Progress(run).seconds_so_far
    assert so_far is not None
    assert 0 < so_far < DAY / 2


@pytest.mark.parametrize("jump", [-DAY, YEAR])
def test_the_app_leaves_the_jump_out_of_the_time_that_is_left(jump):
    import numpy as np

    from ppo_tui.runs.history import Batch, Block
    from ppo_tui.screens.story import RunStory

    now = 1_000_000.0
    times = [now + 10, now + 12, *(now + jump + 12 + 2 * i for i in range(1, 3))]
    steps = np.arange(1.0, len(times) + 1)
    story = RunStory(session_began=now)
    story.take(Batch(Block(steps, np.array(times), {"kl/ref": steps}), (), 1.0))
    assert story.seconds_per_step == 2.0
    assert story.seconds_left(6) == 4.0


def test_the_app_tells_a_run_that_stands_still_by_its_own_clock(run, clock, monkeypatch):
    from dataclasses import replace

    from ppo_tui.screens.status import standstill
    from ppo_tui.screens.story import RunStory

    story = RunStory()
    write_state(run, RunState(Phase.UPDATE, 3, 10, current_process()))
    seen = replace(observe(run), phase=Phase.UPDATE, alive=True)
    assert standstill(seen, story) == ""
    clock.shift(monkeypatch)
    clock.set(YEAR)
    assert standstill(seen, story) == ""
    story._marked_at -= 600
    assert standstill(seen, story).startswith("Nothing has moved for 10 min.")
