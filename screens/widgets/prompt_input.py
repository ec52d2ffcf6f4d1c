"""The line in which a prompt is typed: keeps line ends, and remembers what was asked before."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input

from ppo_tui.text.plain import LINE_END, plain


class PromptInput(Input):
    """A prompt in one line; a line end is shown as a sign, and sent as one."""

    HELP = """
    Type a prompt and press enter; both models answer it. It is put into the run's own template, as
    the prompts of the training were.

    `↑` and `↓` bring back what was asked before. A pasted text keeps its line ends: they are shown
    as `⏎`.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "up",
            "older",
            "Earlier",
            id="prompt.older",
            tooltip="The prompt before this one",
            show=False,
        ),
        Binding(
            "down",
            "newer",
            "Later",
            id="prompt.newer",
            tooltip="The prompt after this one",
            show=False,
        ),
    ]

    def __init__(self, *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002
        super().__init__(placeholder=placeholder, id=id, select_on_focus=False, compact=True)
        self.cursor_blink = False
        self._asked: list[str] = []
        self._at = 0
        # What a shown line stands for, where that cannot be read off the line itself.
        self._meant: dict[str, str] = {}

    @property
    def prompt(self) -> str:
        """The prompt that the line stands for."""
        return self._meant.get(self.value, self.value.replace(LINE_END, "\n"))

    def put(self, prompt: str) -> None:
        """Show a prompt, whatever it holds."""
        line = plain(prompt).replace("\t", "    ")
        self._meant[line] = prompt
        self.value = line
        self.cursor_position = len(line)

    def remember(self, prompt: str) -> None:
        """Note that a prompt was asked, and begin a new one."""
        if prompt in self._asked:
            self._asked.remove(prompt)
        self._asked.append(prompt)
        self._at = len(self._asked)
        self.value = ""

    def action_older(self) -> None:
        """Bring back the prompt before this one."""
        if self._at > 0:
            self._at -= 1
            self.put(self._asked[self._at])

    def action_newer(self) -> None:
        """Bring back the prompt after this one; behind the last is a new one."""
        if self._at < len(self._asked):
            self._at += 1
            if self._at < len(self._asked):
                self.put(self._asked[self._at])
            else:
                self.value = ""

    def _on_paste(self, event: events.Paste) -> None:
        # Textual would take the first line alone.
        event.stop()
        event.prevent_default()
        if event.text:
            self.replace(plain(event.text).replace("\t", "    "), *self.selection)
