"""Attend to a run whose worker was started here: what train, demo and resume have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from subprocess import Popen, TimeoutExpired

from ppo_tui.cli.answer import answer_json, say, tell
from ppo_tui.cli.failures import exit_code_of, report
from ppo_tui.cli.follow import Followed, follow
from ppo_tui.cli.outcome import conclude
from ppo_tui.prepare.new_run import NewRun
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase

_FAULTS_OF_OURS = ("internal", "error", "training", "checkpoint", "run")
_FAULTS_OF_THE_MACHINE = ("device.lost",)


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
            it was given, and that nobody has rated, is removed again.
        epilogue: Told to people after the summary of a run that finished.
    """
    followed = follow(run, stops=True, worker=worker)
    error = followed.error
    if error is not None and new is not None and _is_bad_input(followed) and not _is_rated(run):
        with contextlib.suppress(TimeoutExpired):
            worker.wait(10)
        new.unmake()
        report(error.code, error.message, error.hint, as_json=as_json)
        return int(exit_code_of(error.code))
    code = conclude(run, followed, stops=True, as_json=as_json)
    if epilogue is not None and followed.phase is Phase.FINISHED and not as_json:
        epilogue(followed)
    return code


def _is_bad_input(followed: Followed) -> bool:
    if followed.phase is not Phase.FAILED or followed.step or followed.error is None:
        return False
    code = followed.error.code
    return code not in _FAULTS_OF_THE_MACHINE and code.partition(".")[0] not in _FAULTS_OF_OURS


def _is_rated(run: RunDirectory) -> bool:
    """Whether people have rated texts of the run already, as they do before its first step."""
    try:
        return run.ratings_path.stat().st_size > 0
    except OSError:
        return False
