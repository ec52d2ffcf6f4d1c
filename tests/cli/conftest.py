"""A home of its own for each test, runs with a worker that is a real process, and the program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ppo_tui.config.resolve import resolve
from ppo_tui.runs.directory import RunDirectory

STAND_IN = Path(__file__).with_name("worker_stand_in.py")

StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@dataclass
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stands on stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


Program = Callable[..., Said]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PPO_TUI_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return tmp_path / "home"


@pytest.fixture
def ppo_tui() -> Program:
    """The program as a process of its own, as a user or a script starts it."""

    def start(*arguments: str, **options: Any) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "ppo_tui", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            encoding="utf-8",
            **options,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return start


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Program:
    """The program in this process: faster, for what needs no process of its own."""
    from ppo_tui.cli.entry import run

    def start(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return start


@pytest.fixture
def run(home: Path) -> RunDirectory:
    """A run called first-run, made and not started."""
    text = "# preset: demo\n" + resolve("demo", ["steps=4"]).to_yaml()
    return RunDirectory.create(home / "runs" / "first-run", text, total=4)


@pytest.fixture
def start_worker(run: RunDirectory) -> Iterator[StartWorker]:
    """Starts a stand-in for the worker; `wait` until it has ended, or has done so many steps."""
    started: list[subprocess.Popen[bytes]] = []

    def start(steps: int, end: str, wait_at: int | None = None) -> "subprocess.Popen[bytes]":
        command = [sys.executable, str(STAND_IN), str(run.path), str(steps), end]
        command += [] if wait_at is None else [str(wait_at)]
        log = os.open(run.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        worker = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        os.close(log)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


@pytest.fixture
def waiting_worker(run: RunDirectory, start_worker: StartWorker) -> "subprocess.Popen[bytes]":
    """A worker that has done two steps and waits for what it is told."""
    from time import sleep

    from ppo_tui.runs.catalog import last_step

    worker = start_worker(3, "finished", 2)
    while worker.poll() is None:
        step = last_step(run)
        if step is not None and step.step == 2:
            break
        sleep(0.01)
    return worker
