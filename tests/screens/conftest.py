"""A home of its own for each test, runs to look at, and a terminal that always looks the same."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ppo_tui
from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import (
    ErrorInfo,
    RunState,
    Sample,
    checkpoint_event,
    state_event,
    step_event,
)
from ppo_tui.runs.state import write_state
from ppo_tui.runs.strict_json import dumps

MakeRun = Callable[..., RunDirectory]

LONG_AGO = 1_700_000_000.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment that says nothing of this terminal."""
    for name in (
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "FORCE_COLOR",
        "COLORFGBG",
        "SSH_CONNECTION",
        "SSH_TTY",
        "TEXTUAL_ANIMATIONS",
    ):
        monkeypatch.delenv(name, raising=False)
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("PPO_TUI_HOME", str(place))
    # A cursor that blinks would make each picture another one.
    monkeypatch.setattr("textual.widgets.Input.cursor_blink", False, raising=False)
    return place


@pytest.fixture
def make_run(home: Path) -> MakeRun:
    """Makes a run that has done some steps, without a worker; always the same numbers.

    `make_run(name, steps=30, phase=Phase.FINISHED, error=None, settings=[...], samples=4)`.
    """

    def make(
        name: str = "first-run",
        steps: int = 30,
        phase: Phase = Phase.FINISHED,
        *,
        total: int | None = None,
        error: ErrorInfo | None = None,
        settings: list[str] | None = None,
        samples: int = 4,
        rises: float = 1.0,
        preset: str = "demo",
        answers: bool = True,
    ) -> RunDirectory:
        planned = total if total is not None else max(steps, 30)
        text = f"# preset: {preset}\n" + resolve(preset, settings or []).to_yaml()
        run = RunDirectory.create(home / "runs" / name, text, total=planned)
        with JournalWriter(run.events_path) as events, JournalWriter(run.samples_path) as book:
            if steps and answers:
                events.append({**answers_of("base", 0), "time": LONG_AGO + 2.0})
            for step in range(1, steps + 1):
                share = 1 - math.exp(-step / 10)
                event = step_event(step, metrics_of(step, share * rises))
                record = {**event.to_json(), "time": LONG_AGO + 2.0 * step}
                events.append(record)
                for index in range(samples):
                    book.append(sample_of(step, index, share * rises).to_json())
            if steps and answers:
                events.append({**answers_of("policy", steps), "time": LONG_AGO + 2.0 * steps})
            if steps:
                folder = run.checkpoints_path / f"step-{steps:06d}" / "policy"
                folder.mkdir(parents=True)
                saved = checkpoint_event(steps, f"checkpoints/step-{steps:06d}")
                events.append({**saved.to_json(), "time": LONG_AGO + 2.0 * steps})
            events.append(
                {**state_event(phase, step=steps).to_json(), "time": LONG_AGO + 2 * steps}
            )
        state = RunState(phase, steps, planned, None, time.time(), error=error)
        if phase is Phase.CRASHED:  # never written: what a viewer concludes from a dead worker
            state = RunState(Phase.UPDATE, steps, planned, None, time.time())
        write_state(run, state)
        return run

    return make


def answers_of(who: str, step: int) -> dict[str, Any]:
    """The watched prompts' answers, by the base or by the policy as of a step."""
    glad = who == "policy"
    answers = [
        {
            "prompt": "The soup was",
            "response": " warm and I loved it." if glad else " cold and I left it.",
            "score": 0.9 if glad else -0.4,
        },
        {"prompt": "The room had", "response": " a window.", "score": 0.0},
    ]
    return {"v": 1, "kind": "answers", "step": step, "who": who, "answers": answers}


def metrics_of(step: int, share: float) -> dict[str, float | None]:
    """The metrics of a step of a healthy run."""
    return {
        "reward/score": 0.85 * share,
        "reward/total": 0.85 * share - 0.15 * share,
        "reward/sentiment": 0.85 * share,
        "kl/ref": 3.3 * share,
        "kl/ref_k3": 3.5 * share,
        "kl/coef": 0.05,
        "policy/loss": -0.001 * step,
        "policy/approx_kl": 0.0004,
        "policy/clip_fraction": 0.02,
        "policy/entropy": 1.6 - 0.7 * share,
        "policy/ratio_first": 1.0,
        "value/loss": 0.02 * (1 - share) + 0.004,
        "value/explained_variance": 0.5 * share,
        "value/clip_fraction": 0.0,
        "response/length": 14.0 + share,
        "response/eos_rate": 1.0,
        "response/distinct_2": 0.3 - 0.05 * share,
        "optim/lr": 2e-3 * (1 - step / 40),
        "optim/grad_norm": 0.4,
        "time/rollout": 0.2,
        "time/score": 0.4,
        "time/reward": 0.01,
        "time/update": 0.8,
        "throughput/tokens_per_s": 2500.0,
        "throughput/episodes_per_s": 180.0,
        "memory/peak_gib": 0.53,
        "memory/planned_gib": 0.5,
    }


def sample_of(step: int, index: int, share: float) -> Sample:
    """A sample of a step; the later, the gladder."""
    glad = "wonderful" if (index + step) % 4 < 4 * share else "dull"
    return Sample(
        id=f"{step}-{index}",
        step=step,
        prompt=f"The {('soup', 'room', 'film', 'walk')[index % 4]} was",
        response=f" {glad}, and I would go again.",
        score=0.9 if glad == "wonderful" else -0.3,
        terms={"sentiment": 0.9 if glad == "wonderful" else -0.3},
        kl=3.0 * share,
        length=9 + index,
        finished=True,
        time=LONG_AGO + 2.0 * step,
    )


def write_config(path: Path, values: object) -> None:
    """A file of settings or a preset, as JSON, which is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(values), encoding="utf-8")


WORKER = """
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
    write_state(run, RunState(Phase.ROLLOUT, 30, 60, current_process(), 5.0))
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def worker(home: Path) -> Iterator[Callable[[RunDirectory], "subprocess.Popen[bytes]"]]:
    """Starts a process that holds a run's lock as a worker does, until it is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run: RunDirectory) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PYTHONPATH": str(Path(ppo_tui.__file__).parents[1])}
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def launched(home: Path) -> Iterator[None]:
    """Ends the workers that the app started: they would go on, as they should."""
    yield
    for path in (home / "runs").iterdir():
        launch = last_launch(RunDirectory(path))
        if launch is not None and launch.process.is_running():
            os.kill(launch.process.pid, signal.SIGKILL)


@pytest.fixture
def four_runs(make_run: MakeRun) -> None:
    """A finished, a failed, a crashed and a stopped run; the last one made is the newest."""
    error = ErrorInfo("reward.raised", "The reward function raised [ValueError]: no.", "Mend it.")
    make_run("sentiment-night", phase=Phase.FINISHED)
    make_run("sentiment-noon", 12, Phase.FAILED, error=error, settings=["ppo.kl_coef=0.2"])
    make_run("sentiment-dusk", 20, Phase.CRASHED, rises=0.5)
    make_run("sentiment-dawn", 25, Phase.STOPPED, rises=-0.5, settings=["model.name=org/Tiny-0.5B"])
