"""SIGTERM and SIGHUP end a run as stopped, with a checkpoint; a closed terminal ends none."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from storage.places import course
from worker.processes import make_run, steps_of, wait_for

from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.control import post
from ppo_tui.runs.lock import is_held
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe, read_state

SIGNALS = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def make(model_folder, prompts_file):
    from training.toys import make_config

    def make(path, **changes):
        settings = {"steps": 4000, "checkpoint": {"every": 0}, "eval": {"at_end": False}}
        return make_run(
            path, make_config(model_folder("llama"), prompts_file, **{**settings, **changes})
        )

    return make


def is_stopped(run, worker):
    assert worker.wait() == 5
    seen = observe(run)
    assert (seen.phase, seen.alive, seen.error) == (Phase.STOPPED, False, None)
    step = seen.state.step
    assert steps_of(run) == list(range(1, step + 1))
    saved = list_checkpoints(run.checkpoints_path)
    assert [at for at, _ in saved] == ([step] if step else [])
    for _, path in saved:
        verify_checkpoint(path)
    return step


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("phase", [Phase.ROLLOUT, Phase.UPDATE])
def test_in_the_middle_of_a_step_it_is_finished_and_saved(make, nursery, home, number, phase):
    run = make(home / "runs" / "mine")
    worker = nursery.start(run)
    wait_for(lambda: steps_of(run) and read_state(run).state is phase, worker)
    worker.signal(number)
    assert is_stopped(run, worker) >= 1
    assert "`ppo-tui resume` goes on" in read_state(run).message


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_while_it_loads_it_stops_before_its_first_step(make, nursery, home, number):
    run = make(home / "runs" / "mine")
    worker = nursery.start(run)
    wait_for(lambda: read_state(run).state is Phase.LOADING, worker)
    worker.signal(number)
    is_stopped(run, worker)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_while_it_is_paused(make, nursery, home, number):
    run = make(home / "runs" / "mine")
    post(run, "pause")
    worker = nursery.start(run)
    wait_for(lambda: read_state(run).state is Phase.PAUSED, worker)
    worker.signal(number)
    assert is_stopped(run, worker) == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_while_it_is_suspended_the_signal_waits_for_it_to_go_on(make, nursery, home, number):
    run = make(home / "runs" / "mine")
    worker = nursery.start(run)
    wait_for(lambda: steps_of(run), worker)
    worker.signal(signal.SIGSTOP)
    worker.signal(number)
    assert worker.poll() is None
    worker.signal(signal.SIGCONT)
    assert is_stopped(run, worker) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_in_an_evaluation_between_two_steps(make, nursery, home, number):
    evaluation = {"every": 1, "at_end": False, "samples": 64, "reference_samples": 64}
    run = make(home / "runs" / "mine", eval=evaluation)
    worker = nursery.start(run)
    wait_for(lambda: read_state(run).state is Phase.EVALUATING, worker)
    worker.signal(number)
    assert is_stopped(run, worker) >= 1


@pytest.mark.slow
def test_what_was_stopped_by_a_signal_ends_as_what_was_never_stopped(make, nursery, tmp_path):
    straight = make(tmp_path / "straight", steps=12)
    assert nursery.work(straight) == 0
    run = make(tmp_path / "run", steps=12)
    worker = nursery.start(run)
    wait_for(lambda: steps_of(run), worker)
    worker.signal(signal.SIGTERM)
    assert worker.wait() in (0, 5)
    assert read_state(run).state is Phase.FINISHED or nursery.work(run) == 0
    assert course(run) == course(straight)


@pytest.mark.slow
def test_a_terminal_that_is_closed_leaves_the_run_to_itself(home, tmp_path):
    """A real terminal is closed over `ppo-tui demo`; its worker goes on and takes a stop."""
    master, slave = pty.openpty()
    follower = subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", "demo", "--headless", "--run-dir", str(home / "mine")],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    os.close(slave)
    from ppo_tui.runs.directory import RunDirectory

    run = RunDirectory(home / "mine")
    drained = b""
    while not (run.lock_path.exists() and is_held(run)):
        drained += os.read(master, 4096)
    pid = json.loads(run.launch_path.read_text())["pid"]
    try:
        os.close(master)
        assert follower.wait(60) == 128 + signal.SIGHUP
        assert not (home / "errors").exists()
        assert pid != follower.pid
        assert observe(run).alive
        post(run, "stop", mode="now")
        while is_held(run):
            os.sched_yield()
        assert observe(run).phase is Phase.STOPPED
    finally:
        if is_held(run):
            os.kill(pid, signal.SIGKILL)


def own_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
