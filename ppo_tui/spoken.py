"""What the processes that are spoken to line by line have in common: stdout, and the end.

For `ppo_tui.playground`, `ppo_tui.rater` and `ppo_tui.fitting`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

from ppo_tui.errors import ExitCode

ReplyType = TypeVar("ReplyType")


def end(code: int) -> NoReturn:
    """End at once: there is nothing to put in order, and what goes on cannot be asked to stop."""
    sys.stderr.flush()
    os._exit(code)


def take_over_stdout(encode: Callable[[ReplyType], bytes]) -> Callable[[ReplyType], None]:
    """Keep stdout for the replies; what libraries print goes to stderr.

    Args:
        encode: A reply as its line.

    Returns:
        What says a reply, from any thread; the process ends if nobody listens any more.
    """
    sys.stdout.flush()
    replies = os.dup(1)
    os.dup2(2, 1)
    turn = threading.Lock()

    def say(reply: ReplyType) -> None:
        line = memoryview(encode(reply))
        with turn:
            try:
                while line:
                    line = line[os.write(replies, line) :]
            except OSError:  # nobody listens any more
                end(ExitCode.FAILED)

    return say
