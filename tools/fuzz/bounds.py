"""What one input may cost: seconds of the processor, seconds of the clock, and memory."""

from __future__ import annotations

import contextlib
import faulthandler
import resource
import signal
from collections.abc import Iterator
from types import FrameType

import psutil

SECONDS = 15.0
"""Of the processor, for one input."""

PATIENCE = 120.0
"""Seconds of the clock, for one input: it might wait for something that never comes."""

ROOM = 1 << 30
"""Bytes of address space that a part may take beyond what it began with."""


class Hangs(BaseException):
    """An input took too long; not an Exception, so that nothing on its way takes it for one."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise Hangs(f"longer than {SECONDS:g} s of the processor, or {PATIENCE:g} s of the clock")


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raise `Hangs` if what is inside takes too long; show where, and end, if even that hangs."""
    before = [signal.signal(name, _too_long) for name in (signal.SIGPROF, signal.SIGALRM)]
    faulthandler.dump_traceback_later(2 * PATIENCE, exit=True)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    # The test runner may have a clock of its own, which goes on afterwards.
    clock = signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        for name, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(name, handler)
        signal.setitimer(signal.ITIMER_REAL, *clock)


@contextlib.contextmanager
def in_room() -> Iterator[None]:
    """Let allocations fail with MemoryError once the process has taken `ROOM` more than now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def peak_mib() -> float:
    """The most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
