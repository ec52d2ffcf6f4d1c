"""A stream for what foreign code prints: harmless for a terminal, without secrets, and bounded.

A log is read with `cat` as well as by a viewer, so what reaches it is spelled out before it is
written. Only what goes through Python's streams comes by here; what a library in C or a child
process writes to the file descriptor does not, and a viewer makes it harmless once more.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterable
from typing import TextIO

from ppo_tui.text.plain import plain
from ppo_tui.text.secrets import redacted

MOST_HELD = 1 << 13
"""Characters of an unfinished line that are kept back at most."""

_LONGEST_WORD = 1024


def harmless(text: str) -> str:
    """Lines of a log: line ends kept, other control characters spelled out, secrets taken out."""
    return plain(redacted(text.replace("\r\n", "\n").replace("\r", "\n")), lines=True)


class HarmlessStream(io.TextIOBase):
    """Passes text on line by line, so that neither an escape nor a secret comes in two parts.

    A carriage return begins a new line, because it would hide the line before.

    Args:
        stream: Where the text goes.
        limit: Characters that are passed on; what comes beyond them is counted and left out.
    """

    def __init__(self, stream: TextIO, limit: int | None = None) -> None:
        self._stream = stream
        self._limit = limit
        self._held = ""
        self._taken = 0
        self._turn = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As a program expects of a stream that it prints to."""
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """What cannot be encoded is spelled out before."""
        return "backslashreplace"

    @property
    def buffer(self) -> _Bytes:
        """For those who write bytes."""
        return _Bytes(self)

    @property
    def left_out(self) -> int:
        """Characters that came beyond the limit."""
        return 0 if self._limit is None else max(0, self._taken - self._limit)

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """That of the stream below; what is written there directly is not made harmless."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Take text; the length of it.

        Raises:
            TypeError: It is none.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text is printed here, not a {type(text).__name__}")
        with self._turn:
            room = len(text)
            if self._limit is not None:
                room = max(0, self._limit - self._taken)
            self._taken += len(text)
            if room:
                self._held += text[:room]
                self._pass_on()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        """Take several texts."""
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Do nothing: the stream below belongs to others."""

    def flush(self) -> None:
        """Pass on what is held back, the unfinished line included."""
        with self._turn:
            held, self._held = self._held, ""
            if held:
                self._put(held)
            with contextlib.suppress(OSError):
                self._stream.flush()

    def end(self) -> None:
        """Pass on the rest, and tell how much was left out."""
        with self._turn:
            held, self._held = self._held, ""
            if self.left_out:
                held = f"{held.rstrip(chr(10))}\n[{self.left_out:,} more characters left out]"
            if held:
                self._put(held if held.endswith("\n") else f"{held}\n")

    def _put(self, text: str) -> None:
        # A log that takes no more, as on a full disk, is no fault of whoever prints; what the disk
        # must hold says so itself.
        with contextlib.suppress(OSError):
            self._stream.write(harmless(text))

    def _pass_on(self) -> None:
        # A carriage return at the very end may be half of a line end.
        end = max(self._held.rfind("\n"), self._held.rfind("\r", 0, -1)) + 1
        if not end and len(self._held) > MOST_HELD:
            # Not within a word, which may be a secret.
            space = self._held.rfind(" ", len(self._held) - _LONGEST_WORD)
            end = space + 1 if space >= 0 else len(self._held)
        if end:
            done, self._held = self._held[:end], self._held[end:]
            self._put(done)


class _Bytes(io.RawIOBase):
    """The bytes' side of a stream of text."""

    def __init__(self, stream: HarmlessStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: object) -> int:
        """Take bytes of UTF-8."""
        content = bytes(data)  # type: ignore[call-overload]
        self._stream.write(content.decode("utf-8", "replace"))
        return len(content)
