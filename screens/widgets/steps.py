"""The names of a form's panes, where there is room for one pane at a time; a click shows it."""

from __future__ import annotations

from typing import Final, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Static

Pane = Literal["preset", "model", "settings"]
PANES: Final[tuple[Pane, ...]] = ("preset", "model", "settings")


def title(pane: Pane) -> str:
    """What a pane is called, with the key that shows it."""
    return f"{PANES.index(pane) + 1} {pane.capitalize()}"


class Step(Static):
    """The name of one pane."""

    def __init__(self, pane: Pane) -> None:
        super().__init__(title(pane), id=f"step-{pane}", markup=False)
        self._pane = pane

    def on_click(self) -> None:
        """Show the pane."""
        self.post_message(Steps.Wanted(self._pane))


class Steps(Horizontal):
    """All panes by name; the one that is shown is underlined."""

    class Wanted(Message):
        """A pane is to be shown."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

    def compose(self) -> ComposeResult:
        """A name for each."""
        for pane in PANES:
            yield Step(pane)
        yield Static("enter takes or edits, F5 starts", id="step-hint", markup=False)

    def mark(self, shown: Pane) -> None:
        """Underline a pane's name."""
        for pane in PANES:
            self.query_one(f"#step-{pane}").set_class(pane == shown, "-shown")
