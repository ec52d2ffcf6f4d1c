"""A run's metrics as far as a diagnosis needs them, and the settings that would change its course.

For `runs.symptoms`. Keeps the first steps and the last ones, whatever the length of a run. A metric
that a journal lacks is NaN.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig

WINDOW = 5
"""Steps whose median stands for now: one odd step is no news."""

START = 3
"""First steps whose median stands for the base model."""

LONG = 24
"""Steps that are kept, to tell noise from movement."""

Value = float | int | str | bool

# A gradient norm is absent where a step stopped before its first update, distinct pairs where
# answers are one word long.
ALWAYS_FINITE = (
    "reward/score",
    "policy/loss",
    "value/loss",
    "kl/ref",
    "policy/entropy",
    "policy/approx_kl",
)

_WATCHED = (
    *ALWAYS_FINITE,
    "policy/clip_fraction",
    "policy/ratio_first",
    "value/explained_variance",
    "response/length",
    "response/eos_rate",
    "response/distinct_2",
    "reward/length",
    "optim/grad_norm",
)


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that would help.

    Attributes:
        key: `kl_coef` or `lr` where `live`, else the setting's dotted name.
        value: What to set it to.
        live: It can be set in the running run, by `ppo_tui.runs.control`; else in a new run.
    """

    key: str
    value: Value
    live: bool


class Course:
    """The metrics of a run as far as the rules need them: its first steps and its last ones.

    Args:
        config: What the run is, where that is known; the remedies fit it better then.
        budget_gib: Memory that the run may use, where that is known.
    """

    def __init__(self, config: RunConfig | None = None, budget_gib: float | None = None) -> None:
        self.config = config
        self.budget_gib = budget_gib
        self.seen = 0
        self.latest: Mapping[str, float] = {}
        self._first: dict[str, list[float]] = {}
        self._last: dict[str, deque[float]] = {}

    def take(self, metrics: Mapping[str, float]) -> None:
        """Note one more step."""
        self.seen += 1
        self.latest = metrics
        for name in _WATCHED:
            value = metrics.get(name, math.nan)
            if math.isfinite(value):
                first = self._first.setdefault(name, [])
                if len(first) < START:
                    first.append(value)
                self._last.setdefault(name, deque(maxlen=LONG)).append(value)

    def start(self, name: str) -> float:
        """The metric as it was in the first steps."""
        first = self._first.get(name, [])
        return median(first) if len(first) == START else math.nan

    def now(self, name: str, window: int = WINDOW) -> float:
        """The metric as it is in the last steps."""
        last = self._last.get(name, ())
        return median(list(last)[-window:]) if len(last) >= min(window, WINDOW) else math.nan

    def noise(self, name: str) -> float:
        """Deviation of a step from its neighbours: what moves without going anywhere."""
        last = list(self._last.get(name, ()))
        if len(last) < WINDOW:
            return math.nan
        # For normal noise, the median distance of two neighbours is 0.954 deviations.
        return median(abs(b - a) for a, b in pairwise(last)) / 0.954

    def raised_kl_coef(self) -> Change:
        """Twice the KL coefficient of now."""
        coef = self.latest.get("kl/coef", math.nan)
        return Change("kl_coef", short(2 * coef) if coef > 0 else 0.05, live=True)

    def scaled_lr(self, factor: float) -> Change | None:
        """The learning rate of now, times a factor."""
        rate = self.latest.get("optim/lr", math.nan)
        return Change("lr", short(rate * factor), live=True) if rate > 0 else None


def short(value: float) -> float:
    """Two digits are enough for a rate that is a guess."""
    return float(f"{value:.2g}")
