"""Append-only files of JSON lines: written by one process, followed by many.

The writer puts each record down as one line with one call, so a crash can tear the last line only;
whoever opens the journal for writing next cuts that off. A reader takes complete lines only, and
steps over a damaged one. Resume cuts a journal back to the offset its checkpoint recorded; a
follower notices that and says so.

`ratings.jsonl` is not for `JournalWriter`: several viewers append to it, and nobody may cut it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import open_regular, open_to_append, storage_error, write_all
from ppo_tui.runs.paths import shown

CHUNK = 1 << 20
"""Bytes that a reader takes at a time unless told otherwise."""

LONGEST_LINE = 1 << 24
"""A line beyond this many bytes is taken as damaged, so that no file can fill a viewer's memory."""

_FINGERPRINT = 256


def encode(record: Mapping[str, Any]) -> bytes:
    """The record as the line that a journal holds, newline included."""
    return strict_json.dumps(record).encode("utf-8") + b"\n"


class JournalWriter:
    """The one writer of a journal.

    Opening creates the file, private to its owner, or cuts off a torn last line.

    Raises:
        StorageError: The file cannot be opened, or a write failed; then nothing of the record is
            left in the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._fd = open_to_append(path)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            size = os.fstat(self._fd).st_size
            self._offset = _end_of_last_line(self._fd, size)
            if self._offset < size:
                os.ftruncate(self._fd, self._offset)
        except OSError as error:
            os.close(self._fd)
            raise storage_error(path, error) from error

    @property
    def offset(self) -> int:
        """Length of the journal in bytes: where the next line will begin."""
        return self._offset

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record as one line; survives the process, and after `sync` a power cut."""
        line = encode(record)
        try:
            if os.fstat(self._fd).st_nlink == 0:
                raise StorageError(
                    f"{shown(self._path)} was deleted while the run was writing it",
                    hint="Deleting a run that goes on loses it; `ppo-tui stop` ends it first.",
                    code="storage.gone",
                )
            write_all(self._fd, line)
        except OSError as error:
            with contextlib.suppress(OSError):  # the write's own failure is the one to report
                os.ftruncate(self._fd, self._offset)
            raise storage_error(self._path, error) from error
        self._offset += len(line)

    def sync(self) -> None:
        """Wait until everything written is on the disk."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def cut(self, offset: int) -> None:
        """Drop everything from a byte offset on, as resume does with what a checkpoint never saw.

        Raises:
            RunError: The offset lies beyond the journal or inside a line (`run.journal`).
        """
        where = shown(self._path)
        if not 0 <= offset <= self._offset:
            raise RunError(
                f"{where} cannot be cut at byte {offset}: it has {self._offset}",
                hint="The journal lost lines since the checkpoint; resume from an older one.",
                code="run.journal",
            )
        if offset and os.pread(self._fd, 1, offset - 1) != b"\n":
            raise RunError(
                f"{where} cannot be cut at byte {offset}: that is inside a line",
                hint="The journal was changed since the checkpoint; resume from an older one.",
                code="run.journal",
            )
        try:
            os.ftruncate(self._fd, offset)
            os.fsync(self._fd)
        except OSError as error:
            raise storage_error(self._path, error) from error
        self._offset = offset

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one reading of a journal brought.

    Attributes:
        records: The complete lines, in order.
        offset: Where the next reading begins.
        damaged: How many lines were stepped over.
        restarted: The journal was cut or replaced; the records begin anew at its first line, and
            what was read before no longer holds.
    """

    records: list[dict[str, Any]]
    offset: int
    damaged: int = 0
    restarted: bool = False


def read_journal(path: Path, offset: int = 0, max_bytes: int | None = None) -> Chunk:
    """Read the complete lines from a byte offset on, which must be the beginning of a line.

    Args:
        path: The journal.
        offset: Where to begin.
        max_bytes: About how much to read; a longer line is still read whole. All if None.

    Raises:
        OSError: The file cannot be read.
    """
    with open_regular(path) as file:
        return _read(file, offset, max_bytes)


def read_last(path: Path, max_bytes: int = 1 << 16) -> list[dict[str, Any]]:
    """The records among the last `max_bytes` of a journal, however long it is; oldest first.

    Raises:
        OSError: The file cannot be read.
    """
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size - max_bytes)
        if begin:
            file.seek(begin - 1)
            file.readline(max_bytes)  # the rest of a line that began before
            begin = file.tell()
        return _read(file, begin, max_bytes).records


class JournalTail:
    """Follows a journal: each `poll` brings what is new.

    A file that is not there yet, or no longer, brings nothing. A file that was cut back, even if it
    has grown past the old place since, is read again from its beginning.

    Attributes:
        generation: How often the journal began anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._mark = b""
        self.generation = 0

    @property
    def offset(self) -> int:
        """Where the next poll begins to read."""
        return self._offset

    def poll(self, max_bytes: int = CHUNK) -> Chunk:
        """The lines that came since the last poll, at most about `max_bytes` of them.

        Poll again at once while the answer has records; an empty one means that there is no more.

        Raises:
            OSError: The file is there and cannot be read.
        """
        try:
            file = open_regular(self._path)
        except FileNotFoundError:
            return Chunk([], self._offset)
        with file:
            restarted = self._offset > 0 and self._mark != self._mark_of(file, self._offset)
            if restarted:
                self._offset = 0
                self.generation += 1
            damaged = 0
            while True:
                chunk = _read(file, self._offset, max_bytes)
                damaged += chunk.damaged
                if chunk.records or chunk.offset == self._offset:
                    break
                self._offset = chunk.offset  # damaged lines only: more may follow
            self._offset = chunk.offset
            self._mark = self._mark_of(file, chunk.offset)
        return Chunk(chunk.records, chunk.offset, damaged, restarted)

    @staticmethod
    def _mark_of(file: BinaryIO, offset: int) -> bytes:
        """The bytes just before an offset, by which the file is known again."""
        begin = max(0, offset - _FINGERPRINT)
        file.seek(begin)
        return file.read(offset - begin)


def _read(file: BinaryIO, offset: int, max_bytes: int | None) -> Chunk:
    file.seek(offset)
    data = file.read(-1 if max_bytes is None else max(1, max_bytes))
    end = data.rfind(b"\n") + 1
    if not end and data:
        data += file.readline(LONGEST_LINE)
        end = data.rfind(b"\n") + 1
        if not end and len(data) >= LONGEST_LINE:
            return _step_over_line(file, offset)
    records, damaged = _parse(data[:end])
    return Chunk(records, offset + end, damaged)


def _step_over_line(file: BinaryIO, offset: int) -> Chunk:
    while piece := file.readline(CHUNK):
        if piece.endswith(b"\n"):
            return Chunk([], file.tell(), damaged=1)
    return Chunk([], offset)


def _parse(lines: bytes) -> tuple[list[dict[str, Any]], int]:
    records: list[dict[str, Any]] = []
    damaged = 0
    for line in lines.split(b"\n")[:-1]:
        try:
            record = strict_json.loads(line) if len(line) <= LONGEST_LINE else None
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            damaged += 1
    return records, damaged


def _end_of_last_line(fd: int, size: int) -> int:
    end = size
    while end:
        begin = max(0, end - CHUNK)
        newline = os.pread(fd, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0
