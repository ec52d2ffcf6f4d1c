"""One worker a run, told from every other process: two at once, and after a reboot."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from storage.places import course, weights
from worker.processes import make_run, wait_for

from ppo_tui.errors import RunError
from ppo_tui.runs.control import post
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.launch import end_worker, last_launch
from ppo_tui.runs.lock import RunLock, is_held
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process, identify
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import observe, read_state, write_state

CONFIG = "schema_version: 1\n"
BEFORE_THE_REBOOT = replace(current_process(), boot_id="00000000-0000-0000-0000-000000000000")


@pytest.fixture
def run(home):
    return RunDirectory.create(home / "runs" / "mine", CONFIG, total=10)


@pytest.fixture
def stray():
    """A process that has the number which a file of the run names, and nothing else."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def left_behind(run, process):
    """Write what a machine that lost its power leaves: state, lock and launch of a worker."""
    write_state(run, RunState(Phase.UPDATE, 3, 10, process))
    run.lock_path.write_text(json.dumps({"v": 1, **process.to_json(), "host": "here"}) + "\n")
    run.launch_path.write_text(json.dumps({"v": 1, "time": 4e9, **process.to_json()}) + "\n")


def test_a_number_that_another_process_has_after_a_reboot_is_not_the_worker(run, here, stray):
    now = identify(stray.pid)
    left_behind(run, replace(now, boot_id=BEFORE_THE_REBOOT.boot_id))
    seen = observe(run)
    assert (seen.phase, seen.alive, seen.suspended) == (Phase.CRASHED, False, None)
    assert "crashed, step 3 of 10" in here("runs", "show", "mine").out
    for command in ("stop", "pause"):
        told = here(command, "mine")
        assert told.code == 1
        assert "mine is not running: it is crashed" in told.error
        assert "`ppo-tui resume mine` goes on with it" in told.err
    with pytest.raises(RunError, match="no worker holds mine"):
        end_worker(run)
    assert stray.poll() is None
    with RunLock(run):  # a resume gets it at once
        assert is_held(run)
    assert here("runs", "delete", "mine", "--yes").code == 0


def test_even_a_held_lock_that_names_another_process_ends_none(run, stray):
    for named in (replace(identify(stray.pid), boot_id="another"), identify(stray.pid)):
        with RunLock(run):
            run.lock_path.write_text(json.dumps({"v": 1, **named.to_json()}) + "\n")
            with pytest.raises(RunError):
                end_worker(run)
        assert stray.poll() is None


def test_the_same_number_and_boot_but_another_start_is_another_process(run, stray):
    now = identify(stray.pid)
    left_behind(run, replace(now, ticks=now.ticks - 1 if now.ticks else None, start=now.start - 9))
    assert observe(run).phase is Phase.CRASHED


@pytest.fixture(scope="module")
def config(model_folder, prompts_file):
    from training.toys import make_config

    return make_config(model_folder("llama"), prompts_file, steps=3, eval={"at_end": False})


@pytest.mark.slow
def test_of_five_workers_started_at_once_exactly_one_trains(config, nursery, tmp_path):
    straight = make_run(tmp_path / "straight", config)
    assert nursery.work(straight) == 0
    run = make_run(tmp_path / "run", config)
    post(run, "pause")  # else the first may have finished before the last has started
    workers = [nursery.start(run) for _ in range(5)]
    while len(left := [worker for worker in workers if worker.poll() is None]) > 1:
        threading.Event().wait(0.05)
    post(run, "continue")
    (winner,) = left
    assert winner.wait() == 0
    assert sorted(worker.wait() for worker in workers) == [0, 1, 1, 1, 1]
    log = run.log_path.read_text()
    assert log.count("ERROR ppo_tui.worker: run.busy: the run run is in the hands of process") == 4
    assert read_state(run).state is Phase.FINISHED
    assert course(run) == course(straight)
    assert weights(run, 3) == weights(straight, 3)
    assert [e["state"] for e in read_journal(run.events_path).records if e["kind"] == "state"] == [
        "rollout",
        "paused",
        "rollout",
        "finished",
    ]


@pytest.mark.slow
def test_a_second_worker_says_to_its_user_who_has_the_run(config, nursery, home, monkeypatch):
    """The race that no check before a start can see: the first has the lock by then."""
    from ppo_tui.cli.follow import follow
    from ppo_tui.runs.launch import start_worker

    run = make_run(home / "runs" / "mine", config)
    first = nursery.start(run)
    wait_for(lambda: is_held(run), first)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        second = start_worker(run)
        assert second.wait(120) == 1
        followed = follow(run, stops=True, worker=second)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert followed.error.code == "run.busy"
    assert "another worker holds mine" in followed.error.message
    assert last_launch(run).process.pid == second.pid
    assert first.wait() == 0
    assert read_state(run).state is Phase.FINISHED
