"""The worker as a process of its own: it ends honestly, whatever happens to it."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ppo_tui.errors import StorageError
from ppo_tui.runs.checkpoints import verify_checkpoint
from ppo_tui.runs.control import post
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.lock import is_held
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe, read_state
from ppo_tui.training.session import Session
from worker.processes import (
    answer_to,
    events,
    make_run,
    reward_file,
    sample_ids,
    start,
    steps_of,
    wait_for,
    work,
)

COUNTED = """
import os, random, signal
import numpy as np, torch
from pathlib import Path

MARK = Path(__file__).with_name("marked")
calls = 0  # the first of them scores the base's answers to the watched prompts

def reward(prompts, responses):
    global calls
    calls += 1
    if calls == {call} and not MARK.exists():
        MARK.touch()
        os.kill(os.getpid(), signal.{signal})
    noise = random.random() + np.random.rand() + float(torch.rand(()))
    return [float(response.count("e")) + noise for response in responses]
"""


def test_a_worker_finishes_and_answers_what_it_is_asked_meanwhile(small_config, tmp_path):
    run = make_run(tmp_path / "run", small_config(steps=3, checkpoint={"every": 0}))
    pause = post(run, "pause")
    worker = start(run)
    wait_for(lambda: answer_to(run, pause), worker)
    assert answer_to(run, pause)["state"] == "paused"
    assert observe(run).phase is Phase.PAUSED

    # A second worker is refused and changes nothing.
    before = run.state_path.read_bytes()
    second = start(run)
    assert second.wait(60) == 1
    assert "run.busy" in run.log_path.read_text()
    assert f"process {worker.pid}" in run.log_path.read_text()
    assert run.state_path.read_bytes() == before

    asked = [
        post(run, "checkpoint"),
        post(run, "set", key="kl_coef", value=0.3),
        post(run, "set", key="lr", value=0.002),
    ]
    (run.control_path / "nonsense.json").write_text("{")
    for request in asked:
        wait_for(lambda request=request: answer_to(run, request), worker)
    assert observe(run).phase is Phase.PAUSED
    go_on = post(run, "continue")
    assert worker.wait(120) == 0

    state = read_state(run)
    assert (state.state, state.step, state.total, state.error) == (Phase.FINISHED, 3, 3, None)
    assert not is_held(run)
    assert answer_to(run, go_on)["state"] == "rollout"
    assert answer_to(run, asked[0])["path"] == "checkpoints/step-000000"
    assert answer_to(run, asked[1])["message"] == "kl_coef is now 0.3."
    metrics = [event["metrics"] for event in events(run, "step")]
    assert [m["kl/coef"] for m in metrics] == [0.3, 0.3, 0.3]
    assert [m["optim/lr"] for m in metrics] == pytest.approx([0.002] * 3)
    assert [event["step"] for event in events(run, "checkpoint")] == [0, 3]
    assert [event["step"] for event in events(run, "eval")] == [3]
    assert any("nonsense.json" in event["message"] for event in events(run, "log"))
    assert [path.name for path in run.control_path.iterdir()] == ["nonsense.json.damaged"]
    assert len(sample_ids(run)) == 24
    states = [event["state"] for event in events(run, "state")]
    assert states == ["rollout", "paused", "rollout", "finished"]


def test_a_killed_worker_is_resumed_with_the_journals_of_a_run_that_never_died(
    small_config, tmp_path
):
    reward = reward_file(tmp_path, COUNTED.format(call=5, signal="SIGKILL"))
    config = small_config(steps=5, reward=reward, checkpoint={"every": 2}, eval={"at_end": False})
    killed = make_run(tmp_path / "killed", config)
    assert work(killed) == -signal.SIGKILL
    assert observe(killed).phase is Phase.CRASHED
    assert steps_of(killed) == [1, 2, 3]
    assert work(killed) == 0
    assert read_state(killed).state is Phase.FINISHED
    assert "Resumed after step 2." in [event["message"] for event in events(killed, "log")]

    straight = make_run(tmp_path / "straight", config)
    Session(straight).execute()  # the mark is there: nothing kills it
    assert steps_of(killed) == [1, 2, 3, 4, 5]
    assert without_clock(killed) == without_clock(straight)
    one, other = (
        verify_checkpoint(run.checkpoints_path / "step-000005") for run in (killed, straight)
    )
    assert one["trainer"] == other["trainer"]
    for name in ("heads.safetensors", "rng.safetensors", "policy/adapter_model.safetensors"):
        files = [run.checkpoints_path / "step-000005" / name for run in (killed, straight)]
        assert files[0].read_bytes() == files[1].read_bytes()


def without_clock(run):
    """The journals without what differs from one process to another."""
    steps = [
        {
            name: value
            for name, value in event["metrics"].items()
            if not name.startswith(("time/", "throughput/", "memory/"))
        }
        for event in events(run, "step")
    ]
    samples = [
        {key: value for key, value in sample.items() if key != "time"}
        for sample in read_journal(run.samples_path).records
    ]
    return steps, samples


def test_a_terminated_worker_saves_what_it_has_and_exits_with_5(small_config, tmp_path):
    reward = reward_file(tmp_path, COUNTED.format(call=3, signal="SIGTERM"))
    run = make_run(tmp_path / "run", small_config(reward=reward, checkpoint={"every": 0}))
    assert work(run) == 5
    state = read_state(run)
    assert (state.state, state.step) == (Phase.STOPPED, 2)
    assert steps_of(run) == [1, 2]
    assert [path.name for path in run.checkpoints_path.iterdir()] == ["step-000002"]
    assert "resume" in state.message


# ---- failures: two workers at a time, because each takes seconds to import torch


@pytest.fixture(scope="module")
def failures(model_folder, prompts_file, tmp_path_factory):
    """Runs that have failed, each for a reason of its own, with their exit codes."""
    from training.toys import make_config

    folder = tmp_path_factory.mktemp("failures")

    def config(name, **changes):
        place = folder / name
        place.mkdir()
        source = changes.pop("source", None)
        model = changes.pop("model", model_folder("llama"))
        if source:
            changes["reward"] = reward_file(place, source)
        return make_run(place / "run", make_config(model, prompts_file, **changes))

    corrupt = shutil.copytree(model_folder("llama"), folder / "corrupt-model")
    weights = corrupt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])
    runs = {
        "raises": config(
            "raises", source="def reward(prompts, responses):\n    raise KeyError(3)\n"
        ),
        "corrupt": config("corrupt", model=corrupt),
    }
    workers = {name: start(run) for name, run in runs.items()}
    return {name: (runs[name], worker.wait(120)) for name, worker in workers.items()}


@pytest.mark.parametrize(
    ("name", "exit_code", "code", "words"),
    [
        ("raises", 1, "reward.raised", "KeyError: 3"),
        ("corrupt", 4, "model.corrupt", "damaged"),
    ],
)
def test_a_failure_is_written_down_and_never_reads_as_finished(
    failures, name, exit_code, code, words
):
    run, exited = failures[name]
    state = read_state(run)
    assert exited == exit_code
    assert state.state is Phase.FAILED
    assert state.error.code.startswith(code)
    assert words in state.error.message
    assert "\n" not in state.error.message
    assert [event["state"] for event in events(run, "state")][-1] == "failed"
    assert state.error.message in run.log_path.read_text()
    assert state.error.code in run.log_path.read_text()
    assert list(run.checkpoints_path.iterdir()) == []
    assert steps_of(run) == []


def test_a_worker_on_no_run_says_so_and_exits_with_1(tmp_path):
    from ppo_tui import worker

    result = subprocess.run(
        [sys.executable, worker.__file__, str(tmp_path / "nothing")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "there is no run at" in result.stdout


def test_a_worker_without_a_run_is_called_wrongly():

    result = subprocess.run(
        [sys.executable, "-m", "ppo_tui.worker"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "usage" in result.stderr


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 300 KiB; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True, capture_output=True)


def test_a_full_disk_fails_the_run_with_a_sentence_and_no_half_checkpoint(small_config, small_disk):
    run = make_run(small_disk / "run", small_config(checkpoint={"every": 1}))
    with pytest.raises(StorageError) as caught:
        Session(run).execute()
    assert caught.value.code == "storage.full"
    assert caught.value.exit_code == 1
    assert observe(run).phase in (Phase.FAILED, Phase.CRASHED)
    assert list(run.checkpoints_path.iterdir()) == []
