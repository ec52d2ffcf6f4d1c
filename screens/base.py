"""What every screen has: a status line, a footer, help on `?`, and `escape` as the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from .widgets.key_line import KeyLine

if TYPE_CHECKING:
    from .app import PpoTuiApp

ResultType = TypeVar("ResultType")


def _app_type() -> type[PpoTuiApp]:
    from .app import PpoTuiApp  # here, because the app imports the screens

    return PpoTuiApp


class StatusLine(Static):
    """The first line of a screen: what it is, and how things are."""

    DEFAULT_CSS = """
    StatusLine {
        height: 1;
        width: 100%;
        background: $panel;
        color: $foreground;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        padding: 0 1;
    }
    """

    def __init__(self, words: str) -> None:
        self._shown = Content(words)
        super().__init__(self._shown, id="status")

    def show(self, content: Content) -> None:
        """Show something else; nothing is painted if it is the same."""
        if content != self._shown or content.spans != self._shown.spans:
            self._shown = content
            self.update(content, layout=False)


class PpoScreen(Screen[ResultType]):
    """Base of the screens.

    A subclass says its name in `TITLE_WORDS`, its help in `HELP` (Markdown), and yields its widgets
    from `compose_body`.
    """

    TITLE_WORDS: ClassVar[str] = "ppo-tui"
    AUTO_FOCUS = "*"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape",
            "leave",
            "Back",
            id="app.back",
            tooltip="Go back to the screen before this one",
            show=False,
        ),
    ]

    app = getters.app(_app_type)

    def compose(self) -> ComposeResult:
        """The status line, the screen's own widgets, the footer."""
        yield StatusLine(self.TITLE_WORDS)
        yield from self.compose_body()
        yield KeyLine()

    def compose_body(self) -> ComposeResult:
        """The widgets between the status line and the footer."""
        yield from ()

    @property
    def status(self) -> StatusLine:
        """The first line."""
        return self.query_one(StatusLine)

    @property
    def in_sight(self) -> bool:
        """Whether it can be seen: it stands in front, or only questions stand before it.

        Textual's `is_current` counts the screen behind the front one in any case.
        """
        for screen in reversed(self.app.screen_stack):
            if screen is self:
                return True
            if not isinstance(screen, ModalScreen):
                return False
        return False

    def action_leave(self) -> None:
        """Go back; from the first screen to the list of runs, and `escape` never quits."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            self.app.go_home()
