"""The metrics of all steps of a run, in columns, as charts need them.

A reader turns journal lines into blocks (in a thread, as parsing takes time); a history appends
blocks (a copy a column, cheap enough for an event loop). A journal too long to be read in an
instant is first looked at in evenly spaced places, so that the whole course is on the screen while
the rest is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ppo_tui.runs import strict_json
from ppo_tui.runs.atomic import open_regular
from ppo_tui.runs.journal import LONGEST_LINE, JournalTail
from ppo_tui.runs.records import Event

Floats = npt.NDArray[np.float64]

GLANCE_BYTES = 4 << 20
"""A journal longer than this is looked at in places before it is read."""

GLANCES = 400
"""In how many places."""

_FIRST_CAPACITY = 256


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive steps.

    Attributes:
        steps: Their numbers, ``[N]``.
        times: When each was recorded, in unix seconds, ``[N]``.
        columns: Metric to its values, ``[N]``; NaN where a step has none.
    """

    steps: Floats
    times: Floats
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.steps)


def block_of(records: Sequence[Mapping[str, Any]]) -> Block:
    """The step events among the journal's lines, as columns."""
    steps = [record for record in records if record.get("kind") == "step"]
    count = len(steps)
    columns: dict[str, list[float]] = {}
    nothing = math.nan
    for row, record in enumerate(steps):
        metrics = record.get("metrics")
        if not isinstance(metrics, dict):
            continue
        for name, value in metrics.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = [nothing] * count
            # bool is an int, and no metric.
            if type(value) is float or type(value) is int:
                column[row] = value
    return Block(
        _numbers([_whole(record.get("step"), row + 1) for row, record in enumerate(steps)]),
        _numbers([_real(record.get("time")) for record in steps]),
        {name: _numbers(column) for name, column in columns.items()},
    )


class History:
    """The columns of a run; grows by blocks."""

    def __init__(self) -> None:
        self._capacity = _FIRST_CAPACITY
        self._length = 0
        self._steps = np.empty(self._capacity)
        self._times = np.empty(self._capacity)
        self._columns: dict[str, Floats] = {}
        self._glance: Block | None = None
        self.generation = 0
        """How often it began anew: whoever derived something from its columns begins anew too."""

    def __len__(self) -> int:
        return self._length

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric there is, in the order in which they came."""
        glance = self._glance.columns if self._glance else ()
        return tuple(dict.fromkeys((*self._columns, *glance)))

    @property
    def last_step(self) -> int:
        """The newest step that is read; 0 before the first."""
        return int(self._steps[self._length - 1]) if self._length else 0

    def extend(self, block: Block) -> None:
        """Append the steps of a block."""
        count = len(block)
        if not count:
            return
        end = self._length + count
        self._reserve(end)
        part = slice(self._length, end)
        self._steps[part] = block.steps
        self._times[part] = block.times
        for name in block.columns:
            if name not in self._columns:
                self._columns[name] = np.full(self._capacity, math.nan)
        for name, column in self._columns.items():
            values = block.columns.get(name)
            column[part] = math.nan if values is None else values
        self._length = end
        if self._glance is not None and block.steps[-1] >= self._glance.steps[-1]:
            self._glance = None

    def glance(self, block: Block) -> None:
        """Take steps from all over the journal, to be shown until the journal itself is read."""
        self._glance = block if len(block) else None

    def clear(self) -> None:
        """Forget everything: the journal began anew."""
        self._length = 0
        self._columns = {}
        self._glance = None
        self.generation += 1

    def series(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values of a metric, ``[N]`` each; views, to be read at once and not kept.

        Where the journal is not read to its end yet, what a glance saw of the rest is appended.
        """
        steps, values = self._steps[: self._length], self._column(name)
        glance = self._glance
        if glance is None:
            return steps, values
        rest = glance.steps > self.last_step
        seen = glance.columns.get(name)
        more = np.full(len(glance), math.nan) if seen is None else seen
        return np.concatenate((steps, glance.steps[rest])), np.concatenate((values, more[rest]))

    @property
    def complete(self) -> bool:
        """Whether everything that a glance saw has been read."""
        return self._glance is None

    def times(self) -> tuple[Floats, Floats]:
        """Steps and the unix seconds at which they were recorded, ``[N]`` each."""
        steps, times = self._steps[: self._length], self._times[: self._length]
        glance = self._glance
        if glance is None:
            return steps, times
        rest = glance.steps > self.last_step
        return np.concatenate((steps, glance.steps[rest])), np.concatenate(
            (times, glance.times[rest])
        )

    def at(self, step: int) -> dict[str, float]:
        """The metrics of a step, or of the nearest one before it; empty if there is none."""
        glance = self._glance
        if glance is not None and step > self.last_step:
            near = int(np.searchsorted(glance.steps, step, side="right")) - 1
            if near >= 0 and glance.steps[near] > self.last_step:
                return {name: float(values[near]) for name, values in glance.columns.items()}
        row = int(np.searchsorted(self._steps[: self._length], step, side="right")) - 1
        if row < 0:
            return {}
        return {name: float(column[row]) for name, column in self._columns.items()}

    def last(self) -> dict[str, float]:
        """The metrics of the newest step known; empty before the first."""
        if self._glance is not None:
            return {name: float(values[-1]) for name, values in self._glance.columns.items()}
        return self.at(self.last_step) if self._length else {}

    def _column(self, name: str) -> Floats:
        column = self._columns.get(name)
        if column is None:
            return np.full(self._length, math.nan)
        return column[: self._length]

    def _reserve(self, length: int) -> None:
        if length <= self._capacity:
            return
        while self._capacity < length:
            self._capacity *= 2
        self._steps = self._grown(self._steps)
        self._times = self._grown(self._times)
        self._columns = {name: self._grown(column) for name, column in self._columns.items()}

    def _grown(self, column: Floats) -> Floats:
        larger = np.empty(self._capacity)
        larger[: self._length] = column[: self._length]
        return larger


