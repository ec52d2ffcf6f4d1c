"""What reaches a person who looks elsewhere: toasts, the terminal's bell, and its title.

The app feeds it with what has changed about the runs that it follows. Nothing here looks at a run,
and nothing is told twice: the title changes with the state and with whole percents, never with
every step, because each change is a write to a terminal that may be at the end of a slow line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ppo_tui.runs.phase import Phase
from ppo_tui.text.figures import number
from ppo_tui.text.plain import shortened

if TYPE_CHECKING:
    from textual.app import App

    from ppo_tui.runs.diagnosis import Finding
    from ppo_tui.runs.records import ErrorInfo

    from .app import PpoTuiApp

APP_TITLE: Final = "ppo-tui"
LONGEST_NAME: Final = 40
LONGEST_SENTENCE: Final = 300

# The terminal keeps the title that it had on a stack of its own (XTWINOPS). Where it has none, the
# empty title makes it fall back on its usual one.
KEEP_TITLE: Final = "\x1b[22;2t"
RESTORE_TITLE: Final = "\x1b]2;\x07\x1b[23;2t"

_NO_TITLE = ("", "dumb", "linux", "unknown")
"""Values of `$TERM` of terminals that have no title, and might print it instead."""

_PHASE_WORDS: Final = {
    Phase.CREATED: "not started",
    Phase.LOADING: "loading",
    Phase.EVALUATING: "evaluating",
    Phase.PAUSED: "paused",
    Phase.AWAITING_RATINGS: "waits for your ratings",
    Phase.STOPPING: "stopping",
    Phase.STOPPED: "■ stopped",
    Phase.FINISHED: "✓ finished",
    Phase.FAILED: "✗ failed",
    Phase.CRASHED: "✗ crashed",
}
# Rollout, scoring, update and a checkpoint follow each other many times a minute.
_TRAINING = "training"


@dataclass(frozen=True)
class News:
    """Something that a person wants to know now.

    Attributes:
        title: What it is about.
        words: One sentence; it may hold text from a run's files.
        severity: As Textual has it.
    """

    title: str
    words: str
    severity: Literal["information", "warning", "error"] = "information"


def title_of(
    phase: Phase | None,
    step: int = 0,
    total: int = 0,
    reward: float | None = None,
    name: str = "",
) -> str:
    """The terminal's title for a run, the important first because tabs cut the end.

    Args:
        phase: What the run is doing; None if no run is followed.
        step: Steps done.
        total: Steps there are to do; 0 if that is not known.
        reward: The newest reward, if there is one.
        name: The run's name, whatever it holds.

    Returns:
        One line of printable characters.
    """
    if phase is None:
        return APP_TITLE
    word = _PHASE_WORDS.get(phase, _TRAINING)
    share = f"{100 * min(step, total) // total} %" if total > 0 and step > 0 else ""
    if phase is Phase.FINISHED:
        share = ""
    parts = [f"{share} {word}".strip() if word == _TRAINING else f"{word} {share}".strip()]
    if reward is not None:
        parts.append(f"reward {number(reward)}")
    parts += [shortened(name, LONGEST_NAME), APP_TITLE]
    # Joiners and variation selectors are harmless on a screen; in a title they serve nobody.
    return "".join(char for char in " · ".join(filter(None, parts)) if char.isprintable())


def news_of(
    name: str,
    old: Phase | None,
    new: Phase,
    findings: Sequence[Finding] = (),
    error: ErrorInfo | None = None,
) -> tuple[News, ...]:
    """What is worth interrupting a person for.

    Args:
        name: The run's name.
        old: Its phase at the last look; None at the first, when nothing has happened yet.
        new: Its phase now.
        findings: Health messages that were not there at the last look.
        error: Why it failed or crashed.
    """
    shown = shortened(name, LONGEST_NAME)
    news: list[News] = []
    if old is not None and old is not new:
        why = f": {_sentence(error.message)}" if error else ", and its log says why."
        match new:
            case Phase.FINISHED:
                news.append(News("✓ Finished", f"{shown} is done."))
            case Phase.STOPPED:
                news.append(News("■ Stopped", f"{shown} has stopped; it can be resumed."))
            case Phase.FAILED:
                news.append(News("✗ Failed", f"{shown} has failed{why}", "error"))
            case Phase.CRASHED:
                news.append(News("✗ Crashed", f"{shown} has crashed{why}", "error"))
            case Phase.AWAITING_RATINGS:
                news.append(News("Your turn", f"{shown} waits for your ratings.", "warning"))
    news += [
        News("▲ Health", f"{shown}: {_sentence(finding.cause)}", "error")
        for finding in findings
        if finding.level == "error"
    ]
    return tuple(news)


def _sentence(text: str) -> str:
    return shortened(text, LONGEST_SENTENCE)


class Notifier:
    """Tells what happened, by toast, bell and title, as the app's settings allow.

    Args:
        app: The app, whose toasts and bell are used.
        write: Sends control sequences to the terminal.
    """

    def __init__(self, app: PpoTuiApp, write: Callable[[str], None] | None = None) -> None:
        self._app = app
        self._write = write or terminal_writer(app)
        self._shown = ""
        self._kept = False

    def tell(
        self,
        name: str,
        old: Phase | None,
        new: Phase,
        findings: Sequence[Finding] = (),
        error: ErrorInfo | None = None,
    ) -> tuple[News, ...]:
        """Tell what is new of a run; the bell rings once, however much it is. See `news_of`."""
        news = news_of(name, old, new, findings, error)
        for item in news:
            self._app.notify(
                item.words,
                title=item.title,
                severity=item.severity,
                timeout=15 if item.severity == "error" else 8,
                markup=False,
            )
        if news and self._app.settings.bell:
            self._app.bell()
        return news

    def retitle(
        self,
        phase: Phase | None,
        step: int = 0,
        total: int = 0,
        reward: float | None = None,
        name: str = "",
    ) -> None:
        """Tell a run's state in the title; the arguments are those of `title_of`.

        Cheap: call it as often as you like. A reward that moves is no reason to write.
        """
        if not self._app.settings.title:
            self.close()
            return
        reason = title_of(phase, step, total, None, name)
        if reason == self._shown:
            return
        self._shown = reason
        keep = "" if self._kept else KEEP_TITLE
        self._kept = True
        self._write(f"{keep}\x1b]2;{title_of(phase, step, total, reward, name)}\x07")

    def close(self) -> None:
        """Give the terminal its title back; before the app ends, and when titles are off."""
        if self._kept:
            self._write(RESTORE_TITLE)
        self._kept = False
        self._shown = ""


def terminal_writer(app: App[Any]) -> Callable[[str], None]:
    """What sends a control sequence to the app's terminal, or nowhere if that has no title."""

    def write(sequence: str) -> None:
        driver = app._driver
        # Windows has no $TERM, and titles.
        titled = os.name == "nt" or os.environ.get("TERM", "") not in _NO_TITLE
        if driver is None or driver.is_headless or not titled:
            return
        driver.write(sequence)
        driver.flush()

    return write
