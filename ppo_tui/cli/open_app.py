"""Where the command line opens the app, and whether there is a terminal for it."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from ppo_tui.errors import UsageError

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

_FRAMES_OVER_SSH = "20"


def has_terminal() -> bool:
    """Whether the app can be shown: keys come from a terminal, and pictures go to one."""
    try:
        both = sys.stdin.isatty() and sys.stdout.isatty()
    except (AttributeError, ValueError):  # closed, or there is none at all
        return False
    return both and os.environ.get("TERM", "") not in ("", "dumb")


def open_app(run: RunDirectory | None = None, replay: float | None = None, note: str = "") -> int:
    """Show the app until the user leaves; its exit code.

    Raises:
        UsageError: There is no terminal (`usage.no_terminal`).
    """
    if not has_terminal():
        raise UsageError(
            "The app needs a terminal, and there is none here.",
            hint="`ppo-tui watch RUN --plain` follows a run in lines; `ppo-tui --help` lists all.",
            code="usage.no_terminal",
        )
    if os.environ.get("SSH_CONNECTION"):
        # Textual's own 60 frames a second are more than a line wants to carry.
        os.environ.setdefault("TEXTUAL_FPS", _FRAMES_OVER_SSH)
    # Nothing that is imported is ever garbage; the app turns the collector on when it stands.
    gc.disable()
    from ppo_tui.screens.app import Opening, run_app

    return int(run_app(Opening(run, replay, note)))