@dataclass(frozen=True, slots=True)
class Batch:
    """What one reading of a journal brought.

    Attributes:
        block: The steps.
        events: All other events, in order.
        restarted: The journal began anew before this; what was read before no longer holds.
        glance: Steps from all over the journal, while the journal itself is still being read.
        read: How much of the journal has been read, from 0 to 1.
        damaged: Lines that were stepped over.
    """

    block: Block
    events: tuple[Event, ...] = ()
    restarted: bool = False
    glance: Block | None = None
    read: float = 1.0
    damaged: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing new in it."""
        return not (len(self.block) or self.events or self.restarted or self.glance)


@dataclass
class HistoryReader:
    """Reads `events.jsonl` as it grows; for a thread."""

    path: Path
    _tail: JournalTail = field(init=False)
    _glanced: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._tail = JournalTail(self.path)

    def poll(self) -> Batch:
        """What came since the last poll, at most about a megabyte; poll again until it is empty.

        Raises:
            OSError: The journal is there and cannot be read.
        """
        if not self._glanced:
            self._glanced = True
            glance = look_around(self.path)
            if glance is not None:
                return Batch(block_of([]), glance=glance, read=0.0)
        chunk = self._tail.poll()
        events = tuple(
            Event.from_json(record) for record in chunk.records if record.get("kind") != "step"
        )
        return Batch(
            block_of(chunk.records),
            events,
            chunk.restarted,
            None,
            self._share(chunk.offset),
            chunk.damaged,
        )

    def _share(self, offset: int) -> float:
        try:
            size = self.path.stat().st_size
        except OSError:
            return 1.0
        return min(1.0, offset / size) if size else 1.0


def look_around(path: Path, places: int = GLANCES) -> Block | None:
    """Steps from evenly spaced places of a long journal, its last among them; None for a short one.

    Raises:
        OSError: The journal is there and cannot be read.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return None
    with file:
        size = file.seek(0, os.SEEK_END)
        if size <= GLANCE_BYTES:
            return None
        found: dict[int, dict[str, Any]] = {}
        for place in range(places + 1):
            file.seek(size * place // places if place < places else max(0, size - (1 << 16)))
            if place:
                file.readline(LONGEST_LINE)  # the rest of a line that began before
            lines = _next_lines(file, 8 if place < places else 1000)
            for record in lines:
                step = record.get("step")
                if record.get("kind") == "step" and type(step) is int:
                    found[step] = record
                    if place < places:
                        break
    return block_of([found[step] for step in sorted(found)])


def _next_lines(file: Any, most: int) -> Iterator[dict[str, Any]]:
    for _ in range(most):
        line = file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            return
        try:
            record = strict_json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def _numbers(values: Sequence[float]) -> Floats:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number beyond any float, from a file that is not ours
        return np.array([_real(value) for value in values], dtype=np.float64)


def _whole(value: Any, default: int) -> float:
    return value if type(value) is int and abs(value) < 2**53 else default


def _real(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        return math.nan
