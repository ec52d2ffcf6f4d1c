"""A home of its own for each test, and the program in this process."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ppo_tui.cli.entry import run as command

Said = tuple[int, str, str]

MEMORY = 1500 << 20
"""Bytes of address space that a command on bad input gets where that is bounded."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PPO_TUI_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "runs").mkdir(parents=True)
    (tmp_path / "home" / "presets").mkdir()
    return tmp_path / "home"


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs a command line in this process."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = command(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def say_in_little_memory() -> Callable[..., Said]:
    """Runs a command line as a process that gets no more than `MEMORY`."""

    def run(*arguments: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "ppo_tui", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )
        return done.returncode, done.stdout, done.stderr

    return run
