"""The run of a form as a command line and as YAML, to read and to copy."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from .literal import literal


class RunAsText(ModalScreen[None]):
    """Shows the command and the YAML; keys copy them.

    Args:
        command: The command line.
        yaml: The whole configuration.
    """

    CSS_PATH = "run_as_text.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="dialog.close", tooltip="Back to the form"),
        Binding("c", "copy_command", "Copy command", id="text.command", tooltip="Copy the command"),
        Binding("y", "copy_yaml", "Copy YAML", id="text.yaml", tooltip="Copy the YAML"),
    ]

    def __init__(self, command: str, yaml: str) -> None:
        super().__init__()
        self._command = command
        self._yaml = yaml

    def compose(self) -> ComposeResult:
        """Both texts, and the keys."""
        with Vertical(classes="text-dialog"):
            yield Static("The same run on the command line", classes="heading")
            with VerticalScroll(id="command", can_focus=False):
                yield Static(literal(self._command))
            yield Static("and as a file, for ppo-tui train FILE.yaml", classes="heading")
            with VerticalScroll(id="yaml"):
                yield Static(literal(self._yaml, lines=True))
            yield Static("c: copy the command   y: copy the YAML   escape: back", classes="keys")

    def on_mount(self) -> None:
        """Let the arrows scroll the YAML."""
        self.query_one("#yaml").focus()

    def action_copy_command(self) -> None:
        """Copy the command."""
        self._copy(self._command, "The command")

    def action_copy_yaml(self) -> None:
        """Copy the YAML."""
        self._copy(self._yaml, "The YAML")

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"{what} was sent to the clipboard; not every terminal takes it.", markup=False)

    def action_close(self) -> None:
        """Back to the form."""
        self.dismiss(None)
