"""Requests of viewers to the worker: one atomic file each in `RUN/control/`.

A viewer posts; the worker takes them in order, acts, removes the file, and answers with an event
that carries the request's id. Nothing that lies in the folder can stop the worker: what is no
request is set aside and reported.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppo_tui.errors import RunError, StorageError, UsageError, did_you_mean
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import read_small, storage_error, write_atomic
from ppo_tui.runs.paths import shown

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

KINDS = ("pause", "continue", "checkpoint", "stop", "set")

STOP_MODES = ("save", "now")
"""`stop`: finish the step and save a checkpoint, or end without one."""

SETTINGS = ("kl_coef", "lr")
"""What `set` may change while the run goes on."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a viewer asks of the worker.

    Attributes:
        id: Unique in the run; the answering event carries it.
        kind: One of `KINDS`.
        args: `mode` for stop; `key` and `value` for set.
        time: When it was posted.
    """

    id: str
    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file in the folder that is no request, and why."""

    name: str
    problem: str


def post(run: RunDirectory, kind: str, **args: Any) -> str:
    """Leave a request for the worker, alive or not.

    Args:
        run: The run.
        kind: pause, continue, checkpoint, stop (`mode`: save or now), set (`key`, `value`).
        **args: What the kind takes.

    Returns:
        The request's id.

    Raises:
        UsageError: The kind or its arguments are not known.
        RunError: The run is gone (`run.missing`).
        StorageError: The request cannot be written.
    """
    checked = _check(kind, args)
    folder = run.control_path
    if folder.is_symlink():
        raise RunError(
            f"{shown(run.path)} takes no requests: control/ is a symbolic link", code="run.link"
        )
    if not folder.is_dir():
        raise RunError(f"{shown(run.path)} takes no requests: control/ is gone", code="run.missing")
    request = f"{_next_number(folder):020d}-{secrets.token_hex(4)}"
    record = {"v": 1, "id": request, "time": time.time(), "kind": kind, "args": checked}
    write_atomic(folder / f"{request}.json", strict_json.dumps(record) + "\n")
    return request


def waiting(run: RunDirectory) -> list[str]:
    """Names of the files in which requests wait, oldest first; none if the folder is no use."""
    try:
        return _requests_in(run.control_path)
    except StorageError:
        return []


class Inbox:
    """The worker's side of the folder."""

    def __init__(self, run: RunDirectory) -> None:
        self._folder = run.control_path
        self.set_aside: list[SetAside] = []
        """What the last `take` found that was no request; renamed to NAME.damaged."""

    def take(self) -> list[Request]:
        """The requests that wait, oldest first; each comes again until it is answered.

        Raises:
            StorageError: The folder cannot be read, or the run is gone with it: a worker that
                waits for somebody would else wait for ever.
        """
        if not self._folder.parent.is_dir():
            gone = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            raise storage_error(self._folder, gone)
        self.set_aside = []
        requests = []
        for name in _requests_in(self._folder):
            path = self._folder / name
            try:
                requests.append(_read(path))
            except FileNotFoundError:
                continue  # withdrawn in the meantime
            except (OSError, ValueError, OverflowError, UsageError) as error:
                self._put_aside(path, _reason(error))
        return requests

    def answer(self, request: Request) -> None:
        """Remove a request that has been dealt with; the answer itself is an event.

        Raises:
            StorageError: The file cannot be removed.
        """
        path = self._folder / f"{request.id}.json"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error

    def _put_aside(self, path: Path, problem: str) -> None:
        self.set_aside.append(SetAside(path.name, problem))
        with contextlib.suppress(OSError):  # it is reported either way, then again next time
            path.rename(path.with_name(f"{path.name}.damaged"))


def _requests_in(folder: Path) -> list[str]:
    """Names of the requests in the folder, oldest first; none if it is not there, or is a link.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        names = [] if folder.is_symlink() else sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(folder, error) from error
    return [name for name in names if name.endswith(".json") and not name.startswith(".")]


def _reason(error: Exception) -> str:
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else str(error)


def _check(kind: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with their defaults, or a UsageError."""
    if kind not in KINDS:
        raise UsageError(
            f"unknown request {str(kind)[:40]!r}; {did_you_mean(str(kind)[:40], KINDS)}"
        )
    allowed = {"stop": {"mode"}, "set": {"key", "value"}}.get(kind, set())
    unknown = sorted(set(args) - allowed)
    if unknown:
        raise UsageError(f"the request {kind} takes no {unknown[0][:40]!r}")
    if kind == "stop":
        mode = args.get("mode", "save")
        if mode not in STOP_MODES:
            raise UsageError(f"a run is stopped by mode save or now, not {str(mode)[:40]!r}")
        return {"mode": mode}
    if kind == "set":
        return _checked_setting(args.get("key"), args.get("value"))
    return {}


def _checked_setting(key: Any, value: Any) -> dict[str, Any]:
    if key not in SETTINGS:
        name = str(key)[:40]
        raise UsageError(f"{name!r} cannot be set in a running run; {did_you_mean(name, SETTINGS)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{key} must be a number, not {str(value)[:40]!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0 or (key == "lr" and number == 0):
        bound = "above 0" if key == "lr" else "0 or more"
        raise UsageError(f"{key} must be a number {bound}, not {number}")
    return {"key": key, "value": number}


def _next_number(folder: Path) -> int:
    """Nanoseconds, moved past every waiting request, so that order survives a clock set back."""
    waiting = [int(name[:20]) for name in os.listdir(folder) if name[:20].isdecimal()]
    return max([time.time_ns(), *(number + 1 for number in waiting)])


def _read(path: Path) -> Request:
    if path.is_symlink():
        raise ValueError("it is a link")
    record = strict_json.loads(read_small(path))
    if not isinstance(record, dict):
        raise ValueError("it is no request")
    kind, args, when = record.get("kind"), record.get("args") or {}, record.get("time")
    if not isinstance(kind, str) or not isinstance(args, dict):
        raise ValueError("it is no request")
    # The file's name is the id: it is what `answer` removes, and stays inside the folder.
    posted = float(when) if isinstance(when, int | float) else 0.0
    return Request(path.name.removesuffix(".json"), kind, _check(kind, args), posted)
