"""The question before code of somebody's is executed: which, its SHA-256, how it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from ppo_tui.text.plain import plain

from .dialogs import Confirm

if TYPE_CHECKING:
    from ppo_tui.trust import Code

_WORDS = "It runs on this computer with your rights: say yes only to what you have read and trust."


class CodeQuestion(Confirm):
    """Asks whether code that a run names, and that is not confirmed yet, may run.

    Args:
        codes: The code.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(-1)", "Up", id="code.up", show=False,
                tooltip="Scroll what is shown of the code"),
        Binding("down", "scroll(1)", "Down", id="code.down", show=False,
                tooltip="Scroll what is shown of the code"),
    ]  # fmt: skip

    def __init__(self, codes: Sequence[Code]) -> None:
        from ppo_tui.trust import facts

        parts = [
            "\n".join([*map(plain, facts(code)), *(f"│ {plain(line)}" for line in code.head)])
            for code in codes
        ]
        super().__init__(
            "Run this code? You have not confirmed it yet.",
            "\n\n".join([*parts, _WORDS]),
            yes="Run it",
            no="Do not",
            danger=True,
        )

    def on_mount(self) -> None:
        """Take the width that code needs, and put the harmless answer under the Enter key."""
        super().on_mount()
        self.query_one(".dialog").add_class("wide")

    def action_scroll(self, lines: int) -> None:
        """Show what stands further up or down."""
        self.query_one(".detail", VerticalScroll).scroll_relative(y=lines, animate=False)
