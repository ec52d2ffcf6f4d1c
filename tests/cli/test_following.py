"""Following a run: what is shown while it goes, and how it is told to have ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ppo_tui.runs.state import observe

ATTEND = """
import subprocess, sys
from pathlib import Path
from ppo_tui.cli.session import attend
from ppo_tui.prepare.new_run import NewRun
from ppo_tui.runs.directory import RunDirectory
run = RunDirectory(Path(sys.argv[1]))
quiet = subprocess.DEVNULL
command = [sys.executable, *sys.argv[3:]]
worker = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
new = NewRun(run, (), False) if sys.argv[2] == "new" else None
sys.exit(attend(run, worker, as_json=True, new=new))
"""
"""What train does after it has made a run, with another worker."""


@pytest.fixture
def attend(run):
    """Starts a process that starts a stand-in for the worker and attends to its run."""
    from .conftest import STAND_IN

    started = []

    def start(*arguments, made_here=False):
        command = [sys.executable, "-c", ATTEND, str(run.path), "new" if made_here else "old"]
        command += [str(STAND_IN), str(run.path), *arguments]
        follower = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        started.append(follower)
        return follower

    yield start
    for follower in started:
        follower.kill()
        follower.communicate()


def wait_for(condition):
    while not condition():
        time.sleep(0.01)


def test_a_run_is_followed_to_its_end(ppo_tui, run, start_worker):
    start_worker(4, "finished")
    wait_for(lambda: run.events_path.exists())
    said = ppo_tui("watch", "first-run")
    assert said.code == 0
    assert "step 4/4  reward 0.400  kl 0.800  length 20.50" in said.err
    assert "warning: The KL is high" in said.err
    assert "finished after step 4 of 4" in said.out
    assert str(run.path / "checkpoints" / "step-000004" / "policy") in said.out


def test_with_json_stdout_is_one_object(ppo_tui, run, start_worker):
    start_worker(4, "finished").wait()
    said = ppo_tui("watch", "first-run", "--json")
    assert said.json["run_dir"] == str(run.path)
    assert (said.json["state"], said.json["step"]) == ("finished", 4)
    assert said.json["metrics"]["reward/score"] == 0.4
    assert said.json["share_of_optimum"] == 0.96
    assert said.json["adapter"] == str(run.path / "checkpoints" / "step-000004" / "policy")
    assert "error" not in said.json


def test_nothing_that_a_model_wrote_reaches_the_terminal_raw(ppo_tui, start_worker):
    start_worker(4, "finished").wait()
    said = ppo_tui("watch", "last")
    assert not {"\x1b", "\x07", "\r", "\u202e", "\x9b"}.intersection(said.out + said.err)
    assert r"\x1b[31m" in said.err


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("config.invalid_value", 3),
        ("model.missing", 4),
        ("data.overlong", 4),
        ("device", 4),
        ("memory", 4),
        ("data.no_room", 3),
        ("reward.file_missing", 4),
        ("reward.raised", 1),
        ("training", 1),
    ],
)
def test_a_failure_is_told_with_the_exit_code_of_its_family(here, start_worker, code, exit_code):
    start_worker(2, f"failed:{code}").wait()
    said = here("watch", "last")
    assert said.code == exit_code
    assert "error: It broke.\nhint: Mend it.\n" in said.err
    as_json = here("watch", "last", "--json")
    assert as_json.code == exit_code
    assert as_json.json["error"] == {"code": code, "message": "It broke.", "hint": "Mend it."}


def test_a_crash_is_told_with_the_way_on(here, run, start_worker):
    start_worker(2, "crash").wait()
    said = here("watch", "last")
    assert said.code == 1
    assert "the worker died after step 2" in said.err
    assert "`ppo-tui resume first-run`" in said.err
    assert str(run.log_path) in said.err
    assert here("watch", "last", "--json").json["state"] == "crashed"


def test_a_run_that_was_never_started_is_not_waited_for(here, run):
    said = here("watch", "first-run")
    assert said.code == 1
    assert "never started" in said.err


def test_a_stopped_run_ends_with_its_own_exit_code(here, waiting_worker):
    here("stop", "last")
    waiting_worker.wait()
    said = here("watch", "last")
    assert said.code == 5
    assert "stopped after step 2 of 4" in said.out
    assert "ppo-tui resume" in said.err


def test_ctrl_c_in_watch_only_looks_away(run, waiting_worker):
    watcher = subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", "watch", "first-run"],
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert watcher.stderr is not None
    first = watcher.stderr.readline()
    assert "step 1/" in first
    watcher.send_signal(signal.SIGINT)
    _, said = watcher.communicate(timeout=60)
    assert watcher.returncode == 0
    assert "first-run goes on by itself" in said
    assert waiting_worker.poll() is None
    assert observe(run).alive


def test_the_first_ctrl_c_stops_with_a_checkpoint(run, attend):
    follower = attend("3", "finished", "2")
    wait_for(lambda: observe(run).state.step == 2)
    follower.send_signal(signal.SIGINT)
    out, said = follower.communicate(timeout=60)
    assert follower.returncode == 5
    assert '"state": "stopped"' in out
    assert "Stopping after this step" in said
    assert os.listdir(run.checkpoints_path) == ["step-000002"]


def test_sigterm_leaves_the_run_alone(run, attend):
    follower = attend("3", "finished", "2")
    wait_for(lambda: observe(run).state.step == 2)
    follower.send_signal(signal.SIGTERM)
    follower.communicate(timeout=60)
    assert follower.returncode == 128 + signal.SIGTERM
    assert observe(run).alive
    os.kill(observe(run).state.pid, signal.SIGKILL)


def test_a_worker_that_dies_without_a_word_is_no_success(run, attend):
    follower = attend("0", "mute")
    out, _ = follower.communicate(timeout=60)
    assert follower.returncode == 1
    assert '"run.crashed"' in out


def test_a_run_that_fails_on_bad_input_before_its_first_step_leaves_nothing(run, attend):
    follower = attend("0", "failed:device", made_here=True)
    out, _ = follower.communicate(timeout=60)
    assert follower.returncode == 4
    assert '"message": "It broke."' in out
    assert not run.path.exists()


def test_a_run_that_people_have_rated_is_kept_though_it_fails_before_its_first_step(run, attend):
    run.ratings_path.write_bytes(b'{"kind": "rating"}\n')
    follower = attend("0", "failed:device", made_here=True)
    follower.communicate(timeout=60)
    assert follower.returncode == 4
    assert run.ratings_path.read_bytes() == b'{"kind": "rating"}\n'


@pytest.mark.parametrize(
    "arguments",
    [("0", "failed:internal"), ("0", "failed:device.lost"), ("1", "failed:reward.raised")],
)
def test_a_run_that_did_a_step_or_broke_by_no_fault_of_the_input_is_kept(run, attend, arguments):
    follower = attend(*arguments, made_here=True)
    follower.communicate(timeout=60)
    assert follower.returncode in (1, 4)
    assert run.path.exists()
