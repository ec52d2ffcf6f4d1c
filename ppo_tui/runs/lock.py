"""One worker a run: an exclusive flock on `RUN/lock`, held for the worker's whole life.

The kernel drops the lock with the process, however it ends, so the lock is the only test of life
that cannot lie. The file names its holder for messages, and for file systems without flock, where
that name (process, start time, boot) is the test instead. The file is never removed: two processes
could then hold two locks of one name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ppo_tui.errors import RunBusy
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import NO_FOLLOW, storage_error, write_all
from ppo_tui.runs.paths import shown
from ppo_tui.runs.process import ProcessIdentity, current_process

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

PATIENCE = 1.0
"""Seconds for which a worker tries: a viewer's probe holds the lock for an instant."""

ROOM = 512
"""Bytes that a new run's lock holds from its beginning, so that no worker is refused by a full disk
before it can say so."""

_PAUSE = 0.01
_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}

# A pipe in the lock's place must not keep whoever looks waiting.
_READING = os.O_RDONLY | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)


class RunLock:
    """The right to write a run; a context manager.

    A forked child does not inherit it, so a run whose worker was killed is never kept alive by a
    helper process that outlived it.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether this object holds the lock now."""
        return self._fd >= 0

    def acquire(self, timeout: float = PATIENCE) -> Self:
        """Take the lock and put this process's name into it.

        Raises:
            RunBusy: Another process holds it (`run.busy`), and still does after `timeout` seconds.
            StorageError: The lock file cannot be opened or written.
        """
        path = self._run.lock_path
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            deadline = time.monotonic() + timeout
            while not _try_lock(fd):
                if time.monotonic() >= deadline:
                    raise _busy(self._run, _named_in(fd))
                time.sleep(_PAUSE)
            _put_in(fd, _own_name())
        except OSError as error:
            os.close(fd)
            raise storage_error(path, error) from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        _held.add(self)
        return self

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # the name is a courtesy; closing is what counts
                _put_in(self._fd, b"\n")
            self._close()

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1
        _held.discard(self)

    def __enter__(self) -> Self:
        return self if self.held else self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_held(run: RunDirectory) -> bool:
    """Whether a live worker holds the run; harmless to the worker, and needs no right to write."""
    try:
        fd = os.open(run.lock_path, _READING)
    except OSError:
        return False  # no worker was ever there, or the lock is not a worker's
    try:
        if sys.platform == "win32":
            return _named_is_running(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return _named_is_running(fd)
        return False
    finally:
        os.close(fd)


def holder(run: RunDirectory) -> ProcessIdentity | None:
    """The process that the lock names, alive or not; None if it names none."""
    try:
        fd = os.open(run.lock_path, _READING)
    except OSError:
        return None
    try:
        return _named_in(fd)
    finally:
        os.close(fd)


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_after_fork() -> None:
    # A flock belongs to the open file, which a forked child shares; closing it there gives up the
    # child's share alone.
    for lock in list(_held):
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def _try_lock(fd: int) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
    return not _named_is_running(fd)


def _named_is_running(fd: int) -> bool:
    named = _named_in(fd)
    return named is not None and named.is_running()


def _named_in(fd: int) -> ProcessIdentity | None:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        record = strict_json.loads(os.read(fd, 4096))
    except (OSError, ValueError):
        return None
    return ProcessIdentity.from_json(record) if isinstance(record, dict) else None


def _put_in(fd: int, name: bytes) -> None:
    """Write over the whole file, which never gets shorter: a full disk then takes it as well."""
    os.lseek(fd, 0, os.SEEK_SET)
    write_all(fd, name[:-1].ljust(os.fstat(fd).st_size - 1) + b"\n")


def _own_name() -> bytes:
    import socket  # here, because a viewer needs it never

    name: dict[str, Any] = {"v": 1, **current_process().to_json(), "host": socket.gethostname()}
    return strict_json.dumps(name).encode("utf-8") + b"\n"


def _busy(run: RunDirectory, by: ProcessIdentity | None) -> RunBusy:
    who = f"process {by.pid}" if by else "another process"
    return RunBusy(
        f"the run {shown(run.name)} is in the hands of {who}",
        hint="Watch it with `ppo-tui watch`, or stop it first with `ppo-tui stop`.",
    )
