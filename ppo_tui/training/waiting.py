"""One waiting for ratings: whether it is over, and what it is waiting for, in words."""

from __future__ import annotations

import time

from ppo_tui.training.taste import Taste


class Wait:
    """The run rests until enough ratings are there to go on with.

    Args:
        taste: The ratings.
        timeout_minutes: How long people may take; None waits for ever. Time that a machine sleeps
            does not count where the system's steady clock does not count it.
    """

    def __init__(self, taste: Taste, timeout_minutes: float | None) -> None:
        self._taste = taste
        self._began = time.monotonic()
        self._timeout = None if timeout_minutes is None else 60 * timeout_minutes

    @property
    def needed(self) -> bool:
        """Whether there are too few ratings, or none that say anything."""
        return self._taste.lacking

    def paused(self, seconds: float) -> None:
        """Nobody was asked for so long."""
        self._began += seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._timeout is not None and time.monotonic() - self._began > self._timeout

    @property
    def words(self) -> str:
        """What is waited for."""
        given, wanted = self._taste.given, self._taste.wanted
        words = f"{min(given, wanted)} of {wanted} ratings"
        if given >= wanted and self._taste.problem:
            words = f"{given} ratings: {self._taste.problem}"
        if self._taste.trouble:
            return f"{words}; {self._taste.trouble}"
        foreign, damaged = self._taste.foreign, self._taste.damaged
        if foreign:
            words += f"; {foreign} of another base are left out"
        return f"{words}; damaged lines: {damaged}" if damaged else words

    def give_up(self) -> str:
        """Go on with what there is, if that is possible; says what came of it."""
        if self._taste.problem and self._taste.alone:
            return f"The run cannot go on yet: {self._taste.problem}"
        self._taste.go_on()
        return f"The run goes on with {self._taste.given} ratings."
