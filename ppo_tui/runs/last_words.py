"""What a worker that could not write its end into the run directory still told its log.

A state that cannot be written (a disk gone read-only, or one that is full to its last block) leaves
a run that reads as crashed. The log was open already and often took the sentence: it is looked for
there, among what the last worker printed and nobody before it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ppo_tui.runs.atomic import open_regular
from ppo_tui.runs.records import ErrorInfo

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory
    from ppo_tui.runs.launch import Launch

_MOST_BYTES = 1 << 15
_LONGEST_MESSAGE = 500

_ERROR = re.compile(r" ERROR ppo_tui\.worker: ([a-z][a-z_]*(?:\.[a-z_]+)*): (\S.*?)(?: \[(.*)\])?$")


def last_words(run: RunDirectory, launched: Launch | None) -> ErrorInfo | None:
    """The last error of ours in the log, of the worker that was started last; None if none.

    Args:
        run: The run.
        launched: Its last start, which knows where in the log that worker began.
    """
    if launched is None or launched.log_offset is None:
        return None
    try:
        with open_regular(run.log_path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(min(launched.log_offset, size), size - _MOST_BYTES))
            text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    found = None
    for line in text.splitlines():
        found = _ERROR.search(line) or found
    if found is None:
        return None
    return ErrorInfo(found[1], found[2][:_LONGEST_MESSAGE], (found[3] or "")[:_LONGEST_MESSAGE])
