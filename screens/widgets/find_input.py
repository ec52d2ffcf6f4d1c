"""The line above a list in which one types what to look for."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from .plain_input import PlainInput


class FindInput(PlainInput):
    """The words that settings, or models, are looked for with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Show all", id="find.clear", tooltip="Show all again"),
        Binding("down", "to_list", "List", id="find.list", tooltip="Go to what was found"),
    ]

    class Left(Message):
        """The list below is wanted."""

    def action_clear(self) -> None:
        """Find everything again."""
        self.value = ""
        self.post_message(self.Left())

    def action_to_list(self) -> None:
        """Go to the list."""
        self.post_message(self.Left())
