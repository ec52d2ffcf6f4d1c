"""The app as a process on a real terminal: from its start to the terminal as it was before."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from ppo_tui.runs.journal import JournalWriter
from ppo_tui.runs.records import health_event

from .conftest import MakeRun

ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[()][A-Za-z0-9]|\x1b[=>78]")
PATIENCE = 60.0


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, *arguments: str, width: int = 80, height: int = 24, **environment: str):
        self.ours, self.theirs = pty.openpty()
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)
        self.before = termios.tcgetattr(self.theirs)
        self.written = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ppo_tui", *arguments],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONWARNINGS": "ignore", **environment},
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def shows(self, *words: str) -> None:
        """Wait until all of these words were written; fails if they never are."""
        self._read(lambda: all(word in self.text for word in words), str(words))

    def ends(self) -> int:
        """Wait until the program has ended; its exit code."""
        self._read(lambda: self.process.poll() is not None, "its end")
        while self._piece():
            pass
        return self.process.wait()

    @property
    def text(self) -> str:
        return ESCAPES.sub(b"", self.written).decode("utf-8", "replace")

    def settles(self) -> None:
        """Wait until nothing more is written."""
        while self._piece(0.5):
            pass

    def forget(self) -> None:
        self.written = b""

    def _read(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail(f"never came: {what}; the last words were {self.text[-600:]!r}")
            self._piece()

    def _piece(self, patience: float = 0.05) -> bool:
        if not select.select([self.ours], [], [], patience)[0]:
            return False
        piece = os.read(self.ours, 65536)
        self.written += piece
        return bool(piece)

    def is_as_it_was(self) -> bool:
        """Line discipline, cursor, mouse, alternate screen and paste mode are given back."""
        modes = {"1049": False, "25": True, "1000": False, "1003": False, "2004": False}
        for number, on in re.findall(rb"\x1b\[\?(\d+)([hl])", self.written):
            if number.decode() in modes:
                modes[number.decode()] = on == b"h"
        restored = termios.tcgetattr(self.theirs) == self.before
        return restored and modes == dict.fromkeys(modes, False) | {"25": True}


@pytest.fixture
def hostile_run(make_run: MakeRun) -> Path:
    """A run whose name and journal would take over a terminal that obeyed them."""
    run = make_run(name="\x1b]0;owned\x07[bold]x", steps=5)
    with JournalWriter(run.events_path) as journal:
        words = "\x1b]0;owned\x07\x1b[2J\x9b31m[bold]grave[/"
        journal.append(health_event(5, "health.whitening", words, hint=words).to_json())
    return run.path


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_from_the_first_picture_to_the_terminal_as_it_was(
    make_run: MakeRun, width: int, height: int
) -> None:
    make_run(steps=12)
    with Terminal(width=width, height=height) as terminal:
        terminal.shows("Runs", "first-run", "finished")
        terminal.press("\r")
        terminal.shows("Reward", "KL to the base", "step 12")
        terminal.press("?")
        terminal.shows("Help: Training")
        terminal.settles()
        terminal.press("\x1b")
        # Escape and a letter that comes at once would be the letter with Alt.
        terminal.settles()
        terminal.press("q")
        assert terminal.ends() == 0
        assert terminal.is_as_it_was()
        assert "Traceback" not in terminal.text


def test_a_run_is_opened_by_its_name(make_run: MakeRun) -> None:
    make_run(name="warm", steps=7)
    with Terminal("warm") as terminal:
        terminal.shows("warm", "step 7", "Reward")
        terminal.press("\x1b")
        terminal.shows("Runs")
        terminal.press("\x11")
        assert terminal.ends() == 0
        assert terminal.is_as_it_was()


def test_watching_opens_the_app_and_can_play_a_run_again(make_run: MakeRun) -> None:
    make_run(name="warm", steps=20)
    with Terminal("watch", "warm", "--replay", "5") as terminal:
        terminal.shows("replay 5", "Reward")
        terminal.press("q")
        assert terminal.ends() == 0
        assert terminal.is_as_it_was()


def test_what_a_run_holds_reaches_the_terminal_as_text_only(hostile_run: Path) -> None:
    with Terminal(str(hostile_run)) as terminal:
        terminal.shows("Reward", "grave")
        terminal.press("q")
        assert terminal.ends() == 0
        assert b"\x1b]0;owned" not in terminal.written
        assert b"\x9b31m" not in terminal.written
        titles = rb"\x1b\]2;[^\x07]*\x07|\x1b\]22;[a-z]*\x07"  # and the pointer's shape
        bells = re.findall(rb".{0,30}\x07", re.sub(titles, b"", terminal.written), re.DOTALL)
        assert bells == []
        assert r"\x1b]0;owned" in terminal.text
        assert terminal.is_as_it_was()


def test_without_colour_none_is_sent(make_run: MakeRun) -> None:
    make_run(steps=12)
    with Terminal("first-run", NO_COLOR="1") as terminal:
        terminal.shows("Reward", "step 12")
        terminal.press("q")
        assert terminal.ends() == 0
        for color in re.findall(rb"\x1b\[[0-9;]*38;2;(\d+);(\d+);(\d+)", terminal.written):
            assert color[0] == color[1] == color[2]


def test_a_terminated_app_gives_the_terminal_back(make_run: MakeRun) -> None:
    make_run(steps=3)
    with Terminal() as terminal:
        terminal.shows("Runs", "first-run")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ends() == 0
        assert terminal.is_as_it_was()


def test_a_run_that_is_not_there_is_a_sentence_and_no_app(make_run: MakeRun) -> None:
    make_run(name="warm")
    with Terminal("watch", "worm") as terminal:
        assert terminal.ends() == 1
        assert "there is no run 'worm'; did you mean 'warm'?" in terminal.text
        assert "\x1b[?1049h" not in terminal.written.decode()


def test_the_size_of_the_terminal_is_followed(make_run: MakeRun) -> None:
    make_run(name="warm", steps=12)
    with Terminal("warm", width=80, height=24) as terminal:
        terminal.shows("step 12", "Value explained")
        terminal.forget()
        fcntl.ioctl(terminal.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        os.killpg(terminal.process.pid, signal.SIGWINCH)
        terminal.shows("Samples of step 12")
        terminal.press("q")
        assert terminal.ends() == 0
