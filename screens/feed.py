"""The one thread that reads runs, and the pulses it sends to whoever watches them.

Owned by the app, not by a screen: a screen that is left must not stop what another looks at, and a
run that is read once is read for all. A pulse is sent only when there is something new, so that a
terminal at the end of a slow line stays quiet while nothing happens.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from textual.message import Message
from textual.message_pump import MessagePump

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import shown
from ppo_tui.runs.state import Observed, observe

if TYPE_CHECKING:
    from ppo_tui.prepare.load import Load, LoadMeter
    from ppo_tui.runs.history import Batch

BUSY_SECONDS = 0.005
"""Pause between two readings of a journal that has more to read."""

LOAD_SECONDS = 2.0
"""Seconds between two looks at how busy the machine is."""

MOST_WAITING = 1
"""Pulses that may wait for their receiver; then it is not read further, so that a long journal that
is being parsed never holds up its own picture."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is new of a run.

    Attributes:
        batch: What its journal brought; None if nothing.
        seen: How the run is doing; None if that has not changed.
        problem: Why it cannot be read, in a sentence; empty if it can.
        load: How busy the machine is with it; None if nobody has looked.
    """

    batch: Batch | None = None
    seen: Observed | None = None
    problem: str = ""
    load: Load | None = None


class Source(Protocol):
    """What the feed reads."""

    def poll(self) -> Pulse | None:
        """What is new, or None; called in the feed's thread."""


@dataclass
class RunSource:
    """A run directory, as it grows."""

    run: RunDirectory
    _seen: Observed | None = field(init=False, default=None)
    _problem: str = field(init=False, default="")
    _meter: LoadMeter | None = field(init=False, default=None)
    _measured: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        # Here, because numpy comes with it, and the first picture of the app needs none.
        from ppo_tui.runs.history import HistoryReader

        self._reader = HistoryReader(self.run.events_path)

    def poll(self) -> Pulse | None:
        """What is new of the run."""
        try:
            # Before the journal: whoever learns that a run has ended has then seen all of it.
            seen = observe(self.run)
            batch = self._reader.poll()
        except PpoTuiError as error:
            return self._trouble(error.message)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return self._trouble(f"{shown(self.run.path)} cannot be read: {reason}")
        cured, self._problem = bool(self._problem), ""
        changed = seen != self._seen
        self._seen = seen
        load = self._measure(seen)
        if batch.empty and not changed and not cured and load is None:
            return None
        return Pulse(None if batch.empty else batch, seen if changed or cured else None, load=load)

    def _measure(self, seen: Observed) -> Load | None:
        """How busy the machine is, every few seconds while the worker is there."""
        process = seen.state.process
        if not seen.alive or process is None:
            self._meter = None
            return None
        if time.monotonic() - self._measured < LOAD_SECONDS:
            return None
        self._measured = time.monotonic()
        if self._meter is None:
            from ppo_tui.prepare.load import LoadMeter

            self._meter = LoadMeter(process.pid)
        return self._meter.look()

    def _trouble(self, problem: str) -> Pulse | None:
        if problem == self._problem:
            return None
        self._problem = problem
        return Pulse(problem=problem)


class FeedPulse(Message):
    """A pulse for its receiver, who says `taken` when it has dealt with it."""

    def __init__(self, subscription: Subscription, pulse: Pulse) -> None:
        super().__init__()
        self.subscription = subscription
        self.pulse = pulse

    def taken(self) -> None:
        """The receiver is ready for another."""
        self.subscription.waiting -= 1


class Subscription:
    """A receiver's place in the feed; `end` it when nobody looks any more."""

    def __init__(self, feed: Feed, source: Source, receiver: MessagePump) -> None:
        self.source = source
        self.receiver = receiver
        self.waiting = 0
        self._feed = feed

    def end(self) -> None:
        """Read no more; a second call does nothing."""
        self._feed.drop(self)


class Feed:
    """Reads all sources that somebody subscribes to, at most `hertz` times a second each."""

    def __init__(self, hertz: float) -> None:
        self.hertz = hertz
        self._subscriptions: list[Subscription] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    def subscribe(self, source: Source, receiver: MessagePump) -> Subscription:
        """Send what is new of a source to a receiver, as `FeedPulse`."""
        subscription = Subscription(self, source, receiver)
        with self._lock:
            self._subscriptions.append(subscription)
        if self._thread is None:
            # A daemon: a disk that hangs must not keep the app from ending.
            self._thread = threading.Thread(target=self._read, name="feed", daemon=True)
            self._thread.start()
        self._wake.set()
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Read for this receiver no more."""
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _read(self) -> None:
        while not self._ended:
            with self._lock:
                subscriptions = list(self._subscriptions)
            more = False
            for subscription in subscriptions:
                more |= self._serve(subscription)
            self._wake.wait(BUSY_SECONDS if more else 1 / self.hertz)
            self._wake.clear()

    def _serve(self, subscription: Subscription) -> bool:
        """Read a source once; whether it may have more to read."""
        if subscription.waiting >= MOST_WAITING:
            return False
        pulse = subscription.source.poll()
        if pulse is None:
            return False
        subscription.waiting += 1
        if not subscription.receiver.post_message(FeedPulse(subscription, pulse)):
            self.drop(subscription)
            return False
        return pulse.batch is not None and pulse.batch.read < 1
