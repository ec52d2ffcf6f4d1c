import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from ppo_tui.errors import RunBusy, StorageError
from ppo_tui.runs.lock import RunLock, holder, is_held
from ppo_tui.runs.process import ProcessIdentity, current_process, identify


def dead_process():
    """The identity of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(child.pid)
    child.communicate()
    assert identity is not None
    return identity


@pytest.fixture
def no_flock(monkeypatch):
    """A file system that knows no flock."""

    def refuse(fd, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_process_knows_itself():
    assert current_process().pid == os.getpid()
    assert current_process().is_running()
    assert ProcessIdentity.from_json(current_process().to_json()) == current_process()


def test_its_start_is_what_psutil_says():
    import psutil

    assert current_process().start == pytest.approx(psutil.Process().create_time(), abs=1.0)


def test_a_process_that_ended_is_not_running():
    assert not dead_process().is_running()


def test_a_process_that_ended_and_was_not_waited_for_is_not_running():
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    identity = identify(child.pid) or ProcessIdentity(child.pid, 0.0)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, still a zombie
    assert not identity.is_running()
    child.communicate()


def test_a_recycled_number_is_not_the_process():
    me = current_process()
    earlier = replace(me, start=me.start - 3600, ticks=None if me.ticks is None else me.ticks - 1)
    assert not earlier.is_running()


def test_the_same_number_after_a_reboot_is_not_the_process():
    assert not replace(current_process(), boot_id="another-boot").is_running()


def test_a_clock_that_was_set_makes_no_stranger_of_a_process():
    me = current_process()
    if me.ticks is None:
        pytest.skip("this system tells a process's start by the clock alone")
    assert replace(me, start=me.start + 7200).is_running()


def test_a_second_worker_is_refused_and_told_who_holds_the_run(run, worker):
    process = worker("rollout")
    with pytest.raises(RunBusy, match=f"in the hands of process {process.pid}") as caught:
        RunLock(run).acquire(timeout=0)
    assert caught.value.code == "run.busy"


def test_two_lockers_in_one_process_do_not_share(run):
    with RunLock(run):
        with pytest.raises(RunBusy):
            RunLock(run).acquire(timeout=0)
        assert is_held(run)
    assert not is_held(run)


def test_a_lock_can_be_taken_again_after_its_holder_was_killed(run, worker):
    process = worker("rollout")
    process.kill()
    process.wait()
    assert not is_held(run)
    with RunLock(run) as lock:
        assert lock.held
        assert holder(run) == current_process()


def test_the_lock_names_its_holder_and_host(run):
    with RunLock(run):
        record = json.loads(run.lock_path.read_text())
    assert record["pid"] == os.getpid()
    assert record["host"]


def test_a_released_lock_names_nobody_and_stays_where_it_is(run):
    with RunLock(run):
        pass
    assert run.lock_path.exists()
    assert holder(run) is None


def test_a_viewers_look_never_turns_a_worker_away(run, monkeypatch):
    run.lock_path.touch()
    probe = os.open(run.lock_path, os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)
    # The probe ends while the worker tries: its first pause is our moment.
    monkeypatch.setattr("ppo_tui.runs.lock.time.sleep", lambda seconds: os.close(probe))
    with RunLock(run) as lock:
        assert lock.held


def test_two_viewers_do_not_take_each_other_for_a_worker(run):
    run.lock_path.touch()
    probe = os.open(run.lock_path, os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)
    assert not is_held(run)
    os.close(probe)


def test_a_forked_child_that_outlives_the_worker_does_not_keep_the_run(run):
    lock = RunLock(run).acquire()
    hold_read, hold_write = os.pipe()
    ready_read, ready_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold_write)
        os.write(ready_write, b"!")
        os.read(hold_read, 1)  # until the parent lets go
        os._exit(0)
    os.read(ready_read, 1)
    lock._close()  # as a killed worker would: no goodbye
    assert not is_held(run)
    os.close(hold_write)
    os.waitpid(child, 0)
    for end in (hold_read, ready_read, ready_write):
        os.close(end)


def test_a_child_that_forks_does_not_take_the_lock_from_the_worker(run):
    with RunLock(run):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert is_held(run)


def test_a_lock_that_is_a_link_does_not_overwrite_what_it_points_at(run, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run.lock_path.unlink()
    run.lock_path.symlink_to(precious)
    with pytest.raises(StorageError, match="symbolic link"):
        RunLock(run).acquire(timeout=0)
    assert not is_held(run)
    assert precious.read_text() == "mine"


def test_without_flock_a_live_process_holds_the_run(run, no_flock):
    with RunLock(run):
        assert is_held(run)
        with pytest.raises(RunBusy):
            RunLock(run).acquire(timeout=0)


def test_without_flock_a_dead_process_holds_nothing(run, no_flock):
    run.lock_path.write_text(json.dumps(dead_process().to_json()))
    assert not is_held(run)
    with RunLock(run) as lock:
        assert lock.held


def test_without_flock_a_recycled_number_holds_nothing(run, no_flock):
    me = current_process()
    recycled = replace(me, start=me.start - 60, ticks=me.ticks and me.ticks - 6000)
    run.lock_path.write_text(json.dumps(recycled.to_json()))
    assert not is_held(run)


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'{"pid":"1"}', b'{"pid":-1}'])
def test_a_lock_with_nonsense_in_it_names_nobody(run, content):
    run.lock_path.write_bytes(content)
    assert holder(run) is None
    assert not is_held(run)
