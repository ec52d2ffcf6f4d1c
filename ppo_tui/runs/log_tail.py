"""The end of a run's log.txt, as it grows, in bounded memory whatever is written to it.

For viewers. What the lines hold is whatever the worker's process printed: `clean` makes them
harmless for a terminal, once each.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ppo_tui.runs.atomic import open_regular

MOST_LINES = 5_000
MOST_BYTES = 1 << 20
LONGEST_LINE = 4_000
"""Characters of a line that are kept; nobody reads more of one."""

_LOOK = 1 << 16


@dataclass(frozen=True, slots=True)
class LogText:
    """The end of a log.

    Attributes:
        lines: The last lines; the very last one may still be being written.
        first: How many lines came before the first of these, of those that were read.
        cut: Older lines are in the file and not here.
        generation: How often the file began anew.
        missing: There is no file.
    """

    lines: tuple[str, ...] = ()
    first: int = 0
    cut: bool = False
    generation: int = 0
    missing: bool = False


@dataclass
class LogTail:
    """Follows a log file.

    Args:
        path: The file; it need not be there yet.
        most_lines: Lines that are kept.
        most_bytes: Bytes that are read at a time; what lies further back is never read.
        clean: Applied to every line before it is kept.
    """

    path: Path
    most_lines: int = MOST_LINES
    most_bytes: int = MOST_BYTES
    clean: Callable[[str], str] = str
    _lines: deque[str] = field(default_factory=deque, init=False)
    _open: bytes = field(default=b"", init=False)
    _offset: int = field(default=0, init=False)
    _file: int = field(default=0, init=False)
    _first: int = field(default=0, init=False)
    _cut: bool = field(default=False, init=False)
    _generation: int = field(default=0, init=False)
    _told: tuple[int, int] | None = field(default=None, init=False)

    def poll(self) -> LogText | None:
        """The end of the log, or None if nothing has changed since the last poll.

        Raises:
            OSError: The file is there and cannot be read.
        """
        try:
            file = open_regular(self.path)
        except FileNotFoundError:
            if self._told == (-1, 0):
                return None
            self._begin_anew(0)
            self._told = (-1, 0)
            return LogText(generation=self._generation, missing=True)
        with file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._file or found.st_size < self._offset:
                self._begin_anew(found.st_ino)
            if self._told == (found.st_ino, found.st_size) and found.st_size == self._offset:
                return None
            if found.st_size - self._offset > self.most_bytes:
                self._begin_anew(found.st_ino)
                self._offset = found.st_size - self.most_bytes
                self._cut = True
                file.seek(self._offset)
                self._offset += len(file.readline(_LOOK))  # a line that began before
            file.seek(self._offset)
            data = file.read(found.st_size - self._offset)
        self._offset += len(data)
        self._told = (found.st_ino, self._offset)
        self._take(data)
        return self._text()

    def _take(self, data: bytes) -> None:
        *whole, self._open = (self._open + data).split(b"\n")
        # A line without an end must fill no memory: its beginning is forgotten.
        self._open = self._open[-self.most_bytes :]
        self._lines.extend(self.clean(_shown(line)) for line in whole)
        while len(self._lines) > self.most_lines:
            self._lines.popleft()
            self._first += 1
            self._cut = True

    def _text(self) -> LogText:
        lines = tuple(self._lines)
        if self._open:
            lines = (*lines, self.clean(_shown(self._open)))
        return LogText(lines, self._first, self._cut, self._generation)

    def _begin_anew(self, file: int) -> None:
        self._generation += bool(self._offset)
        self._lines.clear()
        self._open, self._offset, self._first, self._cut = b"", 0, 0, False
        self._file = file


def _shown(line: bytes) -> str:
    """A line as a terminal would leave it: a progress bar writes over what it wrote before."""
    last = line.rstrip(b"\r").rsplit(b"\r", 1)[-1]
    text = last[: 4 * LONGEST_LINE].decode("utf-8", "replace")
    if len(text) <= LONGEST_LINE and len(last) <= 4 * LONGEST_LINE:
        return text
    return f"{text[:LONGEST_LINE]}… ({len(last):,} bytes)"
