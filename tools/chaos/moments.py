"""The moments at which a worker is killed, and the choice among them.

    time        some time after its start, whatever it does then
    phase       while its state says rollout, scoring, update, saving, evaluating
    operation   at the n-th write, sync, rename, cut or removal of a kind of file: before it, in its
                middle or after it
    resume      while it starts and takes up its run: the lock, the state, the cut of the journals,
                the first lines after it

Each of the four comes as often as the others; within one, targets come in turn, so that a few
kills are as different as they can be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Any

KINDS = ("operation", "phase", "resume", "time")

PHASES = ("rollout", "update", "saving", "evaluating", "scoring")

OPERATIONS = (
    "write events",
    "write checkpoint",
    "rename checkpoint",
    "write state",
    "write samples",
    "remove checkpoint",
    "write manifest",
    "rename state",
    "write pool",
    "sync checkpoint",
    "make checkpoint",
    "sync samples",
)

RESUMING = (
    ("cut events", 1),
    ("write lock", 1),
    ("cut samples", 1),
    ("write events", 5),
    ("", 0),
    ("write state", 2),
    ("cut pool", 1),
    ("sync pool", 1),
    ("rename state", 2),
)
"""What a worker does before its first step, and how many of that it does; the empty one is any
time while it loads."""

WHEN = ("middle", "before", "after")


@dataclass(frozen=True)
class Moment:
    """When a worker is to be killed.

    Attributes:
        kind: One of `KINDS`.
        target: The phase, or the operation and the kind of file; empty for a time.
        nth: Which of the operations it is, from the worker's start.
        when: Before, in the middle of or after the operation.
        share: From 0 to 1: of the time that the worker would take, or of the bytes that it writes.
    """

    kind: str
    target: str = ""
    nth: int = 0
    when: str = ""
    share: float = 0.0

    @property
    def order(self) -> dict[str, Any] | None:
        """What the worker itself is told; None if it is killed from outside."""
        if not self.nth:
            return None
        chosen = asdict(self)
        return {key: chosen[key] for key in ("target", "nth", "share")} | {"moment": self.when}

    def __str__(self) -> str:
        if self.nth:
            return f"{self.kind}: {self.when} {self.target} number {self.nth}"
        return f"{self.kind}: {self.target or 'any'}, at {self.share:.2f} of it"


class Moments:
    """An endless choice of moments, the same for the same seed.

    Args:
        seed: Of the choice.
        counts: How many operations of each kind an undisturbed worker does.
    """

    def __init__(self, seed: int, counts: Mapping[str, int]) -> None:
        self._random = random.Random(seed)
        self._counts = counts
        self._kinds = self._shuffled(KINDS)
        self._phases = self._shuffled(PHASES)
        self._operations = self._shuffled(op for op in OPERATIONS if counts.get(op))
        self._resuming = self._shuffled(RESUMING)

    def next(self, left: float, *, resuming: bool) -> Moment:
        """The next moment.

        Args:
            left: Share of the run's steps that are still to do.
            resuming: The worker was started for a run that has been killed before.
        """
        kind = next(self._kinds)
        if kind == "resume" and not resuming:
            kind = "time"
        draw = self._random
        if kind == "phase":
            return Moment(kind, next(self._phases), share=draw.random())
        if kind == "resume":
            return self.while_resuming()
        if kind == "operation":
            target = next(self._operations)
            most = max(1, round(self._counts[target] * left))
            nth = draw.randint(1, most)
            return Moment(kind, target, nth, draw.choice(WHEN), draw.random())
        return Moment("time", share=draw.random() * max(left, 0.1))

    def while_resuming(self) -> Moment:
        """The next moment before a worker's first step."""
        target, most = next(self._resuming)
        draw = self._random
        if not target:
            return Moment("resume", share=draw.random())
        return Moment("resume", target, draw.randint(1, most), draw.choice(WHEN), draw.random())

    def twice(self) -> bool:
        """Whether the worker that comes after a kill is killed at once."""
        return self._random.random() < 0.2

    def kills(self) -> int:
        """How many kills the next run is to take."""
        return self._random.randint(2, 6)

    def _shuffled(self, items: Any) -> Iterator[Any]:
        items = list(items)
        self._random.shuffle(items)
        return cycle(items)
