"""On a real terminal: the live picture, and the terminal as it was afterwards."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pytest

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def watch_on_terminal(width, height, **environment):
    """What `ppo-tui watch last --plain` writes to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ppo_tui", "watch", "last", "--plain"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environment},
        start_new_session=True,
    )
    os.close(theirs)
    written, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return written.decode(), process.wait(10)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_picture_is_drawn_and_the_cursor_comes_back(start_worker, width, height):
    start_worker(4, "finished").wait()
    written, code = watch_on_terminal(width, height)
    assert code == 0
    assert "step 4 of 4" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    assert "finished after step 4 of 4" in written


def test_a_model_cannot_send_escape_sequences(start_worker):
    start_worker(4, "finished").wait()
    written, _ = watch_on_terminal(80, 24)
    assert "\x1b]0;" not in written
    assert "\x9b" not in written
    assert r"\x1b]0;title\x07" in ESCAPE.sub("", written).replace("\r\n", "")


def test_without_colour_there_is_none(start_worker):
    start_worker(4, "finished").wait()
    written, _ = watch_on_terminal(80, 24, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38|48)[;m]", written)


def test_a_dumb_terminal_gets_lines(start_worker):
    start_worker(4, "finished").wait()
    written, _ = watch_on_terminal(80, 24, TERM="dumb")
    assert "\x1b" not in written
    assert "step 4/4" in written
