"""Running code that is not ours: a user's reward file, another package's reward.

Such code may raise anything, call `sys.exit`, print, or put escape sequences into its messages.
What reaches the rest of the program is a `RewardError` with one printable sentence; what it prints
goes to stderr, because stdout is for answers only (in the worker both end in the run's log), line
by line, harmless, without secrets, and only so much of it.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from ppo_tui.errors import PpoTuiError, RewardError
from ppo_tui.text.harmless import HarmlessStream
from ppo_tui.text.secrets import redacted

MOST_PRINTED = 1 << 16
"""Characters that one call may print: a reward is called every step, for days."""

MESSAGE_LENGTH = 300
EXCERPT_LENGTH = 60


@contextmanager
def foreign_code(what: str, *, code: str, file: Path | None = None) -> Iterator[None]:
    """Turn what the block raises into a `RewardError`, and tame what it prints while it runs.

    Args:
        what: The sentence up to the exception, such as "The reward file f.py cannot be imported:".
        code: The error's code.
        file: The user's file; the error then names the line in it that was running.

    Raises:
        RewardError: The block raised; errors of our own pass as they are.
    """
    try:
        with _tamed_output():
            yield
    except PpoTuiError:
        raise
    # What is no Exception too: a reward that calls sys.exit() must not end the run as if it were
    # done, nor one whose asyncio.CancelledError comes through lose the step.
    # The error is seen by whoever called: it ends the run as failed, or the command.
    except BaseException as error:
        if _is_of_the_user(error):
            raise
        line = _line_in(file, error) if file else None
        where = f" (line {line})" if line else ""
        raise RewardError(f"{what} {describe(error)}{where}.", code=code) from error


def _is_of_the_user(error: BaseException) -> bool:
    """Whether Ctrl-C was pressed, which Python tells the main thread alone."""
    here = threading.current_thread() is threading.main_thread()
    return isinstance(error, GeneratorExit) or (isinstance(error, KeyboardInterrupt) and here)


@contextmanager
def _tamed_output() -> Iterator[None]:
    """Let everything printed go to stderr, harmless, and no more of it than `MOST_PRINTED`."""
    if isinstance(sys.stderr, _Tamed):  # a term within the sum of the terms
        yield
        return
    if sys.stderr is None:  # nobody to print to, as under pythonw
        yield
        return
    stream = _Tamed(sys.stderr, MOST_PRINTED)
    with redirect_stdout(stream), redirect_stderr(stream):
        try:
            yield
        finally:
            stream.end()


class _Tamed(HarmlessStream):
    """Marks the stream as the one that is there for foreign code."""


def describe(error: BaseException) -> str:
    """An exception's type and message on one printable line."""
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # a __str__ that fails; the type's name is left for the reader
        message = ""
    # Before it is shortened: half a secret would not be known for one.
    message = printable(redacted(message).strip().rstrip("."), MESSAGE_LENGTH)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def printable(text: str, length: int) -> str:
    """The text with control characters escaped, shortened in its middle to about `length`."""
    if len(text) > length:
        half = length // 2
        text = f"{text[:half]}…{text[-half:]}"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def excerpt(text: str) -> str:
    """The text in quotes, short enough to stand in a sentence."""
    return f"'{printable(text, EXCERPT_LENGTH)}'"


def _line_in(file: Path, error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    return lines[-1] if lines else None
