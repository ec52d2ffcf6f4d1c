"""What goes wrong in a run, in words: the cause with its numbers, and the remedy.

For viewers, of running runs and of finished ones. Takes the metrics of one step after another; what
it looks for stands in `runs.symptoms`. A finding comes when something has been wrong for some steps
and goes when it has been well for as many, so that a health line does not flicker. The worker's own
self-checks, which see more than metrics, are brought into the same form by `from_health`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ppo_tui.runs.course import START, Change, Course
from ppo_tui.runs.records import Event
from ppo_tui.runs.symptoms import RULES, Rule, Symptom

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig

__all__ = ["Change", "Diagnostician", "Finding", "from_health"]

_NEWEST = 256
_OLDER = 768

Step = tuple[int, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with a run.

    Attributes:
        code: Stable, `diagnosis.…` or `health.…`.
        level: `warning` or `error`.
        title: It, in few words.
        cause: One or two sentences with the numbers.
        remedy: What to do about it, in a sentence.
        change: The setting that would do it, where there is one.
        since_step: The step at which it began.
    """

    code: str
    level: str
    title: str
    cause: str
    remedy: str
    change: Change | None
    since_step: int | None


class Diagnostician:
    """Watches the metrics of a run.

    `observe` is cheap, and the looking is left to `findings`. Where many steps come between two
    calls, as when a long run is opened, the older of them are looked at more coarsely.

    Args:
        config: What the run is, where that is known; remedies fit it better then.
        budget_gib: Memory that the run may use: what the card has for its allocator.
    """

    def __init__(self, config: RunConfig | None = None, budget_gib: float | None = None) -> None:
        self._config, self._budget_gib = config, budget_gib
        self.forget()

    def forget(self) -> None:
        """Begin anew, as with a journal that was cut back."""
        self._course = Course(self._config, self._budget_gib)
        self._watches = [_Watch(rule) for rule in RULES]
        self._waiting = _Waiting()
        self._last_step: int | None = None
        self._found: tuple[Finding, ...] = ()

    def observe(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in a step; one that is not after the last one begins the run anew."""
        if self._last_step is not None and step <= self._last_step:
            self.forget()
        self._last_step = step
        self._waiting.add((step, metrics))

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong as of the last step, the gravest first."""
        steps, self._waiting = self._waiting.steps, _Waiting()
        if steps:
            self._look(steps)
            found = [watch.finding for watch in self._watches if watch.finding]
            self._found = tuple(sorted(found, key=lambda finding: finding.level != "error"))
        return self._found

    def _look(self, steps: list[Step]) -> None:
        for step, metrics in steps:
            self._course.take(metrics)
            for watch in self._watches:
                watch.look(step, self._course)


class _Waiting:
    """Steps that nobody has looked at yet.

    The first and the newest of them, and evenly some of those between, however many there were.
    """

    def __init__(self) -> None:
        self._first: list[Step] = []
        self._older: list[Step] = []
        self._newest: deque[Step] = deque()
        self._stride, self._passed = 1, 0

    def add(self, step: Step) -> None:
        if len(self._first) < START:
            self._first.append(step)
            return
        self._newest.append(step)
        if len(self._newest) <= _NEWEST:
            return
        passed = self._newest.popleft()
        if self._passed % self._stride == 0:
            self._older.append(passed)
        self._passed += 1
        if len(self._older) > _OLDER:
            del self._older[1::2]
            self._stride *= 2

    @property
    def steps(self) -> list[Step]:
        return [*self._first, *self._older, *self._newest]


class _Watch:
    """One rule over time: patient before it speaks and before it is quiet again."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._ill = self._well = 0
        self._since = 0
        self.finding: Finding | None = None

    def look(self, step: int, course: Course) -> None:
        symptom = self._rule.look(course, self.finding is not None)
        if symptom is None:
            self._ill, self._well = 0, self._well + 1
            if self._well >= self._rule.patience:
                self.finding = None
            return
        if not self._ill and self.finding is None:
            self._since = step
        self._ill, self._well = self._ill + 1, 0
        if self.finding is not None or self._ill >= self._rule.patience:
            self.finding = _finding(self._rule.code, symptom, self._since)


def from_health(event: Event, config: RunConfig | None = None) -> Finding:
    """The finding in a health event of the worker's.

    One that the metrics show as well gets the code that `Diagnostician` has for it.

    Args:
        event: Of kind `health`.
        config: What the run is, where that is known.
    """
    code = _text(event, "code") or "health"
    title, change = _KNOWN.get(code, (_words(code), None))
    if code == "health.sampler_cut" and config is not None and config.rollout.top_p == 1:
        change = Change("rollout.top_k", 0, live=False)
    return Finding(
        code=_SAME.get(code, code),
        level="error" if _text(event, "level") == "error" else "warning",
        title=title,
        cause=event.message,
        remedy=_text(event, "hint"),
        change=change,
        since_step=event.step,
    )


def _finding(code: str, symptom: Symptom, since: int) -> Finding:
    return Finding(
        code, symptom.level, symptom.title, symptom.cause, symptom.remedy, symptom.change, since
    )


_SAME = {
    "health.ratio_first": "diagnosis.ratio_first",
    "health.no_signal": "diagnosis.reward_flat",
}

_KNOWN: Mapping[str, tuple[str, Change | None]] = {
    "health.pad_is_eos": ("Filler token is an end token", None),
    "health.sampler_cut": ("Sampler is cut", Change("rollout.top_p", 1.0, live=False)),
    "health.no_kl_penalty": ("No KL penalty", Change("kl_coef", 0.05, live=True)),
    "health.ratio_first": (
        "Ratio not 1 at the start",
        Change("model.dtype", "float32", live=False),
    ),
    "health.optimizer_steps": ("Optimiser steps missing", None),
    "health.negative_k3": ("KL estimate is broken", None),
    "health.grad_norm": ("Gradient not clipped", None),
    "health.no_signal": ("Reward is flat", None),
    "health.few_tokens": (
        "Too few tokens to whiten",
        Change("ppo.whiten_advantages", False, live=False),
    ),
    "health.whitening": ("Advantages not whitened", None),
    "health.step_undone": ("A step was undone", None),
    "health.disk": ("Disk will be full", None),
}


def _words(code: str) -> str:
    """A title for a code of a newer worker."""
    return code.rpartition(".")[2].replace("_", " ").capitalize()


def _text(event: Event, key: str) -> str:
    value = event.payload.get(key)
    return value if isinstance(value, str) else ""
