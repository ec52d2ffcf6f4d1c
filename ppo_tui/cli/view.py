"""Where a run that is followed is shown: a picture that repaints itself, or lines that stay."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.live import Live

from ppo_tui.cli.answer import console, say
from ppo_tui.cli.frame import Title, frame
from ppo_tui.cli.lines import Lines, rate_words
from ppo_tui.config.resolve import parse_config
from ppo_tui.config.schema import BUNDLED
from ppo_tui.errors import ConfigError
from ppo_tui.runs.atomic import read_small
from ppo_tui.runs.catalog import summarise
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.state import Observed
from ppo_tui.text.plain import plain

REPAINT_SECONDS = 0.25

_LONGEST_CONFIG = 1 << 20


class View(Protocol):
    """What shows a run to its follower."""

    def update(self, seen: Observed, footer: str) -> None:
        """Show what is new."""

    def note(self, text: str) -> None:
        """Tell what the user's key did; it stands in the next footer as well."""

    def end(self, seen: Observed) -> None:
        """Show what is left to show."""


@contextlib.contextmanager
def open_view(run: RunDirectory, progress: Progress) -> Iterator[View]:
    """A live picture on a terminal, plain lines anywhere else; on stderr, as it is talk."""
    screen, title = console(stderr=True), title_of(run)
    if not (screen.is_terminal and sys.stderr.isatty()) or screen.is_dumb_terminal:
        yield _PlainLines(progress, title)
        return
    with Live(console=screen, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        yield _Picture(progress, title, screen, live)


def title_of(run: RunDirectory) -> Title:
    """The run's name, model, preset and device; what cannot be read is left empty."""
    summary = summarise(run.path)
    try:
        text = read_small(run.config_path, _LONGEST_CONFIG).decode("utf-8", "replace")
        config = parse_config(text, run.config_path.name)
    except (ConfigError, OSError):  # a newer version's; the worker is the one to complain
        return Title(run.name, summary.model, summary.preset, "", summary.total)
    model = "bundled model" if config.model.name == BUNDLED else config.model.name
    device = "" if config.device == "auto" else config.device
    return Title(run.name, model, summary.preset, device, config.steps)


class _PlainLines:
    def __init__(self, progress: Progress, title: Title) -> None:
        self._progress = progress
        self._lines = Lines(title.total, title.name)
        self._halted = False

    def update(self, seen: Observed, footer: str) -> None:
        if self._progress.poll():
            self._lines.tell(self._progress)
        self._lines.tell_phase(self._progress, seen.phase)
        if bool(seen.suspended) is not self._halted:
            self._halted = bool(seen.suspended)
            say(f"warning: {seen.suspended_words}." if self._halted else "Its process goes on.")

    def note(self, text: str) -> None:
        say(text)

    def end(self, seen: Observed) -> None:
        self._progress.poll()
        self._lines.end(self._progress)


class _Picture:
    def __init__(self, progress: Progress, title: Title, screen: Console, live: Live) -> None:
        self._progress = progress
        self._title = title
        self._screen = screen
        self._live = live
        self._painted = -REPAINT_SECONDS

    def update(self, seen: Observed, footer: str) -> None:
        now = time.monotonic()
        if now - self._painted < REPAINT_SECONDS:
            return
        self._painted = now
        self._progress.poll()
        self._progress.take_news()
        if seen.phase is Phase.AWAITING_RATINGS:
            footer = f"{rate_words(plain(self._title.name))} {footer}"
        if seen.suspended:
            footer = f"{seen.suspended_words[:1].upper()}{seen.suspended_words[1:]}. {footer}"
        picture = frame(self._title, seen, self._progress, footer, self._screen)
        self._live.update(picture, refresh=True)

    def note(self, text: str) -> None:
        self._painted = -REPAINT_SECONDS

    def end(self, seen: Observed) -> None:
        self._progress.poll()
