"""Make a run, start its worker, attend to it: what train, demo and resume have in common."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from ppo_tui.cli import preflight
from ppo_tui.cli.answer import answer_json, say, tell
from ppo_tui.cli.failures import exit_code_of, report
from ppo_tui.cli.follow import Followed, follow
from ppo_tui.cli.outcome import conclude
from ppo_tui.config.presets import looks_like_a_file
from ppo_tui.config.resolve import ResolvedConfig
from ppo_tui.errors import PpoTuiError, RunBusy, RunError
from ppo_tui.runs.catalog import delete_run
from ppo_tui.runs.directory import RunDirectory, new_run_path
from ppo_tui.runs.launch import start_worker
from ppo_tui.runs.paths import runs_root, shown
from ppo_tui.runs.phase import Phase

_FAULTS_OF_OURS = ("internal", "error", "training", "checkpoint", "run")


@dataclass(frozen=True)
class NewRun:
    """A run that this command made, and what it takes to unmake it."""

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


def make_run(resolved: ResolvedConfig, source: str, run_dir: Path | None) -> NewRun:
    """Check what can be checked, then make the run directory.

    Raises:
        PpoTuiError: See `preflight.check` and `RunDirectory.create`; nothing is left behind.
    """
    preflight.check(resolved.config)
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


def detach(run: RunDirectory, worker: Popen[bytes], *, as_json: bool) -> None:
    """Say where the run is, and leave it to itself."""
    if as_json:
        answer_json({"run_dir": str(run.path), "pid": worker.pid})
        return
    tell(shown(run.path))
    say(f"It runs by itself; `ppo-tui watch {shown(run.name)}` follows it.")
    # Python warns of a child that is left running; this one is meant to be.
    worker.returncode = 0


def attend(
    run: RunDirectory,
    worker: Popen[bytes],
    *,
    as_json: bool,
    new: NewRun | None = None,
    epilogue: Callable[[Followed], None] | None = None,
) -> int:
    """Follow a run whose worker was started here; the exit code.

    Args:
        run: The run.
        worker: Its worker.
        as_json: Whether to end with one JSON object.
        new: Set if this command made the run: one that fails before its first step because of what
            it was given is removed again.
        epilogue: Told to people after the summary of a run that finished.
    """
    followed = follow(run, stops=True, worker=worker)
    error = followed.error
    if error is not None and new is not None and _is_bad_input(followed):
        with contextlib.suppress(TimeoutExpired):
            worker.wait(10)
        new.unmake()
        report(error.code, error.message, error.hint, as_json=as_json)
        return int(exit_code_of(error.code))
    code = conclude(run, followed, stops=True, as_json=as_json)
    if epilogue is not None and followed.phase is Phase.FINISHED and not as_json:
        epilogue(followed)
    return code


def config_text(run: RunDirectory) -> str:
    """The run's stored configuration.

    Raises:
        RunError: It cannot be read (`run.config`).
    """
    try:
        return run.config_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise RunError(
            f"{shown(run.config_path)} cannot be read: {reason}", code="run.config"
        ) from error


def refuse_if_alive(run: RunDirectory, *, alive: bool) -> None:
    """Raise `RunBusy` if a worker is there already."""
    if alive:
        raise RunBusy(
            f"{shown(run.name)} is running already",
            hint=f"`ppo-tui watch {shown(run.name)}` follows it.",
        )


def _is_bad_input(followed: Followed) -> bool:
    if followed.phase is not Phase.FAILED or followed.step or followed.error is None:
        return False
    return followed.error.code.partition(".")[0] not in _FAULTS_OF_OURS
