"""The process that advises whoever rates: chooses the next questions, tells what was learnt.

    python -m ppo_tui.rater RUN_DIR --rater NAME

Speaks as `ppo_tui.rating_talk` says, on stdin and stdout, and ends when stdin does. Looks at the
run directory by itself, once a second, and whenever it is asked.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ppo_tui.errors import ExitCode, PpoTuiError
from ppo_tui.libraries import log_to
from ppo_tui.rating_talk import (
    Failure,
    Questions,
    Ready,
    Reply,
    Taught,
    Want,
    encode,
    read_request,
)
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.spoken import end, take_over_stdout

if TYPE_CHECKING:
    from ppo_tui.taste.adviser import Adviser

log = logging.getLogger("ppo_tui.rater")

Say = Callable[[Reply], None]

LOOK_SECONDS = 1.0
"""How often the files are looked at while nobody asks."""

LESSON_SECONDS = 30.0
"""How often the lesson is told anew while only the texts change."""

LESSON_PAUSES = 3.0
"""After a lesson, how many times as long as it took the processor is left to others."""

_USAGE = "usage: python -m ppo_tui.rater RUN_DIR --rater NAME"


class Wishes:
    """What is asked on stdin, read in a thread of its own; only the newest wish is kept.

    When stdin ends, so does the process, in whatever it is doing.

    Args:
        stdin: File descriptor.
        say: Told of lines that are no requests.
    """

    def __init__(self, stdin: int, say: Say) -> None:
        self._asked: queue.Queue[Want] = queue.Queue()
        self._say = say
        threading.Thread(target=self._read, args=(stdin,), daemon=True, name="wishes").start()

    def take(self, seconds: float) -> Want | None:
        """The newest wish; None if there is none after so many seconds."""
        wish = None
        try:
            wish = self._asked.get(timeout=seconds)
            while True:
                wish = self._asked.get_nowait()
        except queue.Empty:
            return wish

    @property
    def waiting(self) -> bool:
        """Whether somebody waits for an answer."""
        return not self._asked.empty()

    def _read(self, stdin: int) -> None:
        with os.fdopen(stdin, "rb") as lines:
            for line in lines:
                try:
                    self._asked.put(read_request(line))
                except ValueError as error:
                    self._say(Failure("rating.request", f"A request cannot be read: {error}."))
        end(ExitCode.DONE)


def advise(adviser: Adviser, wishes: Wishes, say: Say) -> NoReturn:
    """Answer wishes, and tell what was learnt when ratings came or the texts are others."""
    told: object = None
    fresh, told_at, took = False, -LESSON_SECONDS, 0.0
    failing = ""
    while True:
        due = told is None and not failing
        wish = wishes.take(0.0 if due else LOOK_SECONDS)
        try:
            fresh |= adviser.refresh()
            if wish is not None:
                asked = adviser.questions(wish.kind, wish.count, wish.besides)
                say(Questions(wish.number, wish.kind, tuple(asked)))
            # The lesson takes longer than the questions, and can wait for them; while a run trains
            # there are new texts all the time, and the processor is wanted elsewhere.
            begun = time.monotonic()
            rated = adviser.ratings is not told and begun - told_at > LESSON_PAUSES * took
            old = fresh and begun - told_at > LESSON_SECONDS
            if (rated or old) and not wishes.waiting:
                say(Taught(adviser.lesson()))
                told, told_at, fresh = adviser.ratings, time.monotonic(), False
                took = told_at - begun
            failing = ""
        # The process goes on: what cannot be read now may be read later. The person sees why.
        except Exception as error:
            failure = _failure(error)
            if failure.message != failing:
                log.error("%s", failure.message, exc_info=error)
                say(failure)
            failing = failure.message


def _failure(error: Exception) -> Failure:
    if isinstance(error, PpoTuiError):
        return Failure.of(error)
    text = " ".join(str(error).split())[:300]
    message = f"The adviser stumbled: {type(error).__name__}{': ' if text else ''}{text}."
    return Failure("internal", message, "Please report it.")


def main(arguments: list[str] | None = None) -> int:
    """Advise until stdin ends; returns an exit code if it cannot begin."""
    match sys.argv[1:] if arguments is None else arguments:
        case [path, "--rater", rater]:
            pass
        case _:
            print(_USAGE, file=sys.stderr)  # noqa: T201
            return ExitCode.USAGE
    say = take_over_stdout(encode)
    log_to(sys.stderr)
    wishes = Wishes(os.dup(0), say)
    # One thread, before numpy is loaded: beside a training, more would only be in its way.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    try:
        run = RunDirectory.open(Path(path))
        from ppo_tui.taste.adviser import Adviser

        adviser = Adviser(run, rater)
    except PpoTuiError as error:
        say(Failure.of(error, fatal=True))
        return error.exit_code
    # Whoever asked sees the sentence; the traceback is among its stderr.
    except Exception as error:
        log.error("cannot begin", exc_info=error)
        failure = _failure(error)
        say(Failure(failure.code, failure.message, failure.hint, fatal=True))
        return ExitCode.FAILED
    say(Ready())
    advise(adviser, wishes, say)


if __name__ == "__main__":
    sys.exit(main())
