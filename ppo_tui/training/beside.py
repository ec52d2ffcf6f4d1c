"""Work of the CPU beside that of the model: one piece at a time, in a thread of its own.

While a GPU works, Python only waits; and what torch does on the CPU lets other threads run. The
thread does not keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")

_LOOK = 0.5
"""Seconds between two looks at a piece of work that may take a limited time."""


class NotInTime(Exception):
    """A piece of work has not come to its end within its time; it may still go on."""


class Beside(Generic[Result]):
    """A piece of work that has been begun.

    Args:
        work: What is to be done. It must not touch what its maker changes meanwhile.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="beside")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # whoever waits for the result gets it
            self._error = error

    def settle(self) -> None:
        """Wait for the end, whatever it is."""
        self._thread.join()

    def result(
        self, seconds: float | None = None, every_look: Callable[[], None] | None = None
    ) -> Result:
        """Wait for the end, and return or raise what the work did.

        Args:
            seconds: Longest that this waits, in seconds in which the process itself could run: a
                process that was halted, or a machine that slept, has not waited meanwhile.
            every_look: Called about twice a second while this waits.

        Raises:
            NotInTime: The time is over.
        """
        waited = 0.0
        while self._thread.is_alive():
            if every_look is not None:
                every_look()
            left = _LOOK if seconds is None else min(_LOOK, seconds - waited)
            if left <= 0:
                raise NotInTime
            self._thread.join(left)
            waited += left
        if self._error is not None:
            raise self._error
        return self._result[0]
