"""A file that is wholly there or not at all, and the one sentence for a write that failed.

Also how files of a run are opened for reading: a run may come from somebody else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from ppo_tui.errors import StorageError
from ppo_tui.runs.paths import shown
from ppo_tui.runs.strict_json import well_formed

NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""Opening flag: a symbolic link planted in a run directory must not lead a write elsewhere."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_GONE = {errno.ENOENT, getattr(errno, "ESTALE", errno.ENOENT), errno.ENODEV}


def storage_error(path: str | os.PathLike[str], error: OSError) -> StorageError:
    """The error that a user sees for a failed write.

    Codes: `storage.full`, `storage.permission`, `storage.gone` where the folder is no longer there,
    `run.link` where a link would lead the write elsewhere, and `storage.failed` for anything else.
    """
    where = shown(path)
    if error.errno == errno.ELOOP:
        return StorageError(
            f"{where} is a symbolic link, and nothing of a run is written through one",
            hint="Remove the link, or put the file itself in its place.",
            code="run.link",
        )
    if error.errno in _GONE:
        return StorageError(
            f"{where} could not be written: its folder is not there",
            hint="If it was there before: it was deleted or moved, or its disk is not mounted now.",
            code="storage.gone",
        )
    if error.errno in _FULL:
        return StorageError(
            f"the disk is full: {where} could not be written",
            hint="Free some space on that disk, or put the run on another with --run-dir.",
            code="storage.full",
        )
    if error.errno in _FORBIDDEN:
        kind = "the file system is read-only" if error.errno == errno.EROFS else "no permission"
        return StorageError(
            f"{kind}: {where} could not be written",
            hint="Choose a folder that you may write to, with --run-dir or $PPO_TUI_HOME.",
            code="storage.permission",
        )
    reason = error.strerror or type(error).__name__
    return StorageError(f"{where} could not be written: {reason}", code="storage.failed")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, but no link, and nothing that could block the reader, as a pipe can.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags | NO_FOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(fd, "rb")


def open_to_append(path: Path) -> int:
    """A descriptor that reads and appends to a file, made private to its owner if it is not there.

    Raises:
        OSError: It cannot be opened, is a link, or a pipe, which could keep the writer waiting.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
    fd = os.open(path, flags, 0o600)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is a pipe", str(path))
    return fd


def read_small(path: Path, limit: int = 1 << 16) -> bytes:
    """The content of a file that should be small.

    Raises:
        OSError: It cannot be read, is no regular file, or is longer than `limit` bytes.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, "it is too long", str(path))
    return data


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, in one call of the system unless it takes only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Make names that were created, renamed or removed in a folder survive a power cut."""
    if sys.platform == "win32":
        return  # folders cannot be opened there, and need not be
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_in_place(path: Path, content: bytes) -> None:
    """Write over the beginning of a file, where a disk has no room for a second one beside it.

    A small file keeps its block, so this takes no space. What was longer is filled up with blanks:
    cutting it is one more thing that could fail.

    Raises:
        StorageError: The write failed; on a file system that never writes over a block, a full disk
            can refuse this as well.
    """
    try:
        fd = os.open(path, os.O_WRONLY | NO_FOLLOW)
        try:
            room = os.fstat(fd).st_size
            write_all(fd, content.rstrip(b"\n").ljust(room - 1) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise storage_error(path, error) from error


def write_atomic(path: Path, data: str | bytes, *, durable: bool = True) -> None:
    """Replace a file so that a reader, or a crash, sees the old content or the new one.

    Args:
        path: The file, made readable and writable by its owner alone.
        data: Its content; text is written as UTF-8.
        durable: Wait until the content is on the disk. Without it a power cut may lose the write,
            a killed process still may not.

    Raises:
        StorageError: The write failed; the old file is untouched and no temporary file is left.
    """
    content = well_formed(data).encode("utf-8") if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
        try:
            try:
                write_all(fd, content)
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def remove_leftovers(path: Path) -> None:
    """Remove what writers of a file that were killed in `write_atomic` left beside it.

    Only for a file whose one writer this is: another's unfinished write would be removed as well.
    """
    with contextlib.suppress(OSError):  # what stays costs a block, and is tried again next time
        for left in path.parent.glob(f".{path.name}.*.tmp"):
            left.unlink(missing_ok=True)
