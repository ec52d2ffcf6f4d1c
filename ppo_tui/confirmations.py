"""Whose code the user has confirmed may run on this computer: `$PPO_TUI_HOME/trusted.json`.

The store alone; what a run would execute, and whether it may, is `ppo_tui.trust`'s. A store that
cannot be relied on (damaged, somebody else's, written by a newer ppo-tui) confirms nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from ppo_tui.errors import ConfigError
from ppo_tui.runs.atomic import open_regular, storage_error, write_atomic
from ppo_tui.runs.paths import home, shown
from ppo_tui.runs.strict_json import dumps, loads

Kind = Literal["reward_file", "model"]

VERSION = 1
STORE = "trusted.json"
_LONGEST_STORE = 1 << 22
_KINDS = ("reward_file", "model")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Confirmed:
    """Code that the user has confirmed.

    Attributes:
        kind: A reward file, or the code that comes with a model.
        name: Path of the file or the folder, or the model's name on the hub.
        sha256: Of the file's content, or over the folder's Python files; empty for a model of the
            hub, which is confirmed by its name.
        revision: Of a model of the hub, if one is set.
        time: When, in seconds since 1970.
    """

    kind: Kind
    name: str
    sha256: str
    revision: str | None = None
    time: float = 0.0


@dataclass(frozen=True)
class Store:
    """What the store says.

    Attributes:
        entries: What is confirmed.
        problem: Why nothing is, in a sentence; empty if the store can be relied on.
        newer: A newer ppo-tui has written it, so that this one must leave it alone.
    """

    entries: tuple[Confirmed, ...] = ()
    problem: str = ""
    newer: bool = False


def store_path() -> Path:
    """Where it is kept."""
    return home() / STORE


def read_store() -> Store:
    """What is confirmed; a store that cannot be relied on says why and confirms nothing."""
    path = store_path()
    try:
        data = _private_bytes(path)
    except FileNotFoundError:
        return Store()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Store(problem=f"{shown(path)} cannot be relied on, so nothing counts: {reason}.")
    try:
        value = loads(data)
        if isinstance(value, dict) and type(value.get("v")) is int and value["v"] > VERSION:
            return Store(
                problem=f"{shown(path)} is of a newer ppo-tui, so nothing counts here.", newer=True
            )
        return Store(tuple(_entry(each) for each in _listed(value)))
    except ValueError:
        return Store(problem=f"{shown(path)} is damaged, so nothing counts.")


def add(entries: Iterable[Confirmed]) -> None:
    """Confirm; a damaged store is set aside as `trusted.json.damaged`.

    What was confirmed of the same folder or model before is replaced; a reward file may be
    confirmed in several versions.

    Raises:
        ConfigError: The store is of a newer ppo-tui (`trust.newer`).
        StorageError: It cannot be written.
    """
    now = time.time()
    new = [replace(entry, time=now) for entry in entries]
    if not new:
        return
    store = _writable_store()
    kept = [old for old in store.entries if not any(_replaces(entry, old) for entry in new)]
    _write([*kept, *new])


def remove(entries: Iterable[Confirmed]) -> None:
    """Take confirmations back.

    Raises:
        ConfigError: The store is of a newer ppo-tui (`trust.newer`).
        StorageError: It cannot be written.
    """
    gone = set(entries)
    _write([entry for entry in _writable_store().entries if entry not in gone])


def _replaces(new: Confirmed, old: Confirmed) -> bool:
    if new.kind != old.kind:
        return False
    if new.kind == "reward_file":
        return new.sha256 == old.sha256
    return (new.name, new.revision) == (old.name, old.revision)


def _writable_store() -> Store:
    store, path = read_store(), store_path()
    if store.newer:
        raise ConfigError(
            f"{shown(path)} was written by a newer ppo-tui; update this one, or move it away.",
            code="trust.newer",
        )
    if store.problem:
        with contextlib.suppress(OSError):  # a write that cannot be made says so itself
            os.replace(path, path.with_name(f"{STORE}.damaged"))
    return store


def _write(entries: list[Confirmed]) -> None:
    path = store_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    data = {"v": VERSION, "confirmed": [asdict(entry) for entry in entries]}
    write_atomic(path, dumps(data, indent=1) + "\n")


def _private_bytes(path: Path) -> bytes:
    """The store's content.

    Raises:
        OSError: It cannot be read.
        ValueError: Others may write it, or it is too long.
    """
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), 0):
            raise ValueError("it belongs to another user")
        if os.name == "posix" and status.st_mode & 0o022:
            raise ValueError("others may write it; `chmod 600` it once you have looked at it")
        data = file.read(_LONGEST_STORE + 1)
    if len(data) > _LONGEST_STORE:
        raise ValueError("it is too long")
    return data


def _listed(data: object) -> list[Any]:
    if not isinstance(data, dict) or type(data.get("v")) is not int or data["v"] != VERSION:
        raise ValueError("no version")
    listed = data.get("confirmed")
    if not isinstance(listed, list):
        raise ValueError("no list")
    return listed


def _entry(value: object) -> Confirmed:
    """One confirmation; `ValueError` if it is none."""
    if not isinstance(value, dict):
        raise ValueError("no entry")
    kind, name, sha256 = value.get("kind"), value.get("name"), value.get("sha256")
    revision, when = value.get("revision"), value.get("time")
    good = (
        kind in _KINDS
        and isinstance(name, str)
        and isinstance(sha256, str)
        and isinstance(revision, str | None)
        and isinstance(when, int | float)
        and (bool(_SHA256.fullmatch(sha256)) or (kind == "model" and not sha256))
    )
    if not good:
        raise ValueError("no entry")
    return Confirmed(
        cast("Kind", kind), cast(str, name), cast(str, sha256), revision, float(cast(float, when))
    )
