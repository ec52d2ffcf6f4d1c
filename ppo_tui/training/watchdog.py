"""Ends a process that a reward holds in its grip: the last resort behind the reward's timeout.

A timeout is a matter of Python's other threads, and code in C that keeps the interpreter to itself
(a regular expression that backtracks for ever, say) lets none of them run. So while a reward is
asked the kernel counts the processor time that passes, and the timer is wound up again as long as
another thread gets a turn. When it runs out, the threads' tracebacks are written to the log and the
process ends by the signal; the run reads as crashed, and goes on from its last checkpoint.

Processor time, because a process that was halted, or a machine that slept, must not be ended for
it.
"""

from __future__ import annotations

import faulthandler
import signal
from typing import TextIO

GRACE = 3.0
"""Seconds of processor time beyond the reward's own."""

_armed = False


def enable(log: TextIO) -> None:
    """Have the watchdog in this process; for the worker alone.

    Args:
        log: Where the tracebacks go; a real file.
    """
    global _armed
    if hasattr(signal, "setitimer") and hasattr(faulthandler, "register"):
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGVTALRM, file=log, all_threads=True, chain=True)
        _armed = True


def wind_up(seconds: float) -> None:
    """Let the process live for so many more seconds of processor time."""
    if _armed:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)


def stop() -> None:
    """Stop counting."""
    if _armed:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
