"""What is known of the run on the screen: its columns, smoothed courses, findings and last words.

Fed with the batches of the feed, in the event loop, so everything here is cheap or put off until it
is asked for. Draws nothing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from ppo_tui.runs.diagnosis import Diagnostician, Finding, from_health
from ppo_tui.runs.history import Batch, Block, Floats, History
from ppo_tui.runs.records import Event

from .widgets.raster import Smoother

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig
    from ppo_tui.prepare.load import Load

_DIAGNOSED_A_BATCH = 48
"""Steps of a batch that are looked at for what goes wrong; a journal is read 1,000 at a time."""

_RATE_STEPS = 30
_MOST_LOADS = 2000

LONGEST_GAP = 86_400.0
"""Seconds beyond which two steps lie apart because the clock was set."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to one of the watched prompts.

    Attributes:
        text: The response.
        score: Its score; NaN if it has none.
        step: As of which step it was given.
    """

    text: str
    score: float
    step: int


class RunStory:
    """One run as its journal tells it.

    Attributes:
        history: The metrics of all steps.
        evaluation: The last evaluation.
        base: Watched prompt to the base model's answer, in the order of the journal.
        now: Watched prompt to the policy's newest answer.
        said: The last line for people that is still true.
        read: How much of the journal has been read, from 0 to 1.
        answers: Requests that the worker has answered: id to words.
    """

    def __init__(self, session_began: float = 0.0) -> None:
        self.history = History()
        self._mark: float | None = None
        self._marked_at = 0.0
        self.session_began = session_began
        self.read = 0.0
        self._smoothers: dict[tuple[str, float], Smoother] = {}
        self._diagnostician = Diagnostician()
        self._config: RunConfig | None = None
        self._budget_gib: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.evaluation: Event | None = None
        self.base: dict[str, Answer] = {}
        self.now: dict[str, Answer] = {}
        self.said = ""
        self.answers: dict[str, str] = {}
        self._health: dict[str, Finding] = {}
        self._loads: dict[str, deque[tuple[float, float]]] = {}

    def describe(self, config: RunConfig, budget_gib: float | None) -> None:
        """Tell what the run is, and what memory it may use; findings fit it better then."""
        self._config, self._budget_gib = config, budget_gib
        self._diagnostician = Diagnostician(config, budget_gib)
        self._diagnose(self._everything())

    def take(self, batch: Batch) -> None:
        """Take in what the journal brought."""
        if batch.restarted:
            self.history.clear()
            self._smoothers.clear()
            self._diagnostician.forget()
            self._begin()
        if batch.glance is not None:
            self.history.glance(batch.glance)
        self.read = batch.read
        self.history.extend(batch.block)
        self._diagnose(batch.block)
        for event in batch.events:
            self._take_event(event)
        if len(batch.block):
            self.said = ""

    def take_load(self, load: Load) -> None:
        """Take in how busy the machine is; it is drawn over the step that it was seen at."""
        for name, value in (
            ("load/gpu", load.gpu),
            ("load/cpu", load.cpu),
            ("load/gpu_memory", load.gpu_memory),
            ("load/resident", load.resident),
        ):
            if math.isfinite(value):
                seen = self._loads.setdefault(name, deque(maxlen=_MOST_LOADS))
                seen.append((float(self.history.last_step), value))

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric there is, and what was seen of the machine."""
        return (*self.history.names, *self._loads)

    def series(self, name: str) -> tuple[Floats, Floats]:
        """Steps and values of a metric; see `History.series`."""
        if name in self._loads:
            pairs = np.array(self._loads[name])
            return pairs[:, 0], pairs[:, 1]
        return self.history.series(name)

    def smooth(self, name: str, weight: float) -> Floats | None:
        """The smoothed course of a metric, one value a step; None if nothing is to be smoothed.

        While a long journal is still being read, what is shown of its rest is not smoothed.
        """
        if not weight or not self.history.complete or name in self._loads:
            return None
        smoother = self._smoothers.get((name, weight))
        if smoother is None:
            smoother = self._smoothers[name, weight] = Smoother(weight)
        _, values = self.history.series(name)
        smoother.extend(values[len(smoother) :])
        return smoother.values

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong: what the metrics show, then what only the worker could see."""
        seen = self._diagnostician.findings()
        codes = {finding.code for finding in seen}
        own = tuple(finding for code, finding in self._health.items() if code not in codes)
        return tuple(sorted((*seen, *own), key=lambda finding: finding.level != "error"))

    @property
    def share_of_optimum(self) -> float | None:
        """What the last evaluation found the run to have reached; None if there was none."""
        found = self.evaluation.metrics.get("eval/share_of_optimum") if self.evaluation else None
        return found if found is not None and math.isfinite(found) else None

    @property
    def seconds_per_step(self) -> float | None:
        """The median duration of the last steps of this session; None before its second step.

        The median, because a pause or an evaluation between two steps is not a step's time.
        """
        _, times = self.history.times()
        recent = times[-_RATE_STEPS - 1 :]
        recent = recent[np.isfinite(recent)]
        # With the clock set back behind the session's beginning, the beginning tells nothing.
        if len(recent) and recent[-1] >= self.session_began:
            recent = recent[recent >= self.session_began]
        gaps = np.diff(recent)
        gaps = gaps[(gaps >= 0) & (gaps < LONGEST_GAP)]
        return float(np.median(gaps)) if len(gaps) else None

    def seconds_still(self, mark: float) -> float:
        """Seconds for which `mark` has not changed, as far as has been seen here.

        Counted by this viewer's own clock: when the run was last heard of stands in its files by a
        clock that may have been set since.
        """
        if mark != self._mark:
            self._mark, self._marked_at = mark, monotonic()
        return monotonic() - self._marked_at

    def seconds_left(self, total: int) -> float | None:
        """Seconds until `total` steps are done, at this session's own rate."""
        rate = self.seconds_per_step
        if rate is None or total <= 0:
            return None
        return max(0, total - self.history.last_step) * rate

    # ---- inside

    def _take_event(self, event: Event) -> None:
        payload = event.payload
        if event.request:
            self.answers[event.request] = event.message or str(payload.get("state") or event.kind)
        match event.kind:
            case "health":
                finding = from_health(event, self._config)
                self._health.pop(finding.code, None)
                self._health[finding.code] = finding
            case "eval":
                self.evaluation = event
                for pair in _objects(payload.get("pairs")):
                    self._answer(self.base, pair, "base", event.step)
                    self._answer(self.now, pair, "tuned", event.step)
            case "answers":
                book = self.base if payload.get("who") == "base" else self.now
                for answer in _objects(payload.get("answers")):
                    self._put(book, answer.get("prompt"), answer.get("response"),
                              answer.get("score"), event.step)  # fmt: skip
            case "state" | "log":
                self.said = event.message or self.said

    def _answer(
        self, book: dict[str, Answer], pair: dict[str, Any], who: str, step: int | None
    ) -> None:
        # The watched prompts' own answers are as of more steps; an evaluation only fills gaps.
        prompt = pair.get("prompt")
        if who == "tuned" or prompt not in book:
            self._put(book, prompt, pair.get(who), pair.get(f"{who}_score"), step)

    @staticmethod
    def _put(book: dict[str, Answer], prompt: Any, text: Any, score: Any, step: int | None) -> None:
        if isinstance(prompt, str) and isinstance(text, str):
            known = float(score) if isinstance(score, int | float) else math.nan
            book[prompt] = Answer(text, known, step or 0)

    def _everything(self) -> Block:
        history = self.history
        steps = history.series("reward/score")[0]
        columns = {name: history.series(name)[1] for name in history.names}
        return Block(steps, history.times()[1], columns)

    def _diagnose(self, block: Block) -> None:
        count = len(block)
        if not count:
            return
        # Evenly spread over a long block; all of a short one.
        rows = sorted({count - 1 - index * count // _DIAGNOSED_A_BATCH
                       for index in range(_DIAGNOSED_A_BATCH)
                       if index * count // _DIAGNOSED_A_BATCH < count})  # fmt: skip
        names = list(block.columns)
        for row in rows:
            self._diagnostician.observe(
                int(block.steps[row]), {name: float(block.columns[name][row]) for name in names}
            )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
