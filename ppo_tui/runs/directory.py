"""The run directory: what lies where in it, how it is made and how it is recognised.

RUN/  config.yaml  state.json  events.jsonl  samples.jsonl  pool.jsonl  ratings.jsonl
      control/  checkpoints/  log.txt  lock  launch.json
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ppo_tui.errors import RunError, RunExists
from ppo_tui.runs.atomic import NO_FOLLOW, storage_error, sync_directory, write_all
from ppo_tui.runs.lock import ROOM
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import RunState
from ppo_tui.runs.state import write_state
from ppo_tui.runs.strict_json import well_formed


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run on disk. Use `create` or `open`; the bare constructor checks nothing."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name: that of its directory."""
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def state_path(self) -> Path:
        """What the worker says it is doing."""
        return self.path / "state.json"

    @property
    def events_path(self) -> Path:
        """Journal of steps, evaluations, checkpoints, health, log and state."""
        return self.path / "events.jsonl"

    @property
    def samples_path(self) -> Path:
        """Journal of prompts and responses."""
        return self.path / "samples.jsonl"

    @property
    def pool_path(self) -> Path:
        """Journal of the texts that people may be asked about."""
        return self.path / "pool.jsonl"

    @property
    def ratings_path(self) -> Path:
        """What people thought of the samples; never cut."""
        return self.path / "ratings.jsonl"

    @property
    def control_path(self) -> Path:
        """Folder of requests to the worker."""
        return self.path / "control"

    @property
    def checkpoints_path(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def log_path(self) -> Path:
        """Whatever the worker's process printed."""
        return self.path / "log.txt"

    @property
    def lock_path(self) -> Path:
        """Held by the worker while it lives."""
        return self.path / "lock"

    @property
    def launch_path(self) -> Path:
        """Which process was last started for the run."""
        return self.path / "launch.json"

    @classmethod
    def create(cls, path: Path, config_text: str, *, total: int = 0) -> Self:
        """Make a run directory, private to its owner, in the state `created`.

        Args:
            path: Where; it must not exist, or be an empty folder. Its parents are made.
            config_text: The content of config.yaml.
            total: Planned steps, for viewers that look before the worker has started.

        Raises:
            RunExists: Something is there already (`run.exists`).
            StorageError: It cannot be written; what had been made is gone again.
        """
        run = cls(_absolute(path))
        made: list[Path] = []
        try:
            _claim(run.path, made)
            _write_new(run.config_path, config_text, made)
            for folder in (run.control_path, run.checkpoints_path):
                folder.mkdir(mode=0o700)
                made.append(folder)
            _write_new(run.lock_path, " " * (ROOM - 1) + "\n", made)
            # Last, because a directory without it is no run yet.
            made.append(run.state_path)
            write_state(run, RunState(Phase.CREATED, total=total, started=time.time()))
            sync_directory(run.path.parent)
        except BaseException as error:
            _undo(made)
            if isinstance(error, FileExistsError):
                raise _exists(run.path) from error
            if isinstance(error, OSError):
                raise storage_error(run.path, error) from error
            raise
        return run

    @classmethod
    def open(cls, path: Path, *, links: bool = False) -> Self:
        """The run directory at a path, which may itself be a link.

        Args:
            path: Where it is.
            links: Take one that has links in place of its files; only to be removed.

        Raises:
            RunError: There is nothing (`run.missing`), it is no run (`run.not_a_run`), or one of
                its files is a link, which could lead anywhere (`run.link`).
        """
        run = cls(_absolute(path))
        where = shown(run.path)
        if not os.path.lexists(run.path):
            raise RunError(
                f"there is no run at {where}",
                hint="`ppo-tui runs list` shows the runs that there are.",
                code="run.missing",
            )
        if not run.path.is_dir():
            raise RunError(f"{where} is a file, not a run directory", code="run.not_a_run")
        if not links:
            _refuse_links(run)
        for file in (run.config_path, run.state_path):
            if not (file.is_file() or (links and file.is_symlink())):
                raise RunError(
                    f"{where} is not a run directory: it has no {file.name}", code="run.not_a_run"
                )
        return run


def new_run_path(root: Path, stem: str) -> Path:
    """A free place such as ROOT/demo-20261123-214512; nothing is made."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:60] or "run"
    base = f"{clean}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = root / base, 1
    while os.path.lexists(path):
        count += 1
        path = root / f"{base}-{count}"
    return path


_ENTRIES = (
    "config.yaml",
    "state.json",
    "events.jsonl",
    "samples.jsonl",
    "pool.jsonl",
    "ratings.jsonl",
    "control",
    "checkpoints",
    "log.txt",
    "lock",
    "launch.json",
)


def _refuse_links(run: RunDirectory) -> None:
    """Whoever reads or writes a run stays inside it: none of its entries may lead elsewhere.

    Files are opened without following links besides; this is for folders, and for a clear sentence.
    """
    for name in _ENTRIES:
        if (run.path / name).is_symlink():
            raise RunError(
                f"{name} of {shown(run.path)} is a symbolic link, and a run's files must lie in it",
                hint="Put the file itself in the link's place, if the run is from somebody you "
                "trust.",
                code="run.link",
            )


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _exists(path: Path) -> RunExists:
    return RunExists(
        f"{shown(path)} exists already",
        hint="Choose another with --run-dir, or go on with that run by `ppo-tui resume`.",
    )


def _claim(path: Path, made: list[Path]) -> None:
    """Make the folder and its parents, noting what was made; an empty one is taken as it is."""
    missing = [path]
    while not os.path.lexists(missing[-1].parent):
        missing.append(missing[-1].parent)
    for folder in reversed(missing[1:]):
        with contextlib.suppress(FileExistsError):  # another run is made beside this one
            folder.mkdir(mode=0o700)
            made.append(folder)
    try:
        path.mkdir(mode=0o700)
        made.append(path)
    except FileExistsError:
        if not path.is_dir() or any(path.iterdir()):
            raise
        with contextlib.suppress(PermissionError):  # a file system that knows no permissions
            path.chmod(0o700)


def _write_new(path: Path, text: str, made: list[Path]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
    made.append(path)
    try:
        write_all(fd, well_formed(text).encode("utf-8"))
        os.fsync(fd)
    finally:
        os.close(fd)


def _undo(made: list[Path]) -> None:
    # Each removal may fail on its own; the error that led here is the one to report.
    for path in reversed(made):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
