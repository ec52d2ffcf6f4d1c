"""Dies at one file operation: Python loads this at the start of a worker that `tools.chaos` starts.

Does nothing unless RUN.order.json lies beside the run directory. That either counts (`count`: where
the numbers go at the end) or names the operation at which the process kills itself, the `nth` of a
`target`, and the `moment`: before it, after it, or in the middle, when a `share` of the bytes has
been written. The operations are those of the standard library that the worker writes with; what is
in the way of the kill stays as it is, as if the power of the process had been cut there.
"""

from __future__ import annotations

import atexit
import builtins
import io
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

_WORKER = "ppo_tui.worker"
_JOURNALS = ("events", "samples", "pool")


class _Fault:
    """Counts operations by target, and ends the process at the one that was ordered."""

    def __init__(self, run: str, order: dict[str, Any]) -> None:
        self._run = os.path.abspath(run)
        self._target = order.get("target")
        self._nth = order.get("nth", 0)
        self._moment = order.get("moment", "")
        self._share = float(order.get("share", 0.0))
        self.counts: Counter[str] = Counter()

    def due(self, operation: str, path: Any) -> bool:
        """Whether the process is to die at this operation; counts it."""
        target = self._target_of(operation, path)
        if not target:
            return False
        self.counts[target] += 1
        return target == self._target and self.counts[target] == self._nth

    def concerns(self, path: Any) -> bool:
        """Whether a file lies in the run."""
        return bool(self._target_of("write", path))

    def around(self, act: Callable[[], Any]) -> None:
        """Do what cannot be done in part, or not, and die."""
        if self._moment == "after":
            act()
        _die()

    def through(self, write: Callable[[Any], Any], data: Any) -> None:
        """Write nothing, a part or everything of the data, and die."""
        if self._moment == "after":
            write(data)
        elif self._moment == "middle":
            write(data[: int(len(data) * self._share)])
        _die()

    def _target_of(self, operation: str, path: Any) -> str:
        try:
            place = PurePath(os.path.relpath(_path_of(path), self._run))
        except (OSError, TypeError, ValueError):
            return ""
        if place.parts[:1] == ("..",):
            return ""
        if place.parts[:1] == ("checkpoints",) and len(place.parts) > 1:
            name = "manifest" if place.name == "manifest.json" else "checkpoint"
        elif place.name == "state.json" or place.name.startswith(".state.json."):
            name = "state"
        else:
            name = place.stem if place.stem in _JOURNALS else place.name
        return f"{operation} {name}"


def _path_of(path: Any) -> str:
    return os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fspath(path)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class _Watched:
    """A file opened for writing whose writes can be the last ones."""

    def __init__(self, file: Any, path: Any, fault: _Fault) -> None:
        self._file, self._path, self._fault = file, path, fault

    def write(self, data: Any) -> Any:
        if self._fault.due("write", self._path):
            self._fault.through(self._flushed, data)
        return self._file.write(data)

    def _flushed(self, data: Any) -> None:
        self._file.write(data)
        self._file.flush()

    def __enter__(self) -> _Watched:
        self._file.__enter__()
        return self

    def __exit__(self, *exc: Any) -> Any:
        return self._file.__exit__(*exc)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _watch_descriptors(fault: _Fault) -> None:
    write = os.write

    def watched_write(fd: int, data: Any) -> int:
        if fault.due("write", fd):
            fault.through(lambda part: write(fd, part), data)
        return write(fd, data)

    os.write = watched_write
    for name, operation in (("fsync", "sync"), ("ftruncate", "cut")):
        setattr(os, name, _watched(getattr(os, name), operation, fault, place=0))


def _watch_names(fault: _Fault) -> None:
    # A rename is told by its end: state.json, not the temporary file that becomes it.
    for name, operation, place in (
        ("replace", "rename", 1),
        ("rename", "rename", 1),
        ("mkdir", "make", 0),
        ("unlink", "remove", 0),
        ("rmdir", "remove", 0),
    ):
        original = getattr(os, name)
        watched = _watched(original, operation, fault, place)
        setattr(os, name, watched)
        for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if original in known:  # else shutil would take its way for systems that have no such
                known.add(watched)


def _watched(
    original: Callable[..., Any], operation: str, fault: _Fault, place: int
) -> Callable[..., Any]:
    def call(*args: Any, **keywords: Any) -> Any:
        path, folder = args[place], keywords.get("dir_fd")
        if folder is not None:
            path = os.path.join(_path_of(folder), path)
        if fault.due(operation, path):
            fault.around(lambda: original(*args, **keywords))
        return original(*args, **keywords)

    return call


def _watch_files(fault: _Fault) -> None:
    original = builtins.open

    def watched_open(file: Any, mode: str = "r", *args: Any, **keywords: Any) -> Any:
        opened = original(file, mode, *args, **keywords)
        writes = set(mode) & set("wax+") and fault.concerns(file)
        return _Watched(opened, file, fault) if writes else opened

    builtins.open = io.open = watched_open


def _obey() -> None:
    if _WORKER not in sys.orig_argv:
        return
    run = sys.orig_argv[-1]
    try:
        with open(f"{run}.order.json", encoding="utf-8") as file:
            order: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return
    fault = _Fault(run, order)
    if "count" in order:
        atexit.register(_put_down, fault, order["count"])
    _watch_descriptors(fault)
    _watch_names(fault)
    _watch_files(fault)


def _put_down(fault: _Fault, path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(fault.counts, file)


_obey()
