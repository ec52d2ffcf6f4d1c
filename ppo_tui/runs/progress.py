"""What is known of a run so far: gathered from its journals as they grow, for whoever draws it.

Reads only; draws nothing. Rates and times are those of the worker's present session, so that a run
resumed after a night does not count the night.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ppo_tui.errors import RunError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import JournalTail
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.paths import shown
from ppo_tui.runs.records import Event, Sample

_REMEMBERED_INTERVALS = 30
_LONGEST_INTERVAL = 86_400.0
"""Seconds beyond which two events lie apart because the clock was set, not because time passed."""

_NO_STEP = ("paused", "loading", "evaluating", "saving", "rollout")

_CHECKPOINT = re.compile(r"checkpoints/step-\d{6,}")


@dataclass(frozen=True, slots=True)
class Health:
    """A health message: what was noticed, and what to do about it."""

    step: int | None
    level: str
    message: str
    hint: str


@dataclass
class Progress:
    """A run as its journals tell it.

    Attributes:
        step: Steps that are done.
        metrics: Those of the last step.
        first: Those of the first step that the journal holds.
        curves: `reward/score` and `kl/ref` of every step.
        sample: The newest prompt and response.
        health: The newest message of each code, oldest first.
        evaluation: The last evaluation's event.
        checkpoint: Path of the last checkpoint, relative to the run.
        said: The last line for people, such as what is being loaded.
        session_began: When the present worker was started, by the clock of then.
        last_time: When the last event was written, by the clock of then.
        took: Seconds from the start of this session to its last event. A gap that only a clock that
            was set can have made is left out.
        news: Events since `take_news`, for a viewer that prints one line after another.
    """

    run: RunDirectory
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    first: Mapping[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    sample: Sample | None = None
    health: dict[str, Health] = field(default_factory=dict)
    evaluation: Event | None = None
    checkpoint: str = ""
    said: str = ""
    device: str = ""
    session_began: float = 0.0
    last_time: float = 0.0
    took: float = 0.0
    news: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events = JournalTail(self.run.events_path)
        self._samples = JournalTail(self.run.samples_path)
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED_INTERVALS)
        self._previous: float | None = None
        self._begin_session()

    def _begin_session(self) -> None:
        launched = last_launch(self.run)
        self._launched = launched.process if launched is not None else None
        self.session_began = launched.time if launched is not None else 0.0
        self._in_session = False
        self.took = 0.0

    def poll(self) -> bool:
        """Read what is new; whether there was anything.

        Raises:
            RunError: A journal cannot be read (`run.journal`).
        """
        changed = False
        while True:
            try:
                events, samples = self._events.poll(), self._samples.poll()
            except OSError as error:
                where, reason = shown(error.filename or self.run.path), error.strerror
                raise RunError(
                    f"{where} cannot be read: {reason or type(error).__name__}", code="run.journal"
                ) from error
            if events.restarted:
                self._forget()
            if samples.restarted:
                self.sample = None
            for record in events.records:
                self._take(Event.from_json(record))
            if samples.records:
                self.sample = Sample.from_json(samples.records[-1])
            if not (events.records or samples.records or events.restarted):
                return changed
            changed = True

    def take_news(self) -> list[Event]:
        """The events since the last call."""
        news, self.news = self.news, []
        return news

    @property
    def seconds_so_far(self) -> float | None:
        """Seconds since the present worker was started, whatever was done to the clock since."""
        age = self._launched.age() if self._launched is not None else None
        return age if age is not None else self.took or None

    @property
    def seconds_per_step(self) -> float | None:
        """Mean duration of the last steps of this session; None before its second step."""
        if not self._intervals:
            return None
        return sum(self._intervals) / len(self._intervals)

    def seconds_left(self, total: int) -> float | None:
        """Seconds until `total` steps are done, at this session's own rate."""
        rate = self.seconds_per_step
        return None if rate is None or total <= 0 else max(0, total - self.step) * rate

    @property
    def terms(self) -> dict[str, float]:
        """The last step's reward term by term."""
        own = ("reward/score", "reward/total")
        return {
            name.removeprefix("reward/"): value
            for name, value in self.metrics.items()
            if name.startswith("reward/") and name not in own
        }

    def _take(self, event: Event) -> None:
        self.news.append(event)
        # Once it has begun, a session lasts even if the clock is set back behind its beginning.
        self._in_session |= event.time >= self.session_began
        if self._in_session:
            gap = event.time - (self.last_time or self.session_began)
            self.took += gap if 0 <= gap < _LONGEST_INTERVAL and self.session_began else 0.0
            self.last_time = event.time
        match event.kind:
            case "step":
                self._take_step(event)
            case "health":
                self._take_health(event)
            case "eval":
                self.evaluation = event
            case "checkpoint":
                path = _text(event.payload, "path")
                # A journal may come from elsewhere: no path of it leads out of the run.
                self.checkpoint = path if _CHECKPOINT.fullmatch(path) else self.checkpoint
            case "state":
                # The time until the next step is not a step's.
                if event.payload.get("state") in _NO_STEP:
                    self._previous = None
                self.said = event.message or self.said
            case "log":
                self.said = event.message or self.said
        self.device = str(_text(event.payload, "device") or self.device)

    def _take_step(self, event: Event) -> None:
        self.step = event.step if event.step is not None else self.step + 1
        self.metrics = event.metrics
        self.first = self.first or event.metrics
        self.said = ""
        for name in ("reward/score", "kl/ref"):
            if name in event.metrics:
                self.curves.setdefault(name, []).append(event.metrics[name])
        if self._in_session:
            if self._previous is not None and 0 <= event.time - self._previous < _LONGEST_INTERVAL:
                self._intervals.append(event.time - self._previous)
            self._previous = event.time

    def _take_health(self, event: Event) -> None:
        code = _text(event.payload, "code") or event.message
        self.health.pop(code, None)
        level, hint = _text(event.payload, "level"), _text(event.payload, "hint")
        self.health[code] = Health(event.step, level, event.message, hint)

    def _forget(self) -> None:
        """The journal was cut back by a resume: what it said before no longer holds."""
        self.step, self.metrics, self.first, self.curves = 0, {}, {}, {}
        self.health, self.evaluation, self.checkpoint, self.said = {}, None, "", ""
        self._intervals.clear()
        self._previous = None
        self.last_time = 0.0
        self._begin_session()


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    return value if isinstance(value, str) else ""
