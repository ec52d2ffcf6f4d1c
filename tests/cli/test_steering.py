"""pause, continue, checkpoint and stop: a request, and the worker's answer to it."""

import os
import subprocess
import sys
import time

import pytest


def test_a_run_is_paused_and_continued(here, run, waiting_worker):
    said = here("pause", "first-run")
    assert (said.code, said.out) == (0, "first-run: is paused\n")
    assert here("runs", "list", "--json").json["runs"][0]["state"] == "paused"
    answer = here("continue", "first-run", "--json").json
    assert (answer["answered"], answer["message"]) == (True, "Done: continue.")
    assert waiting_worker.wait(30) == 0


def test_a_checkpoint_is_asked_for(here, run, waiting_worker):
    assert here("checkpoint", "first-run").out == "first-run: Done: checkpoint.\n"


@pytest.mark.parametrize(("flags", "saved"), [((), ["step-000002"]), (("--now",), [])])
def test_a_run_is_stopped_with_or_without_a_checkpoint(here, run, waiting_worker, flags, saved):
    said = here("stop", "last", *flags, "--json")
    assert said.code == 0
    assert said.json["answered"] is True
    assert waiting_worker.wait(30) == 5
    assert os.listdir(run.checkpoints_path) == saved


@pytest.mark.parametrize("command", ["pause", "continue", "checkpoint", "stop"])
def test_a_run_that_is_not_running_takes_no_requests(here, run, start_worker, command):
    start_worker(1, "failed:internal").wait()
    said = here(command, "first-run")
    assert said.code == 1
    assert "first-run is not running: it is failed" in said.err
    assert "ppo-tui resume first-run" in said.err
    assert os.listdir(run.control_path) == []


DEAF = """
import sys
from pathlib import Path
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.process import current_process
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import write_state

run = RunDirectory(Path(sys.argv[1]))
with RunLock(run):
    write_state(run, RunState(Phase.UPDATE, 1, 4, current_process()))
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_request_that_nobody_took_is_withdrawn(run):
    deaf = subprocess.Popen(
        [sys.executable, "-c", DEAF, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert deaf.stdout.readline() == b"ready\n"
    asking = subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", "pause", "first-run"],
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    while not os.listdir(run.control_path):
        time.sleep(0.01)
    deaf.kill()
    deaf.communicate()
    _, said = asking.communicate(timeout=60)
    assert asking.returncode == 1
    assert "it is crashed" in said
    assert os.listdir(run.control_path) == []
