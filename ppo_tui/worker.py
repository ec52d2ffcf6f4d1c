"""``python -m ppo_tui.worker RUN_DIR``: the background process that trains one run.

Started by `ppo_tui.runs.launch`, in a session of its own, with its output going to the run's
log.txt. All that others learn of it goes through the run directory.
"""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from ppo_tui.errors import ExitCode, PpoTuiError
from ppo_tui.libraries import prepare_libraries
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.lock import RunLock
from ppo_tui.runs.phase import Phase
from ppo_tui.training import watchdog

log = logging.getLogger("ppo_tui.worker")


class _StopSignal:
    """Remembers that the process was asked to end."""

    def __init__(self) -> None:
        self.received = False
        for name in ("SIGTERM", "SIGHUP", "SIGINT"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True


def main(arguments: list[str] | None = None) -> int:
    """Train the run whose directory is the one argument; returns an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m ppo_tui.worker RUN_DIR", file=sys.stderr)  # noqa: T201
        return ExitCode.USAGE
    if sys.__stderr__ is not None:
        watchdog.enable(sys.__stderr__)
    prepare_libraries(sys.stdout)
    stop = _StopSignal()
    try:
        run = RunDirectory.open(Path(arguments[0]))
        with RunLock(run):
            # Here, because torch takes seconds to import and the lock must not wait for it.
            from ppo_tui.training.session import Session

            phase = Session(run, lambda: stop.received).execute()
    except PpoTuiError as error:
        # In this form `runs.last_words` finds it, where the run's state could not be written.
        hint = f" [{error.hint}]" if error.hint else ""
        log.error("%s: %s%s", error.code, error.message, hint, exc_info=error.__cause__ or error)
        return error.exit_code
    # Whoever reads the log sees the traceback; the run's state says what happened in a sentence.
    except Exception:
        log.exception("The worker failed.")
        return ExitCode.FAILED
    return ExitCode.STOPPED if phase is Phase.STOPPED else ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
