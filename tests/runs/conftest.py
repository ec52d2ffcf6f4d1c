"""A run directory, a worker that is a real process, and a small disk that can be made full."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ppo_tui
from ppo_tui.runs.directory import RunDirectory

CONFIG = "schema_version: 1\ndescription: a test\nmodel:\n  name: bundled\n"

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
    if sys.argv[2] != "silent":
        write_state(run, RunState(Phase(sys.argv[2]), 3, 10, current_process()))
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", CONFIG)


@pytest.fixture
def python_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child finds the package under test, installed or not."""
    root = str(Path(ppo_tui.__file__).parents[1])
    known = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{known}" if known else root)


@pytest.fixture
def worker(
    run: RunDirectory, python_path: None
) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a process that holds the run's lock, in a state, until its stdin is closed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(state: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(run.path), state],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
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
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True, capture_output=True)
