"""The curves of one run among several: any metric over steps or over time at work, smoothed.

For the compare screen. Fed with the feed's batches in the event loop; draws nothing.
"""

from __future__ import annotations

import math

import numpy as np

from ppo_tui.runs.history import Batch, Floats, History

from .widgets.raster import Smoother

LONGEST_WAIT = 60.0
"""Seconds between two steps; more than this, and than 20 usual steps, was a pause."""

_USUAL_STEPS = 20


class RunCurves:
    """The columns of a run, and what is derived from them."""

    def __init__(self) -> None:
        self._history = History()
        self._smoothers: dict[tuple[str, float], Smoother] = {}
        self._elapsed: tuple[tuple[int, int, bool], Floats] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every metric that the run has."""
        return self._history.names

    @property
    def complete(self) -> bool:
        """Whether every step is read that a glance at the journal has seen."""
        return self._history.complete

    @property
    def last_step(self) -> int:
        """The newest step that is known."""
        steps, _ = self._history.times()
        return int(steps[-1]) if len(steps) else 0

    def take(self, batch: Batch) -> None:
        """Take in what the journal brought."""
        if batch.restarted:
            self._history.clear()
            self._smoothers.clear()
        if batch.glance is not None:
            self._history.glance(batch.glance)
        self._history.extend(batch.block)

    def axis(self, *, by_time: bool) -> Floats:
        """Where the points lie, ``[N]``: their steps, or the seconds at work when they came."""
        steps, times = self._history.times()
        if not by_time:
            return steps
        key = (self._history.generation, len(steps), self._history.complete)
        if self._elapsed is None or self._elapsed[0] != key:
            self._elapsed = (key, time_at_work(times))
        return self._elapsed[1]

    def values(self, name: str, weight: float = 0.0) -> Floats:
        """The values of a metric, ``[N]``, smoothed with `weight` once all of them are read."""
        _, values = self._history.series(name)
        if not weight or not self._history.complete:
            return values
        smoother = self._smoothers.get((name, weight))
        if smoother is None:
            smoother = self._smoothers[name, weight] = Smoother(weight)
        smoother.extend(values[len(smoother) :])
        return smoother.values

    def read(self, name: str, place: int | None, *, by_time: bool) -> float:
        """The value as it was measured at a place on the axis, or the newest; NaN if none is."""
        values = self.values(name)
        if place is None:
            return float(values[-1]) if len(values) else math.nan
        row = int(np.searchsorted(self.axis(by_time=by_time), place, side="right")) - 1
        return float(values[row]) if 0 <= row < len(values) else math.nan


def time_at_work(times: Floats) -> Floats:
    """Seconds since the first step, without the pauses between two sessions of the worker.

    Args:
        times: Unix seconds of each step, ``[N]``.

    Returns:
        Ascending seconds from 0, ``[N]``.
    """
    if not len(times):
        return times
    gaps = np.diff(times)
    known = gaps[np.isfinite(gaps) & (gaps >= 0)]
    usual = float(np.median(known)) if len(known) else 0.0
    pause = ~np.isfinite(gaps) | (gaps < 0) | (gaps > max(LONGEST_WAIT, _USUAL_STEPS * usual))
    return np.concatenate(([0.0], np.cumsum(np.where(pause, usual, gaps))))
