"""When an answer counts: once for a press of a key, and not before its text could be seen.

A key that is held down repeats itself some thirty times a second, and keys that were typed while
the terminal stood still come all at once. Neither may rate texts that nobody has read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SEEN_SECONDS = 0.35
"""How long a text must have stood on the screen; nobody reads faster."""

HELD_SECONDS = 0.7
"""The same for the key that gave the answer before: a key that is held down begins to repeat after
a quarter to two thirds of a second."""

REPEAT_SECONDS = 0.15
"""Presses closer to each other are a held key's: a finger is slower."""


class Pace:
    """Judges presses by their time.

    Args:
        seen: Seconds that a text must have stood.
        held: The same for the key of the last answer.
        repeat: Presses that are closer are one.
        clock: Seconds of a steady clock.
    """

    def __init__(
        self,
        seen: float = SEEN_SECONDS,
        held: float = HELD_SECONDS,
        repeat: float = REPEAT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seen, self._held, self._repeat = seen, held, repeat
        self._clock = clock
        self._shown: float | None = None
        self._pressed = float("-inf")
        self._last: object = None

    def hidden(self) -> None:
        """Another text is to be shown, and is not painted yet."""
        self._shown = None

    def shown(self) -> None:
        """It is painted."""
        self._shown = self._clock()

    def takes_back(self) -> bool:
        """Whether a press that takes an answer back counts: it needs no text."""
        return not self._is_repeat()

    def takes(self, answer: object) -> bool:
        """Whether a press counts as the answer to what is shown."""
        if self._is_repeat() or self._shown is None:
            return False
        stood = self._clock() - self._shown
        if stood < (self._held if answer == self._last else self._seen):
            return False
        self._last = answer
        return True

    def _is_repeat(self) -> bool:
        now = self._clock()
        before, self._pressed = self._pressed, now
        return now - before < self._repeat
