import os
import sys
import threading

import pytest

from ppo_tui.errors import StorageError
from ppo_tui.runs.launch import last_launch, let_go, start_worker


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
    assert run.log_path.read_text() == (f"called: -m ppo_tui.worker {run.path}\nread: \ntalk\n")
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
