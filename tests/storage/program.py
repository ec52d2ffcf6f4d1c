"""The command line: what it says, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).parents[1] / "cli" / "worker_stand_in.py"


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

    @property
    def error(self) -> str:
        """The one sentence that says what is wrong."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert "Traceback" not in self.err
        return line.removeprefix("error: ")


def in_this_process(capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    """The program in this process: for what needs no process of its own."""
    from ppo_tui.cli.entry import run

    capsys.readouterr()
    code = run(arguments)
    printed = capsys.readouterr()
    return Said(code, printed.out, printed.err)


def begin(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The program as a process of its own, which goes on by itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
    )


def said(process: subprocess.Popen[str]) -> Said:
    """What it has said, once it has ended."""
    out, err = process.communicate(timeout=120)
    return Said(process.returncode, out, err)


def stand_in(path: Path, steps: int, end: str, wait_at: int | None = None) -> list[str]:
    """The command of a stand-in for the worker, which needs no torch."""
    command = [sys.executable, str(STAND_IN), str(path), str(steps), end]
    return command if wait_at is None else [*command, str(wait_at)]
