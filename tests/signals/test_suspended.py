"""A worker that SIGSTOP has halted: not dead, not at work, and said so to all who look."""

import signal
import subprocess
import time

import pytest
from storage.program import begin, said, stand_in
from worker.processes import make_run, steps_of, wait_for

from ppo_tui.errors import RunBusy
from ppo_tui.runs.control import waiting
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import identify
from ppo_tui.runs.state import observe, read_state

CONFIG = "schema_version: 1\n"


@pytest.fixture
def run(home):
    return RunDirectory.create(home / "runs" / "mine", CONFIG, total=4)


@pytest.fixture
def worker(run):
    """A worker that has done two steps, waits to be told, and is then halted."""
    process = subprocess.Popen(stand_in(run.path, 4, "finished", 2))
    wait_for(lambda: len(steps_of(run)) == 2, process)
    halt(process)
    yield process
    process.kill()
    process.wait()


def halt(process):
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: identify(process.pid).is_suspended(), process)


def words(process):
    return f"its process is suspended (SIGSTOP); `kill -CONT {process.pid}` lets it go on"


def test_a_halted_worker_is_alive_and_known_to_be_halted(run, worker):
    seen = observe(run)
    assert (seen.phase, seen.alive, seen.ended) == (Phase.UPDATE, True, False)
    assert seen.suspended == worker.pid
    assert seen.suspended_words == words(worker)
    worker.send_signal(signal.SIGCONT)
    wait_for(lambda: observe(run).suspended is None, worker)
    assert observe(run).suspended_words == ""


def test_a_worker_that_was_killed_while_halted_has_crashed(run, worker):
    worker.kill()
    worker.wait()
    seen = observe(run)
    assert (seen.phase, seen.suspended) == (Phase.CRASHED, None)


def test_no_second_worker_gets_the_run(run, worker, here):
    with pytest.raises(RunBusy, match=f"in the hands of process {worker.pid}"):
        RunLock(run).acquire(timeout=0)
    told = here("resume", "mine")
    assert told.code == 1
    assert "mine is running already" in told.error


def test_the_list_and_the_run_say_so(run, worker, here):
    assert "update (suspended)" in here("runs", "list").out
    (listed,) = here("runs", "list", "--json").json["runs"]
    assert (listed["state"], listed["alive"], listed["suspended"]) == ("update", True, True)
    shown = here("runs", "show", "mine")
    assert words(worker) in shown.out
    assert here("runs", "show", "mine", "--json").json["suspended"] is True


@pytest.mark.parametrize("command", ["pause", "checkpoint", "stop"])
def test_what_is_asked_of_it_waits_and_is_said_to_wait(run, worker, here, command):
    told = here(command, "mine")
    assert told.code == 0
    assert f"The run cannot answer: {words(worker)}." in told.err
    assert "has not answered yet" not in told.err
    assert len(waiting(run)) == 1
    answer = here(command, "mine", "--json").json
    assert (answer["answered"], answer["suspended"]) == (False, True)


def test_what_was_asked_meanwhile_is_done_once_it_goes_on(run, worker, here):
    here("stop", "mine")
    worker.send_signal(signal.SIGCONT)
    assert worker.wait() == 5
    assert read_state(run).state is Phase.STOPPED
    assert waiting(run) == []


def test_who_follows_is_told_when_it_halts_and_when_it_goes_on(run, worker, here):
    watching = begin("watch", "mine", "--plain")
    assert f"warning: {words(worker)}.\n" in lines_to(watching, "warning: its process")
    worker.send_signal(signal.SIGCONT)
    lines_to(watching, "Its process goes on.")
    here("continue", "mine")
    assert worker.wait() == 0
    assert said(watching).code == 0


def lines_to(process, words):
    lines = [process.stderr.readline()]
    while words not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], "it ended before"
    return lines


async def test_the_app_says_so_and_how_it_goes_on(run, worker):
    from ppo_tui.screens.app import Opening, PpoTuiApp
    from screens.goldens import screen_text

    app = PpoTuiApp(Opening(run, None))

    async def shows(words, there=True):
        deadline = time.monotonic() + 60
        while (words in " ".join(screen_text(app).split())) is not there:
            assert time.monotonic() < deadline, screen_text(app)
            await pilot.pause(0.02)

    async with app.run_test(size=(120, 40)) as pilot:
        sentence = words(worker).replace("its", "Its", 1)
        await shows(f"▲ {sentence}.")
        await shows("● update suspended step 2/4")
        worker.send_signal(signal.SIGCONT)
        await shows(sentence, there=False)
        halt(worker)
        await shows(sentence)
        await pilot.press("escape")
        await shows("● suspended")


@pytest.mark.slow
def test_a_real_worker_goes_on_as_if_nothing_had_been(model_folder, prompts_file, nursery, home):
    from training.toys import make_config

    config = make_config(model_folder("llama"), prompts_file, steps=40, eval={"at_end": False})
    run = make_run(home / "runs" / "real", config)
    worker = nursery.start(run)
    wait_for(lambda: steps_of(run), worker)
    worker.signal(signal.SIGSTOP)
    wait_for(lambda: identify(worker.pid).is_suspended(), worker)
    assert observe(run).suspended == worker.pid
    worker.signal(signal.SIGCONT)
    assert worker.wait() == 0
    assert steps_of(run) == list(range(1, 41))
