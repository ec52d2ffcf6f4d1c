"""Work of the CPU beside that of the model: one piece at a time, in a thread of its own.

While a GPU works, Python only waits; and what torch does on the CPU lets other threads run. The
thread does not keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


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

    def result(self) -> Result:
        """Wait for the end, and return or raise what the work did."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result[0]
