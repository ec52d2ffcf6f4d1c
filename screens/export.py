"""Take the tuned adapter home: which folder, and how to load what was put there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from ppo_tui.errors import PpoTuiError
from ppo_tui.export.adapter import Exported, export_adapter, suggested_folder
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.text.figures import size

from .base import _app_type
from .dialogs import HELP_KEY
from .literal import literal
from .widgets.plain_input import PlainInput

if TYPE_CHECKING:
    from .app import PpoTuiApp

_ASKING = "enter: export   escape: close"
_DONE = "c: copy the code   p: copy the path   escape: close"


class ExportScreen(ModalScreen[None]):
    """Asks for a folder, exports the newest adapter there, and says how to load it.

    Args:
        run: The run.
    """

    CSS_PATH = ["dialogs.tcss", "export.tcss"]  # noqa: RUF012
    TITLE_WORDS = "Export"
    AUTO_FOCUS = "#export-folder"
    HELP = """
    Copies the newest checkpoint's adapter into a folder of its own, with a README of how to load
    it and the run's configuration. The run is only read; it may go on training meanwhile.

    The folder must not exist yet, or be empty. A relative path counts from where the app was
    started.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        HELP_KEY,
        Binding("escape", "close", "Close", id="export.close", tooltip="Go back to the screen"),
        Binding("c", "copy_code", "Copy code", id="export.code", tooltip="Copy how to load it"),
        Binding("p", "copy_path", "Copy path", id="export.path", tooltip="Copy the folder's path"),
    ]

    app = getters.app(_app_type)

    class Ended(Message):
        """The export is over: with a result, or with an error."""

        def __init__(self, result: Exported | PpoTuiError) -> None:
            super().__init__()
            self.result = result

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self._run = run
        self._exported: Exported | None = None
        self._working = False

    def compose(self) -> ComposeResult:
        """The question, the folder, and what came of it."""
        with Vertical(classes="dialog"):
            question = Content.assemble("Export the adapter of ", literal(self._run.name))
            yield Static(question.stylize("bold"), classes="question")
            yield Static("Into this folder:", id="export-where", markup=False)
            folder = PlainInput(str(suggested_folder(self._run)), id="export-folder")
            folder.select_on_focus = False
            yield folder
            with VerticalScroll(id="export-result", can_focus=True):
                yield Static(id="export-words", markup=False)
            yield Static(_ASKING, classes="keys", id="export-keys", markup=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if self._working or self._exported is not None:
            return
        if not event.value.strip():
            self._tell(Content("Name a folder that does not exist yet, or an empty one."))
            return
        self._working = True
        self._tell(Content("Copying …"))
        self._export(Path(event.value.strip()), self.app)

    @work(thread=True, group="export", exit_on_error=False)
    def _export(self, folder: Path, app: PpoTuiApp) -> None:
        try:
            result: Exported | PpoTuiError = export_adapter(self._run, folder)
        except PpoTuiError as error:
            result = error
        except ValueError as error:  # a NUL in the path
            result = PpoTuiError(f"That cannot be a folder: {error}.")
        if get_current_worker().is_cancelled:  # the dialog was closed meanwhile
            app.call_later(_tell_elsewhere, app, result)
        else:
            self.post_message(self.Ended(result))

    @on(Ended)
    def _ended(self, event: Ended) -> None:
        self._working = False
        if isinstance(event.result, PpoTuiError):
            error = event.result
            self._tell(
                Content.assemble(
                    ("✗ ", "bold $text-error"),
                    literal(error.message, "bold"),
                    literal(f"\n{error.hint}" if error.hint else "", lines=True),
                )
            )
            return
        exported = self._exported = event.result
        self.query_one("#export-folder").display = False
        self.query_one("#export-where").display = False
        self.query_one("#export-keys", Static).update(_DONE)
        self._tell(
            Content.assemble(
                ("✓ ", "bold $text-success"),
                f"The adapter after step {exported.step}, {size(exported.bytes)}, is in\n",
                literal(str(exported.folder), "bold"),
                f"\nwith {len(exported.files)} files, a README.md among them. Load it with:\n\n",
                literal(exported.code, lines=True),
            )
        )
        self.query_one("#export-result").focus()

    def _tell(self, words: Content) -> None:
        result = self.query_one("#export-result", VerticalScroll)
        result.display = True
        self.query_one("#export-words", Static).update(words)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to copy before it is there."""
        if action in ("copy_code", "copy_path"):
            return self._exported is not None
        return True

    def action_copy_code(self) -> None:
        """Copy how to load the adapter."""
        if self._exported is not None:
            self._copy(self._exported.code)

    def action_copy_path(self) -> None:
        """Copy where the adapter is."""
        if self._exported is not None:
            self._copy(str(self._exported.folder))

    def _copy(self, text: str) -> None:
        self.app.copy_to_clipboard(text)
        self.app.tell("Copied, where the terminal allows it.")

    def action_close(self) -> None:
        """Go back; an export that is under way goes on, and tells how it ended."""
        self.dismiss(None)


def _tell_elsewhere(app: PpoTuiApp, result: Exported | PpoTuiError) -> None:
    """Say how an export ended whose dialog is gone."""
    if isinstance(result, PpoTuiError):
        app.show_error(result)
    else:
        app.tell(f"The adapter after step {result.step} is in {result.folder}.")
