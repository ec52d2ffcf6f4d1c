"""An error as one sentence on stderr, or as JSON on stdout, and the exit code it ends with."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from pathlib import Path

from ppo_tui.cli.answer import answer_json, say
from ppo_tui.errors import ExitCode, PpoTuiError
from ppo_tui.text.plain import plain
from ppo_tui.text.secrets import redacted

DEBUG_VARIABLE = "PPO_TUI_DEBUG"

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended without stopping a run."""

_FAMILIES = {
    "usage": ExitCode.USAGE,
    "config": ExitCode.CONFIG,
    "trust": ExitCode.CONFIG,
    "settings": ExitCode.CONFIG,
    "resource": ExitCode.MISSING,
    "model": ExitCode.MISSING,
    "hub": ExitCode.MISSING,
    "data": ExitCode.MISSING,
    "device": ExitCode.MISSING,
    "memory": ExitCode.MISSING,
    "stopped": ExitCode.STOPPED,
}
_SINGLE = {
    "data.column": ExitCode.CONFIG,
    "data.no_room": ExitCode.CONFIG,
    "reward.file_missing": ExitCode.MISSING,
    "reward.file_unreadable": ExitCode.MISSING,
    "reward.plugin_missing": ExitCode.MISSING,
    "reward.base_missing": ExitCode.MISSING,
    "reward.artefact_missing": ExitCode.MISSING,
}


def exit_code_of(code: str) -> ExitCode:
    """The exit code for an error of which only the code is known, such as a worker's."""
    return _SINGLE.get(code) or _FAMILIES.get(code.partition(".")[0], ExitCode.FAILED)


def report(code: str, message: str, hint: str = "", *, as_json: bool) -> None:
    """Tell a failure: as JSON on stdout, or as a sentence and a hint on stderr."""
    message, hint = redacted(message), redacted(hint)
    if as_json:
        answer_json({"error": {"code": code, "message": message, "hint": hint}})
        return
    say(f"error: {plain(message)}")
    if hint:
        say(f"hint: {plain(hint)}")


def report_error(error: PpoTuiError, *, as_json: bool) -> int:
    """Tell an error of ours; its exit code."""
    report(error.code, error.message, error.hint, as_json=as_json)
    if debugging():
        say(redacted(_traceback(error)))
    return int(error.exit_code)


def report_unexpected(error: Exception, *, as_json: bool) -> int:
    """Tell an error that nobody foresaw: one sentence, and where its traceback lies."""
    first_line = str(error).strip().partition("\n")[0]
    reason = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
    saved = _saved(error)
    where = f"Its traceback is in {saved}." if saved else "Set PPO_TUI_DEBUG=1 to see where."
    hint = f"{where} This is a fault of ppo-tui; please report it."
    report("internal", f"Something unexpected went wrong: {reason}.", hint, as_json=as_json)
    if debugging():
        say(redacted(_traceback(error)))
    return int(ExitCode.FAILED)


def debugging() -> bool:
    """Whether tracebacks are to be shown."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _saved(error: Exception) -> Path | None:
    """Write the traceback where the user may write, for the user alone; None if that is nowhere."""
    from ppo_tui.runs.atomic import NO_FOLLOW, write_all
    from ppo_tui.runs.paths import home

    text = redacted(_traceback(error)).encode("utf-8", "backslashreplace")
    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (home() / "errors", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / name
            # Others may write to a folder of temporary files: nothing that is there is followed.
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
            try:
                write_all(fd, text)
            finally:
                os.close(fd)
        except OSError:
            continue  # the next place; the sentence is shown either way
        return path
    return None


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
