"""An input whose value may come from elsewhere: control characters in it are shown, not sent."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.widgets import Input

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}
_PICTURES |= dict.fromkeys((*range(0x80, 0xA0), 0x200E, 0x200F), "�")
_PICTURES |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "�")


def pictured(text: str) -> str:
    """The text with each control character as one visible sign, so that positions stay."""
    return text if text.isprintable() else text.translate(_PICTURES)


class PlainInput(Input):
    """An `Input` that draws signs such as `␛` for control characters; its value keeps them.

    Its cursor does not blink: each change of it is written to a terminal that may be far away.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_blink = False

    @property
    def _value(self) -> Text:
        if self.password:
            return super()._value
        return Text(pictured(self.value), no_wrap=True, overflow="ignore", end="")
