"""`state.json`, and what a viewer may conclude from it.

The worker takes the lock before it first writes its state, and writes its last state before it lets
go; whatever else a viewer finds means that a worker died. `crashed` is that conclusion.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from time import time
from typing import TYPE_CHECKING

from ppo_tui.errors import RunError, StorageError
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import read_small, remove_leftovers, write_atomic, write_in_place
from ppo_tui.runs.last_words import last_words
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.lock import holder, is_held
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import ACTIVE, TERMINAL, Phase
from ppo_tui.runs.process import ProcessIdentity
from ppo_tui.runs.records import ErrorInfo, RunState

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

__all__ = ["ACTIVE", "TERMINAL", "Observed", "Phase", "observe", "read_state", "write_state"]

# Within a step the states follow each other several times a second; waiting for the disk at each
# would slow the training, and after a power cut they all mean the same: crashed.
_PASSING = frozenset({Phase.ROLLOUT, Phase.SCORING, Phase.UPDATE})


def write_state(run: RunDirectory, state: RunState) -> RunState:
    """Replace `state.json`, stamping `updated`; for the worker, and for `create`.

    That a run has failed is written over the old state where the disk has no room for a new file: a
    full disk is the likeliest reason, and must not make the run read as crashed.

    Returns:
        The state as it was written.

    Raises:
        StorageError: The write failed; the old state stands.
        ValueError: The state is `crashed`, which is concluded and never written.
    """
    if state.state is Phase.CRASHED:
        raise ValueError("crashed is what a viewer concludes; it is never written")
    stamped = replace(state, updated=time())
    text = strict_json.dumps(stamped.to_json(), indent=2) + "\n"
    if state.state is Phase.LOADING:  # a worker's first, so the lock is its own
        remove_leftovers(run.state_path)
    try:
        write_atomic(run.state_path, text, durable=state.state not in _PASSING)
    except StorageError as error:
        if state.state is not Phase.FAILED or error.code != "storage.full":
            raise
        write_in_place(run.state_path, text.encode("utf-8"))
    return stamped


def read_state(run: RunDirectory) -> RunState:
    """What `state.json` says, which need not be how things are; see `observe`.

    Raises:
        RunError: It is unreadable, damaged, or of a version unknown here (`run.state`), a link
            (`run.link`), or gone (`run.missing`).
    """
    where = shown(run.state_path)
    try:
        record = _record_of(run)
    except OSError as error:
        if os.path.lexists(run.config_path):
            reason = error.strerror or type(error).__name__
            code = "run.link" if error.errno == errno.ELOOP else "run.state"
            raise RunError(f"{where} cannot be read: {reason}", code=code) from error
        raise RunError(
            f"the run {shown(run.path)} is gone: it was deleted or moved, or its disk is no longer "
            "mounted",
            hint="`ppo-tui runs list` shows the runs that there are.",
            code="run.missing",
        ) from error
    except ValueError as error:
        raise RunError(f"{where} is damaged: it is no JSON", code="run.state") from error
    if not isinstance(record, dict):
        raise RunError(f"{where} is damaged: it holds no object", code="run.state")
    return RunState.from_json(record)


def _record_of(run: RunDirectory) -> object:
    """The content of `state.json`; what is no JSON is read again, as it may just be written over.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON.
    """
    try:
        return strict_json.loads(read_small(run.state_path))
    except ValueError:
        return strict_json.loads(read_small(run.state_path))


@dataclass(frozen=True, slots=True)
class Observed:
    """How a run is doing, as far as a viewer can know.

    Attributes:
        phase: What the run is doing, or how it ended; `crashed` if its worker died.
        state: The content of `state.json`.
        alive: A worker is there.
        suspended: The number of its worker's process, where that was halted by a signal (SIGSTOP,
            Ctrl-Z, a debugger) and only waits to be let go on; None while it works.
        last_words: What a worker that died could still write into its log: an error of ours.
    """

    phase: Phase
    state: RunState
    alive: bool
    suspended: int | None = None
    last_words: ErrorInfo | None = None

    @property
    def suspended_words(self) -> str:
        """That the worker's process is halted and how it goes on, in words; empty if it is not."""
        if self.suspended is None:
            return ""
        return f"its process is suspended (SIGSTOP); `kill -CONT {self.suspended}` lets it go on"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come unless the run is resumed."""
        return self.phase in TERMINAL

    @property
    def error(self) -> ErrorInfo | None:
        """Why the run failed or crashed."""
        if self.phase is Phase.CRASHED:
            where = f"after step {self.state.step}" if self.state.step else "before its first step"
            if self.last_words is not None:
                return ErrorInfo(
                    self.last_words.code,
                    f"the worker ended {where} and could only tell its log why: "
                    f"{self.last_words.message}",
                    self.last_words.hint or "`ppo-tui resume` goes on from the last checkpoint.",
                )
            return ErrorInfo(
                "run.crashed",
                f"the worker died {where} without a word; its last state was "
                f"{self.state.state.value}",
                "Its last output is in log.txt; `ppo-tui resume` goes on from the last checkpoint.",
            )
        return self.state.error if self.phase is Phase.FAILED else None


def observe(run: RunDirectory) -> Observed:
    """Conclude how a run is doing from its state, its lock and its process.

    Raises:
        RunError: `state.json` cannot be used.
    """
    state = read_state(run)
    while True:
        seen = _conclude(run, state)
        if seen.alive:
            return seen
        # The worker may have written its last state and let go between the two looks.
        again = read_state(run)
        if again == state:
            return seen
        state = again


def _conclude(run: RunDirectory, state: RunState) -> Observed:
    """What state, lock and launch mean together; told by who wrote what, never by the clock."""
    if is_held(run):
        by = holder(run)
        return Observed(
            _phase_while_held(by, state),
            state,
            alive=True,
            suspended=_suspended(by or state.process),
        )
    launched = last_launch(run)
    crashed = state.state in ACTIVE
    if launched is not None and not _wrote(launched.process, state):
        if launched.process.is_running():
            suspended = _suspended(launched.process)
            return Observed(Phase.LOADING, state, alive=True, suspended=suspended)
        crashed |= state.state is Phase.CREATED
    gone = state.process is not None and not state.process.is_running()
    if crashed or (state.state is Phase.CREATED and gone):
        return Observed(Phase.CRASHED, state, alive=False, last_words=last_words(run, launched))
    return Observed(state.state, state, alive=False)


def _wrote(process: ProcessIdentity, state: RunState) -> bool:
    return state.process is not None and state.process.is_same_as(process)


def _suspended(process: ProcessIdentity | None) -> int | None:
    return process.pid if process is not None and process.is_suspended() else None


def _phase_while_held(by: ProcessIdentity | None, state: RunState) -> Phase:
    """The state as written, unless an earlier worker wrote it and this one is only starting."""
    if state.state is Phase.CREATED:
        return Phase.LOADING
    if by is not None and state.process is not None and not by.is_same_as(state.process):
        return Phase.LOADING
    return state.state
