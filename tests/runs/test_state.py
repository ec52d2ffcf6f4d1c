import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from ppo_tui.errors import RunError
from ppo_tui.runs import strict_json
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import ACTIVE, TERMINAL, Phase
from ppo_tui.runs.process import ProcessIdentity, current_process, identify
from ppo_tui.runs.records import ErrorInfo, RunState
from ppo_tui.runs.state import observe, read_state, write_state


def ended_process() -> ProcessIdentity:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(child.pid)
    child.communicate()
    assert identity is not None
    return identity


def note_launch(run, process, time):
    run.launch_path.write_text(strict_json.dumps({"v": 1, "time": time, **process.to_json()}))


def test_a_state_reads_back_as_it_was_written_with_its_time(run):
    written = write_state(run, RunState(Phase.ROLLOUT, 3, 10, current_process(), started=1.0))
    assert read_state(run) == written
    assert written.updated > 1.0


def test_crashed_is_never_written(run):
    with pytest.raises(ValueError, match="never written"):
        write_state(run, RunState(Phase.CRASHED))


def test_a_run_that_nobody_started_is_created(run):
    seen = observe(run)
    assert (seen.phase, seen.alive, seen.ended) == (Phase.CREATED, False, False)


@pytest.mark.parametrize("phase", sorted(ACTIVE))
def test_a_run_with_its_worker_is_what_its_state_says(run, phase):
    with RunLock(run):
        write_state(run, RunState(phase, 3, 10, current_process()))
        seen = observe(run)
    assert (seen.phase, seen.alive) == (phase, True)


@pytest.mark.parametrize("phase", sorted(ACTIVE))
def test_a_run_that_should_have_a_worker_and_has_none_has_crashed(run, phase):
    write_state(run, RunState(phase, 3, 10, current_process()))
    seen = observe(run)
    assert (seen.phase, seen.alive, seen.ended) == (Phase.CRASHED, False, True)
    assert seen.state.state is phase


@pytest.mark.parametrize("phase", sorted(TERMINAL - {Phase.CRASHED}))
def test_a_run_that_ended_stays_as_it_ended(run, phase):
    write_state(run, RunState(phase, 10, 10, ended_process()))
    seen = observe(run)
    assert (seen.phase, seen.alive, seen.ended) == (phase, False, True)


def test_a_worker_that_is_killed_has_crashed_at_once(run, worker):
    process = worker("update")
    assert (observe(run).phase, observe(run).alive) == (Phase.UPDATE, True)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not even waited for
    seen = observe(run)
    assert (seen.phase, seen.alive) == (Phase.CRASHED, False)
    assert seen.error is not None
    assert seen.error.code == "run.crashed"
    assert "after step 3" in seen.error.message
    assert "update" in seen.error.message


def test_a_worker_that_was_halted_is_still_there(run, worker):
    process = worker("rollout")
    process.send_signal(signal.SIGSTOP)
    assert observe(run).alive
    process.send_signal(signal.SIGCONT)


def test_a_failure_carries_its_error(run):
    error = ErrorInfo("reward", "the reward function raised", "look at line 3")
    write_state(run, RunState(Phase.FAILED, 2, 10, ended_process(), error=error))
    assert observe(run).error == error


def test_a_recycled_process_number_is_not_taken_for_the_run(run):
    me = current_process()
    earlier = replace(me, start=me.start - 60, ticks=me.ticks and me.ticks - 6000)
    write_state(run, RunState(Phase.CREATED, process=earlier))
    assert observe(run).phase is Phase.CRASHED


def test_a_worker_that_holds_the_run_and_has_said_nothing_yet_is_loading(run, worker):
    worker("silent")
    seen = observe(run)
    assert (seen.phase, seen.alive) == (Phase.LOADING, True)


def test_a_resumed_run_is_loading_until_its_new_worker_speaks(run, worker):
    write_state(run, RunState(Phase.STOPPED, 3, 10, ended_process()))
    worker("silent")
    assert observe(run).phase is Phase.LOADING


def test_a_worker_that_has_said_its_last_word_and_not_yet_left_has_ended(run, worker):
    worker("finished")
    seen = observe(run)
    assert (seen.phase, seen.ended) == (Phase.FINISHED, True)


def test_a_worker_that_was_just_started_is_loading_before_it_has_the_lock(run):
    note_launch(run, current_process(), read_state(run).updated + 1)
    seen = observe(run)
    assert (seen.phase, seen.alive) == (Phase.LOADING, True)


def test_a_worker_that_died_before_its_first_word_has_crashed(run):
    note_launch(run, ended_process(), read_state(run).updated + 1)
    seen = observe(run)
    assert (seen.phase, seen.alive) == (Phase.CRASHED, False)
    assert seen.error is not None
    assert "before its first step" in seen.error.message


def test_a_second_start_that_was_refused_does_not_make_a_finished_run_crash(run):
    state = write_state(run, RunState(Phase.FINISHED, 10, 10, ended_process()))
    note_launch(run, ended_process(), state.updated + 1)
    assert observe(run).phase is Phase.FINISHED


@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b'{"pid":1}', b"[" * 60_000])
def test_a_damaged_note_of_the_start_is_ignored(run, content):
    run.launch_path.write_bytes(content)
    assert observe(run).phase is Phase.CREATED


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe", b'{"state":"dreaming"}', b"{}"]
)
def test_a_damaged_state_is_one_clear_error(run, content):
    run.state_path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        observe(run)
    assert caught.value.code == "run.state"


def test_a_state_that_is_gone_is_one_clear_error(run):
    run.state_path.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        read_state(run)


def test_a_last_word_between_two_looks_is_heard(run, monkeypatch):
    """The worker finishes after a viewer read its state and before it tried the lock."""
    import ppo_tui.runs.state as module

    me = current_process()
    write_state(run, RunState(Phase.UPDATE, 9, 10, me))
    really, said = module.is_held, []

    def meanwhile(directory):
        if not said:
            said.append(write_state(run, RunState(Phase.FINISHED, 10, 10, me)))
        return really(directory)

    monkeypatch.setattr(module, "is_held", meanwhile)
    assert observe(run).phase is Phase.FINISHED


def test_the_file_is_what_the_contract_says(run):
    write_state(run, RunState(Phase.ROLLOUT, 3, 10, current_process(), started=5.0))
    record = json.loads(run.state_path.read_text())
    assert set(record) >= {
        "v", "state", "step", "total", "pid", "process_start", "started", "updated", "error",
    }  # fmt: skip
    assert record["pid"] == os.getpid()
