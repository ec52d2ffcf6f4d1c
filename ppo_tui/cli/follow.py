"""Follow a run until it ends, or until the user looks away.

The worker is a process of its own in a session of its own: Ctrl-C never reaches it. What Ctrl-C
means here is the caller's choice: stop the run, or only stop looking.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import Popen
from types import FrameType

from ppo_tui.cli.view import open_view
from ppo_tui.errors import RunBusy
from ppo_tui.runs.control import post
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.last_words import last_words
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.lock import holder
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.records import ErrorInfo
from ppo_tui.runs.state import Observed, observe

POLL_SECONDS = 0.1

LINGERING_SECONDS = 15.0
"""How long a worker whose run has ended may take to go before it is no longer waited for."""

FOOTER_STOP = "Ctrl-C: finish this step, save and stop. Twice: stop now."
FOOTER_WATCH = "Ctrl-C: stop watching; the run goes on."

_STOPS = (
    ("save", "Stopping after this step, with a checkpoint. Ctrl-C again: stop at once."),
    ("now", "Stopping now. Ctrl-C again: leave without waiting."),
)


@dataclass(frozen=True)
class Followed:
    """How following a run ended.

    Attributes:
        phase: What the run was doing last, or how it ended.
        step: Steps that were done.
        total: Steps that were planned.
        error: Why it failed or crashed.
        progress: What its journals told.
        left: The user looked away while the run went on.
        signal: The signal that ended the following, or 0.
    """

    phase: Phase
    step: int
    total: int
    error: ErrorInfo | None
    progress: Progress
    left: bool = False
    signal: int = 0


def follow(run: RunDirectory, *, stops: bool, worker: Popen[bytes] | None = None) -> Followed:
    """Show a run until it ends.

    Args:
        run: The run.
        stops: Whether Ctrl-C stops the run (first with a checkpoint, then at once, then leaves), or
            only ends the following.
        worker: The worker, where this process started it.

    Raises:
        RunError: The run directory cannot be read any more.
        StorageError: A request to stop cannot be written.
    """
    progress = Progress(run)
    footer, asked, ended_at = FOOTER_STOP if stops else FOOTER_WATCH, 0, 0.0
    left = False
    with _signals() as signals, _terminal_may_go(signals), open_view(run, progress) as view:
        while True:
            gone = worker is not None and worker.poll() is not None
            seen = observe(run)  # before the journals, so that the last look misses nothing
            view.update(seen, footer)
            if seen.ended:
                ended_at = ended_at or time.monotonic()
                lingers = worker is not None and time.monotonic() - ended_at < LINGERING_SECONDS
                if not lingers:
                    break
            if gone or signals.other:
                left = not gone
                break
            if signals.interrupts > asked:
                if not stops or asked == len(_STOPS):
                    left = True
                    break
                mode, footer = _STOPS[asked]
                asked += 1
                post(run, "stop", mode=mode)
                view.note(footer)
            time.sleep(POLL_SECONDS)
        view.end(seen)
    left |= bool(signals.other) and not gone and not seen.ended
    error = None if left else _error_of(run, seen, progress, worker)
    phase = Phase.CRASHED if error and error.code == "run.crashed" else seen.phase
    state = seen.state
    return Followed(phase, state.step, state.total, error, progress, left, signals.other)


def _error_of(
    run: RunDirectory, seen: Observed, progress: Progress, worker: Popen[bytes] | None
) -> ErrorInfo | None:
    exit_code = worker.poll() if worker is not None else None
    if exit_code is not None and worker is not None and not _spoke(run, seen, worker):
        if seen.alive:  # the run was taken by another in the same instant
            by = holder(run) or seen.state.process
            return ErrorInfo(
                RunBusy.default_code,
                f"another worker holds {shown(run.name)}: process {by.pid if by else 'unknown'}",
                f"`ppo-tui watch {shown(run.name)}` follows it.",
            )
        if exit_code or not seen.ended:
            return last_words(run, last_launch(run)) or ErrorInfo(
                "run.crashed",
                f"the worker ended before it began (exit code {exit_code})",
                f"Its last output is in {shown(run.log_path)}.",
            )
    if seen.phase is not Phase.CRASHED or seen.error is None or seen.last_words is not None:
        return seen.error
    message = seen.error.message
    if exit_code is not None and exit_code < 0:
        message = f"{message}; it was killed by {_signal_name(-exit_code)}"
    hint = f"Its last output is in {shown(run.log_path)}; go on from the last checkpoint with"
    return ErrorInfo(seen.error.code, message, f"{hint} `ppo-tui resume {shown(run.name)}`.")


def _spoke(run: RunDirectory, seen: Observed, worker: Popen[bytes]) -> bool:
    """Whether the worker wrote the state, and not one of an earlier session."""
    wrote, launched = seen.state.process, last_launch(run)
    if wrote is None or wrote.pid != worker.pid:
        return False
    # A number comes again, after a reboot above all.
    started_it = launched is not None and launched.process.pid == worker.pid
    return launched is None or not started_it or launched.process.is_same_as(wrote)


def _signal_name(number: int) -> str:
    if number == getattr(signal, "SIGKILL", None):
        return "SIGKILL, as the system does when memory runs out"
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


class _Signals:
    """Counts Ctrl-C; remembers SIGTERM and SIGHUP, so that the terminal is put right first."""

    def __init__(self) -> None:
        self.interrupts = 0
        self.other = 0

    def on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupts += 1

    def on_other(self, number: int, _frame: FrameType | None) -> None:
        self.other = number


@contextlib.contextmanager
def _terminal_may_go(signals: _Signals) -> Iterator[None]:
    """Let a terminal that was closed take nothing more: there is nobody left to be told."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO or not signals.other:
            raise


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    seen = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {signal.SIGINT: signal.signal(signal.SIGINT, seen.on_interrupt)}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What is ignored, as under nohup, stays ignored.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, seen.on_other)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
