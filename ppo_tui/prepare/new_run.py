"""Make a run directory from a configuration, and start its worker."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from ppo_tui.config.presets import looks_like_a_file
from ppo_tui.config.resolve import ResolvedConfig
from ppo_tui.errors import PpoTuiError
from ppo_tui.prepare import preflight
from ppo_tui.runs.catalog import delete_run
from ppo_tui.runs.directory import RunDirectory, new_run_path
from ppo_tui.runs.launch import start_worker
from ppo_tui.runs.paths import runs_root


@dataclass(frozen=True)
class NewRun:
    """A run that was made here, and what it takes to unmake it."""

    run: RunDirectory
    made_folders: tuple[Path, ...]
    was_empty_folder: bool

    def unmake(self) -> None:
        """Leave things as they were; best effort, since an error is being reported already."""
        with contextlib.suppress(PpoTuiError, OSError):
            delete_run(self.run)
            if self.was_empty_folder:
                self.run.path.mkdir()
            for folder in self.made_folders:
                folder.rmdir()


def make_run(resolved: ResolvedConfig, source: str | None, run_dir: Path | None) -> NewRun:
    """Check what can be checked, then make the run directory.

    Args:
        resolved: The run.
        source: The preset's name or the file it came from; None if it came from neither, such as
            from another run.
        run_dir: Where it is to be; a new place among all runs if left out.

    Raises:
        PpoTuiError: See `preflight.check` and `RunDirectory.create`; nothing is left behind.
    """
    preflight.check(resolved.config)
    head = ""
    if source is not None:
        kind = "file" if looks_like_a_file(source) else "preset"
        name = source if kind == "file" else resolved.name
        head = f"# {kind}: {' '.join(name.split())}\n"
    path = new_run_path(runs_root(), resolved.name) if run_dir is None else run_dir.expanduser()
    absolute = Path(os.path.abspath(path))
    missing = tuple(folder for folder in absolute.parents if not os.path.lexists(folder))
    was_there = os.path.isdir(absolute)
    run = RunDirectory.create(absolute, head + resolved.to_yaml(), total=resolved.config.steps)
    return NewRun(run, missing, was_there)


def start(new: NewRun) -> Popen[bytes]:
    """Start the worker of a run that was just made; if that fails, the run is gone again."""
    try:
        return start_worker(new.run)
    except PpoTuiError:
        new.unmake()
        raise
