"""A run's log.txt: what the worker's process printed, as it grows."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.log_tail import LogTail, LogText
from ppo_tui.runs.paths import shown
from ppo_tui.text.plain import plain

from .base import PpoScreen
from .literal import literal
from .widgets.log_view import LogView
from .widgets.plain_input import PlainInput


def _harmless(line: str) -> str:
    return plain(line).replace("\t", "    ")


class LogScreen(PpoScreen[None]):
    """The end of a run's log, following it as it grows.

    Args:
        run: The run.
    """

    CSS_PATH = "log.tcss"
    TITLE_WORDS = "Log"
    AUTO_FOCUS = "LogView"
    HELP = """
    What the run's worker printed: its own lines, those of the libraries, and the traceback if it
    failed. Only the end of a long log is shown; the whole file is where `y` says.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="log.search", tooltip="Search for a text"),
        Binding(
            "n", "match(1)", "Next", id="log.next", tooltip="Go to the next line that holds it"
        ),
        Binding("p", "match(-1)", "Previous", id="log.previous", tooltip="Go to the match before"),
        Binding(
            "f", "follow", "Follow", id="log.follow", tooltip="Go to the end and follow as it grows"
        ),
        Binding("w", "wrap", "Wrap", id="log.wrap", tooltip="Break long lines, or do not"),
        Binding("y", "copy_path", "Copy path", id="log.copy", tooltip="Copy the file's path"),
    ]

    class Grown(Message):
        """The log has changed.

        Attributes:
            text: Its end, with harmless lines.
            problem: Why it cannot be read; empty if it can.
        """

        def __init__(self, text: LogText, problem: str = "") -> None:
            super().__init__()
            self.text = text
            self.problem = problem

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self._run = run
        self._tail = LogTail(run.log_path, clean=_harmless)
        self._text: LogText | None = None
        self._problem = ""
        self._looking = False

    def compose_body(self) -> ComposeResult:
        """The lines, and the search below them."""
        yield Static(id="log-note", markup=False)
        yield LogView(id="log-lines")
        search = PlainInput(placeholder="a text to search for; enter: go to it", id="log-search")
        yield search

    def on_mount(self) -> None:
        """Look at once, and then again and again."""
        self._look()
        self.set_interval(1 / self.app.settings.refresh_hz, self._look)

    # ---- reading

    def _look(self) -> None:
        if not self._looking:  # a disk that hangs is not asked twice
            self._looking = True
            self._read()

    @work(thread=True, group="log", exit_on_error=False)
    def _read(self) -> None:
        worker = get_current_worker()
        problem = ""
        try:
            text = self._tail.poll()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = LogText()
            problem = f"{shown(self._run.log_path)} cannot be read: {reason}."
        finally:
            self._looking = False
        if text is None or worker.is_cancelled:
            return
        self.post_message(self.Grown(text, problem))

    @on(Grown)
    def _grown(self, event: Grown) -> None:
        if (event.text, event.problem) == (self._text, self._problem):
            return
        self._text, self._problem = event.text, event.problem
        view = self.query_one(LogView)
        view.show(event.text.lines, event.text.first, event.text.generation)
        note = ""
        if event.problem:
            note = event.problem
        elif event.text.missing:
            note = "There is no log yet: the worker has not been started."
        elif not event.text.lines:
            note = "The log is empty."
        elif event.text.cut:
            note = f"Only the end is shown; the whole is in {shown(self._run.log_path)}"
        line = self.query_one("#log-note", Static)
        line.update(literal(note))
        line.display = bool(note)
        self.call_after_refresh(self._tell)

    # ---- keys

    def action_search(self) -> None:
        """Ask what to search for."""
        field = self.query_one("#log-search", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#log-search")
    def _searched(self, event: Input.Changed) -> None:
        view = self.query_one(LogView)
        view.find(event.value)
        view.go_to_last_match()
        self._tell()

    @on(Input.Submitted, "#log-search")
    def _to_the_lines(self) -> None:
        self.query_one(LogView).focus()

    def action_match(self, step: int) -> None:
        """Go to another match."""
        if not self.query_one(LogView).go_to_match(step):
            words = "Nothing holds that." if self.query_one("#log-search", Input).value else ""
            self.app.tell(words or "Press / to search first.")
        self._tell()

    def action_follow(self) -> None:
        """Go to the end."""
        self.query_one(LogView).follow()
        self.call_after_refresh(self._tell)

    def action_wrap(self) -> None:
        """Break long lines, or let them go on to the right."""
        view = self.query_one(LogView)
        view.wrap = not view.wrap
        self._tell()

    def action_copy_path(self) -> None:
        """Copy the path of the file."""
        self.app.copy_to_clipboard(str(self._run.log_path))
        self.app.tell(f"Copied, where the terminal allows it: {self._run.log_path}")

    def action_leave(self) -> None:
        """Close the search; without one go back."""
        field = self.query_one("#log-search", Input)
        if field.display:
            field.value = ""
            field.display = False
            self.query_one(LogView).focus()
            return
        super().action_leave()

    # ---- the first line

    @on(LogView.Scrolled)
    def _scrolled(self) -> None:
        self._tell()

    def _tell(self) -> None:
        view = self.query_one(LogView)
        count = len(view.lines)
        parts = [
            Content.assemble("Log of ", literal(self._run.name, "bold")),
            Content(f"{count:,} line{'' if count == 1 else 's'}"),
            Content("following" if view.follows else "looking back (f: follow)"),
        ]
        if not view.wrap:
            parts.append(Content("not wrapped"))
        if self.query_one("#log-search", Input).value:
            here, matches = view.found
            parts.append(Content(f"match {here} of {matches}" if here else f"{matches} matches"))
        self.status.show(Content("  ").join(parts))
