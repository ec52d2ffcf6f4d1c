"""A home of its own for each test, workers that are real processes, and the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from storage.program import Said, in_this_process
from worker.nursery import Nursery, opened


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COLUMNS", "LINES", "FORCE_COLOR", "PPO_TUI_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PPO_TUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def a_nursery() -> Iterator[Nursery]:
    with opened() as nursery:
        yield nursery


@pytest.fixture
def nursery(a_nursery: Nursery) -> Iterator[Nursery]:
    """Starts real workers; those that are left at a test's end are ended."""
    yield a_nursery
    a_nursery.clear()


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The program in this process."""
    return lambda *arguments: in_this_process(capsys, *arguments)
