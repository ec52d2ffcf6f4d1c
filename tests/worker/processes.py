"""Real worker processes on runs of a tiny model, and what their run directories say."""

import atexit
import functools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trusting import confirmed

from ppo_tui.config.resolve import config_to_yaml
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal
from worker.nursery import Nursery, Worker, opened

PATIENCE = 120.0
"""Seconds after which a wait has failed; never waited for in full by a test that passes."""


def make_run(path: Path, config: Any) -> RunDirectory:
    """The run directory of a configuration."""
    return RunDirectory.create(path, config_to_yaml(config), total=config.steps)


def start(run: RunDirectory) -> subprocess.Popen[bytes]:
    """A worker on the run, its output in the run's log."""
    with run.log_path.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "ppo_tui.worker", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def work(run: RunDirectory) -> int:
    """A worker's exit code, once it has ended."""
    return start(run).wait(PATIENCE)


@functools.cache
def _nursery() -> Nursery:
    opening = opened()
    nursery = opening.__enter__()
    atexit.register(opening.__exit__, None, None, None)
    return nursery


def forked(run: RunDirectory) -> Worker:
    """A worker on the run that need not import torch first, for tests that start many."""
    return _nursery().start(run)


def forked_to_its_end(run: RunDirectory) -> int:
    """Such a worker's exit code."""
    return forked(run).wait()


def wait_for(condition: Callable[[], Any], worker: subprocess.Popen[bytes] | Worker) -> Any:
    """What `condition` answers once that is true; fails if the worker ends before."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := condition()):
        assert worker.poll() is None, "the worker ended before"
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.02)
    return answer


def events(run: RunDirectory, kind: str) -> list[dict[str, Any]]:
    """The run's events of a kind."""
    if not run.events_path.exists():
        return []
    return [event for event in read_journal(run.events_path).records if event["kind"] == kind]


def answer_to(run: RunDirectory, request: str) -> dict[str, Any] | None:
    """The event that answers a request."""
    if not run.events_path.exists():
        return None
    records = read_journal(run.events_path).records
    return next((event for event in records if event.get("request") == request), None)


def steps_of(run: RunDirectory) -> list[int]:
    """Steps in the journal, in order."""
    return [event["step"] for event in events(run, "step")]


def sample_ids(run: RunDirectory) -> list[str]:
    """Ids in the journal of samples, in order."""
    return [sample["id"] for sample in read_journal(run.samples_path).records]


def reward_file(folder: Path, source: str) -> dict[str, Any]:
    """A reward configuration with one function, from its file's source, which is confirmed."""
    path = folder / "reward.py"
    path.write_text(source, encoding="utf-8")
    return {"terms": [{"kind": "python", "path": str(confirmed(path))}]}
