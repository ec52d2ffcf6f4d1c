"""`state.json`, and what a viewer may conclude from it.

The worker takes the lock before it first writes its state, and writes its last state before it lets
go; whatever else a viewer finds means that a worker died. `crashed` is that conclusion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import time
from typing import TYPE_CHECKING

from ppo_tui.errors import RunError
from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import read_small, write_atomic
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.lock import holder, is_held
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import ACTIVE, TERMINAL, Phase
from ppo_tui.runs.records import ErrorInfo, RunState

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

__all__ = ["ACTIVE", "TERMINAL", "Observed", "Phase", "observe", "read_state", "write_state"]

# Within a step the states follow each other several times a second; waiting for the disk at each
# would slow the training, and after a power cut they all mean the same: crashed.
_PASSING = frozenset({Phase.ROLLOUT, Phase.SCORING, Phase.UPDATE})


def write_state(run: RunDirectory, state: RunState) -> RunState:
    """Replace `state.json`, stamping `updated`; for the worker, and for `create`.

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
    write_atomic(run.state_path, text, durable=state.state not in _PASSING)
    return stamped


def read_state(run: RunDirectory) -> RunState:
    """What `state.json` says, which need not be how things are; see `observe`.

    Raises:
        RunError: It is missing, unreadable, damaged, or of a version unknown here (`run.state`).
    """
    where = shown(run.state_path)
    try:
        record = strict_json.loads(read_small(run.state_path))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise RunError(f"{where} cannot be read: {reason}", code="run.state") from error
    except ValueError as error:
        raise RunError(f"{where} is damaged: it is no JSON", code="run.state") from error
    if not isinstance(record, dict):
        raise RunError(f"{where} is damaged: it holds no object", code="run.state")
    return RunState.from_json(record)


@dataclass(frozen=True, slots=True)
class Observed:
    """How a run is doing, as far as a viewer can know.

    Attributes:
        phase: What the run is doing, or how it ended; `crashed` if its worker died.
        state: The content of `state.json`.
        alive: A worker is there.
    """

    phase: Phase
    state: RunState
    alive: bool

    @property
    def ended(self) -> bool:
        """Whether nothing more will come unless the run is resumed."""
        return self.phase in TERMINAL

    @property
    def error(self) -> ErrorInfo | None:
        """Why the run failed or crashed."""
        if self.phase is Phase.CRASHED:
            where = f"after step {self.state.step}" if self.state.step else "before its first step"
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
    if is_held(run):
        return Observed(_phase_while_held(run, state), state, alive=True)
    launched = last_launch(run)
    if launched is not None and launched.time >= state.updated:
        known = state.process is not None and state.process.is_same_as(launched.process)
        if not known and launched.process.is_running():
            return Observed(Phase.LOADING, state, alive=True)
        if not known and state.state is Phase.CREATED:
            return Observed(Phase.CRASHED, state, alive=False)
    gone = state.process is not None and not state.process.is_running()
    if state.state in ACTIVE or (state.state is Phase.CREATED and gone):
        return Observed(Phase.CRASHED, state, alive=False)
    return Observed(state.state, state, alive=False)


def _phase_while_held(run: RunDirectory, state: RunState) -> Phase:
    """The state as written, unless an earlier worker wrote it and this one is only starting."""
    if state.state is Phase.CREATED:
        return Phase.LOADING
    by = holder(run)
    if by is not None and state.process is not None and not by.is_same_as(state.process):
        return Phase.LOADING
    return state.state
