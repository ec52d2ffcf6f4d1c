import os
import signal
import subprocess
import sys
import threading

import pytest

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs.launch import end_worker, last_launch, let_go, start_worker


@pytest.fixture
def fake_python(tmp_path, monkeypatch):
    """An interpreter that only says how it was called and what it reads."""
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "called: $*"\necho "read: $(cat)"\necho talk >&2\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_the_worker_is_a_module_with_an_empty_stdin_and_its_talk_in_the_log(run, fake_python):
    worker = start_worker(run)
    assert worker.wait() == 0
    assert run.log_path.read_text() == (f"called: -P -m ppo_tui.worker {run.path}\nread: \ntalk\n")
    assert run.log_path.stat().st_mode & 0o777 == 0o600


def test_the_worker_has_a_session_of_its_own(run, fake_python):
    worker = start_worker(run)
    assert os.getsid(worker.pid) == worker.pid
    worker.wait()


def test_the_log_of_an_earlier_worker_is_kept(run, fake_python):
    run.log_path.write_text("earlier\n")
    start_worker(run).wait()
    assert run.log_path.read_text().startswith("earlier\ncalled:")


def test_the_start_is_noted_for_viewers(run, fake_python):
    worker = start_worker(run)
    worker.wait()
    launched = last_launch(run)
    assert launched is not None
    assert launched.process.pid == worker.pid
    assert not launched.process.is_running()


def test_an_interpreter_that_is_gone_is_one_clear_error(run, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(run.path / "no-python"))
    with pytest.raises(StorageError, match="no-python"):
        start_worker(run)


def test_a_log_that_cannot_be_written_is_one_clear_error(run):
    run.log_path.mkdir()
    with pytest.raises(StorageError, match=r"log\.txt"):
        start_worker(run)


def test_a_worker_that_was_let_go_leaves_nothing_behind_when_it_ends(run, fake_python):
    worker = start_worker(run)
    let_go(worker)
    for thread in threading.enumerate():
        if thread.name == f"worker {worker.pid}":
            thread.join(10)
    assert worker.returncode == 0


HOLDER = """
import sys
from pathlib import Path
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.lock import RunLock

with RunLock(RunDirectory(Path(sys.argv[1]))):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold(run, python_path):
    """A process that holds the run's lock, called by the given name."""
    started = []

    def start(name):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(run.path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_worker_that_does_not_answer_is_ended(run, hold):
    process = hold("ppo_tui.worker")
    os.kill(process.pid, signal.SIGSTOP)
    end_worker(run)
    assert process.wait(10) == -signal.SIGKILL


def test_a_process_that_is_no_worker_is_left_alone(run, hold):
    process = hold("something-else")
    with pytest.raises(RunError, match="is no worker of ppo-tui") as caught:
        end_worker(run)
    assert caught.value.code == "run.worker"
    assert process.poll() is None


def test_where_no_worker_is_there_is_none_to_end(run):
    with pytest.raises(RunError, match="no worker holds") as caught:
        end_worker(run)
    assert caught.value.code == "run.not_running"


def test_a_lock_that_names_a_process_without_its_holding_it_ends_nothing(run, hold):
    process = hold("ppo_tui.worker")
    name = run.lock_path.read_bytes()
    process.kill()
    process.wait()
    innocent = subprocess.Popen(["sleep", "60"])
    try:
        other = name.replace(str(process.pid).encode(), str(innocent.pid).encode())
        run.lock_path.write_bytes(other)
        with pytest.raises(RunError):
            end_worker(run)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()
