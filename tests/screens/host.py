"""A tiny app around one widget, with the theme variables that the app has."""

from collections.abc import Iterable

from textual.app import App
from textual.message import Message
from textual.widget import Widget

from ppo_tui.screens import themes


class Host(App[None]):
    """Shows widgets and remembers the messages that reach it."""

    def __init__(self, *widgets: Widget) -> None:
        super().__init__()
        self._widgets = widgets
        self.heard: list[Message] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {**super().get_theme_variable_defaults(), **themes.VARIABLE_DEFAULTS}

    def compose(self) -> Iterable[Widget]:
        yield from self._widgets
