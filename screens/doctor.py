"""What this machine can do, and what is wrong with it: the findings of the checkup as they come.

The looking is done by `ppo_tui.prepare.checkup`, in a thread because it takes seconds; the same
findings are told by `ppo-tui doctor`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import Worker, WorkerState, get_current_worker

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.paths import home, shown
from ppo_tui.text.plain import plain

from .base import PpoScreen
from .literal import literal

if TYPE_CHECKING:
    from ppo_tui.prepare.checkup import Finding

    Look = Callable[[Finding, Callable[[], bool]], Iterable[Finding]]

SIGNS: Final = {
    "ok": ("✓", "$success"),
    "warning": ("▲", "$warning"),
    "problem": ("✗", "$error"),
}
LOOKING: Final = "Looking; torch takes a few seconds…"
_LEVEL_WIDTH: Final = 12
_NARROWEST: Final = 78


def _checkup(terminal: Finding, cancelled: Callable[[], bool]) -> Iterable[Finding]:
    from ppo_tui.prepare.checkup import findings

    return findings(terminal, cancelled)


class DoctorScreen(PpoScreen[None]):
    """The findings, one a line, each with what to do about it.

    Args:
        look: Looks at the machine, given what is known of the terminal, until it is told to stop.
    """

    CSS_PATH = "doctor.tcss"
    TITLE_WORDS = "Doctor"
    HELP = """
    # Doctor

    What this machine can do for training, and what is wrong with it. `✓ ok` is as it should be,
    `▲ warning` is worth a look, `✗ problem` keeps training from working; the line below says what
    to do.

    torch is asked about GPUs in a process of its own, so that a broken driver breaks that process
    and not the app. `ppo-tui doctor --json` tells scripts the same.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "again", "Look again", id="doctor.again", tooltip="Look at everything again"),
        Binding("c", "copy", "Copy", id="doctor.copy", tooltip="Copy all findings as text"),
        Binding(
            "w",
            "write",
            "Write to file",
            id="doctor.write",
            tooltip="Write all findings to doctor.txt in ppo-tui's folder",
        ),
    ]

    class Found(Message):
        """One thing has been looked at."""

        def __init__(self, number: int, finding: Finding) -> None:
            super().__init__()
            self.number = number
            self.finding = finding

    class Ended(Message):
        """Everything has been looked at, or the looking broke off for a reason."""

        def __init__(self, number: int, problem: str = "") -> None:
            super().__init__()
            self.number = number
            self.problem = problem

    def __init__(self, look: Look = _checkup) -> None:
        super().__init__()
        self._look = look
        self._number = 0
        self._findings: list[Finding] = []
        self._ended = False
        self._problem = ""

    def compose_body(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll(id="findings", can_focus=True):
            yield Static(id="findings-text", markup=False)

    def on_mount(self) -> None:
        """Look at once."""
        self.action_again()

    def on_resize(self) -> None:
        """Break the lines anew."""
        self.call_after_refresh(self._show)

    def action_again(self) -> None:
        """Look at everything again."""
        self._number += 1
        self._findings, self._ended, self._problem = [], False, ""
        self._show()
        self._examine(self._number, self._terminal())

    @work(thread=True, exclusive=True, group="doctor", exit_on_error=False)
    def _examine(self, number: int, terminal: Finding) -> None:
        worker = get_current_worker()
        try:
            for finding in self._look(terminal, lambda: worker.is_cancelled):
                if worker.is_cancelled:
                    return
                self.post_message(self.Found(number, finding))
        except (PpoTuiError, OSError, ValueError) as error:
            self.post_message(self.Ended(number, plain(str(error)) or type(error).__name__))
        else:
            self.post_message(self.Ended(number))

    @on(Worker.StateChanged)
    def _broke(self, event: Worker.StateChanged) -> None:
        """A fault of the checkup itself; the screen says so instead of looking for ever."""
        if event.state is WorkerState.ERROR and event.worker.group == "doctor":
            self._end(f"{type(event.worker.error).__name__}: {event.worker.error}")

    @on(Found)
    def _found(self, event: Found) -> None:
        if event.number == self._number:
            self._findings.append(event.finding)
            self._show()

    @on(Ended)
    def _all_found(self, event: Ended) -> None:
        if event.number == self._number:
            self._end(event.problem)

    def _end(self, problem: str) -> None:
        self._ended, self._problem = True, problem
        self._show()

    def _terminal(self) -> Finding:
        from ppo_tui.prepare.checkup import terminal_finding

        width, height = self.app.size
        colours = "no" if self.app.no_color else self.app.console.color_system or "no"
        encoding = getattr(sys.__stdout__, "encoding", "") or ""
        unicode = encoding.lower().replace("-", "") in ("utf8", "utf16", "utf32", "cp65001")
        return terminal_finding(width, height, colours, unicode=unicode)

    def _show(self) -> None:
        width = self.query_one("#findings-text").content_region.width or _NARROWEST
        lines = [
            _line(finding, _subject_width(self._findings), width) for finding in self._findings
        ]
        if not self._ended:
            lines.append(Content.styled(LOOKING, "$text-muted"))
        elif self._problem:
            lines.append(literal(f"The look broke off: {self._problem}", "$error"))
        self.query_one("#findings-text", Static).update(Content("\n").join(lines))
        self.status.show(Content.assemble(("Doctor", "bold"), f": {self._verdict()}"))

    def _verdict(self) -> str:
        from ppo_tui.prepare.checkup import verdict

        if not self._ended:
            return "looking…"
        return "the look broke off." if self._problem else verdict(self._findings)

    def action_copy(self) -> None:
        """Copy all findings; over some terminals nothing arrives, and the file is the way."""
        self.app.copy_to_clipboard(self._text())
        self.app.tell("Copied, where the terminal allows it; w writes it to a file.")

    def action_write(self) -> None:
        """Write all findings to a file."""
        from ppo_tui.runs.atomic import storage_error, write_atomic

        path = home() / "doctor.txt"
        try:
            os.makedirs(path.parent, exist_ok=True)
            write_atomic(path, self._text())
        except OSError as error:
            self.app.show_error(storage_error(path, error))
        except PpoTuiError as error:
            self.app.show_error(error)
        else:
            self.app.tell(f"Written to {shown(path)}.")

    def _text(self) -> str:
        return as_text(self._findings, self._verdict())


def as_text(findings: Sequence[Finding], verdict: str) -> str:
    """The findings as a person sends them to another."""
    wide = _subject_width(findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.level.value:<9}{finding.subject:<{wide}}  {plain(finding.text)}")
        if finding.advice:
            lines.append(f"{'':<9}{'':<{wide}}  {plain(finding.advice)}")
    return "\n".join([*lines, "", verdict, ""])


def _subject_width(findings: Sequence[Finding]) -> int:
    return max((len(finding.subject) for finding in findings), default=0)


def _line(finding: Finding, subject: int, width: int) -> Content:
    """Level, subject, and text with its advice below, broken within their column."""
    sign, style = SIGNS[finding.level.value]
    column = _LEVEL_WIDTH + subject + 2
    room = max(20, width - column)
    rows = [Content(row) for row in wrap(plain(finding.text), room)] or [Content("")]
    rows += [Content.styled(row, "italic") for row in wrap(plain(finding.advice), room)]
    return Content.assemble(
        (f"{sign} {finding.level.value}".ljust(_LEVEL_WIDTH), style),
        (plain(finding.subject).ljust(subject + 2), "bold"),
        Content("\n" + " " * column).join(rows),
    )
