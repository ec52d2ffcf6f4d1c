"""Questions that stand in front of a screen: yes or no, a text, one of several; and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from ppo_tui.errors import PpoTuiError

from .literal import literal
from .widgets.plain_input import PlainInput, pictured

_CANCEL = Binding("escape", "cancel", "Cancel", id="dialog.cancel", tooltip="Leave it as it is")

HELP_KEY = Binding(
    "f1,question_mark",
    "app.explain",
    "Help",
    id="dialog.help",
    tooltip="List the keys of this question",
    show=False,
)


class Confirm(ModalScreen[bool]):
    """A yes-or-no question.

    Args:
        question: What is asked, in a sentence.
        detail: What follows from a yes.
        yes: The word on the button that does it.
        no: The word on the other.
        danger: Something is lost by a yes: then no is in focus.
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        _CANCEL,
        HELP_KEY,
        Binding("y", "answer(True)", "Yes", id="dialog.yes", tooltip="Do it"),
        Binding("n", "answer(False)", "No", id="dialog.no", tooltip="Leave it as it is"),
        Binding("left", "app.focus_previous", "Other", id="dialog.left", show=False,
                tooltip="Go to the other answer"),
        Binding("right", "app.focus_next", "Other", id="dialog.right", show=False,
                tooltip="Go to the other answer"),
    ]  # fmt: skip

    def __init__(
        self,
        question: str,
        detail: str = "",
        yes: str = "Yes",
        no: str = "No",
        *,
        danger: bool = False,
    ) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._yes = yes
        self._no = no
        self._danger = danger

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(classes="dialog"):
            yield Static(literal(self._question, "bold"), classes="question")
            if self._detail:
                with VerticalScroll(classes="detail", can_focus=False):
                    yield Static(literal(self._detail, lines=True))
            with Horizontal(classes="buttons"):
                yield Button(
                    literal(f"{self._yes} (y)"),
                    id="yes",
                    variant="error" if self._danger else "primary",
                )
                yield Button(literal(f"{self._no} (n)"), id="no")

    def on_mount(self) -> None:
        """Put the harmless answer, or the likely one, under the Enter key."""
        self.query_one("#no" if self._danger else "#yes").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answer by key."""
        self.dismiss(answer)

    def action_cancel(self) -> None:
        """Answer no."""
        self.dismiss(False)


class Ask(ModalScreen["str | None"]):
    """A question that is answered with a line of text; None if it is not answered.

    Args:
        question: What is asked.
        value: What stands there already.
        placeholder: What is shown in an empty line.
        check: Says in a sentence what is wrong with a text, or an empty one.
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [_CANCEL, HELP_KEY]

    def __init__(
        self,
        question: str,
        value: str = "",
        placeholder: str = "",
        check: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__()
        self._question = question
        self._value = value
        self._placeholder = placeholder
        self._check = check or (lambda _: "")

    def compose(self) -> ComposeResult:
        """The question, the line, and what is wrong with it."""
        with Vertical(classes="dialog"):
            yield Static(literal(self._question, "bold"), classes="question")
            placeholder = pictured(self._placeholder)
            yield PlainInput(self._value, placeholder=placeholder, select_on_focus=True)
            yield Static("", classes="problem")
            yield Static("enter: take it   escape: leave it", classes="keys")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self.query_one(".problem", Static).update(literal(self._check(event.value)))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if not self._check(event.value):
            self.dismiss(event.value)

    def action_cancel(self) -> None:
        """Leave it unanswered."""
        self.dismiss(None)


class Choose(ModalScreen["str | None"]):
    """One of several answers, each with its words; None if none is taken.

    Args:
        question: What is asked.
        answers: The answers as (key, words).
        detail: What is good to know.
        chosen: The key that is highlighted at first; the first one if left out.
    """

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [_CANCEL, HELP_KEY]

    def __init__(
        self,
        question: str,
        answers: Sequence[tuple[str, str]],
        detail: str = "",
        chosen: str | None = None,
    ) -> None:
        super().__init__()
        self._question = question
        self._answers = list(answers)
        self._detail = detail
        self._chosen = chosen

    def compose(self) -> ComposeResult:
        """The question and the answers, one a line."""
        with Vertical(classes="dialog"):
            yield Static(literal(self._question, "bold"), classes="question")
            if self._detail:
                yield Static(literal(self._detail, lines=True), classes="detail")
            yield OptionList(*(Option(literal(words)) for _, words in self._answers))
            yield Static("enter: take it   escape: none", classes="keys")

    def on_mount(self) -> None:
        """Highlight what is chosen now."""
        keys = [key for key, _ in self._answers]
        choices = self.query_one(OptionList)
        choices.highlighted = keys.index(self._chosen) if self._chosen in keys else 0
        choices.focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._answers[event.option_index][0])

    def action_cancel(self) -> None:
        """Take none."""
        self.dismiss(None)


class ShowError(ModalScreen[None]):
    """What went wrong, and the way out."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        HELP_KEY,
        Binding("escape,enter", "close", "Close", id="dialog.close", tooltip="Go on"),
        Binding("c", "copy", "Copy", id="dialog.copy", tooltip="Copy the text"),
    ]

    def __init__(self, error: PpoTuiError) -> None:
        super().__init__()
        self._error = error

    def compose(self) -> ComposeResult:
        """The sentence, the hint and the code."""
        with Vertical(classes="dialog error"):
            yield Static(Content("✗ That did not work"), classes="question")
            with VerticalScroll(classes="detail"):
                yield Static(literal(self._error.message, lines=True))
                if self._error.hint:
                    yield Static(literal(self._error.hint, "$foreground-muted", lines=True))
            yield Static(literal(f"{self._error.code}   c: copy   escape: close"), classes="keys")

    def action_close(self) -> None:
        """Close it."""
        self.dismiss(None)

    def action_copy(self) -> None:
        """Copy the text to the clipboard."""
        self.app.copy_to_clipboard(
            f"{self._error.code}: {self._error.message} {self._error.hint}".strip()
        )
        self.notify("Copied, where the terminal allows it.", markup=False)
