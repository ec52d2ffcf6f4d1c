"""A run that is over, played again from its journal as if it were going on.

For `ppo-tui watch RUN --replay SPEED`: SPEED times as fast as it was. The night between a stop and
a resume is not played: a pause longer than a few seconds of the viewer's time is cut to that.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.history import Batch, block_of
from ppo_tui.runs.journal import JournalTail
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import Event, RunState
from ppo_tui.runs.state import Observed, read_state

from .feed import Pulse

LONGEST_PAUSE = 3.0
"""Seconds of the viewer's time that a pause of the run may take."""

_FEW_LINES = 64


@dataclass
class ReplaySource:
    """The journal of a run, released by the clock.

    Attributes:
        run: The run.
        speed: How many times as fast as it was; may be changed while it plays.
        clock: Seconds, always rising.
    """

    run: RunDirectory
    speed: float
    clock: Callable[[], float] = time.monotonic
    _lines: deque[Mapping[str, Any]] = field(init=False, default_factory=deque)
    _now: float = field(init=False, default=0.0)
    _looked: float | None = field(init=False, default=None)
    _step: int = field(init=False, default=0)
    _ended: bool = field(init=False, default=False)
    _state: RunState | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tail = JournalTail(self.run.events_path)

    @property
    def step(self) -> int:
        """The last step that was released."""
        return self._step

    def poll(self) -> Pulse | None:
        """What happened since the last look, in the run's own time."""
        if self._ended:
            return None
        try:
            if self._state is None:
                self._state = read_state(self.run)
            released = self._release()
        except PpoTuiError as error:
            self._ended = True
            return Pulse(problem=error.message)
        except OSError as error:
            self._ended = True
            reason = error.strerror or type(error).__name__
            return Pulse(problem=f"{shown(self.run.path)} cannot be read: {reason}")
        if not released and not self._ended:
            return None
        block = block_of(released)
        if len(block):
            self._step = int(block.steps[-1])
        events = tuple(Event.from_json(line) for line in released if line.get("kind") != "step")
        return Pulse(Batch(block, events), self._observed())

    def _observed(self) -> Observed:
        assert self._state is not None
        if self._ended:
            # What it ended as; a run that is going on is shown as far as its journal goes.
            return Observed(self._state.state, self._state, alive=False)
        playing = replace(self._state, state=Phase.ROLLOUT, step=self._step, error=None)
        return Observed(Phase.ROLLOUT, playing, alive=False)

    def _release(self) -> list[Mapping[str, Any]]:
        looked = self.clock()
        if self._looked is None:
            self._fill()
            self._now = _time_of(self._lines[0]) if self._lines else 0.0
        else:
            self._now += (looked - self._looked) * self.speed
        self._looked = looked
        released: list[Mapping[str, Any]] = []
        while True:
            if len(self._lines) < _FEW_LINES:
                self._fill()
            if not self._lines:
                self._ended = True
                return released
            when = _time_of(self._lines[0])
            if when > self._now + LONGEST_PAUSE * self.speed:
                self._now = when - LONGEST_PAUSE * self.speed
            if when > self._now:
                return released
            released.append(self._lines.popleft())

    def _fill(self) -> None:
        self._lines.extend(self._tail.poll().records)


def _time_of(line: Mapping[str, Any]) -> float:
    when = line.get("time")
    return float(when) if isinstance(when, int | float) else 0.0
