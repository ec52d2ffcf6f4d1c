"""The last gate before the terminal: no control character leaves, whoever drew it.

`literal` spells out what foreign text holds, and is what screens use. Textual's own widgets (an
input's value, a placeholder) draw their text as it is; what slips through there is dropped here.
"""

from __future__ import annotations

import re

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

# C0 and DEL, C1, and the characters that turn the direction of what follows. None has a width.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Harmless(LineFilter):
    """Drops control characters from everything that is drawn; layouts stay as they are."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments without control characters."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            segment
            if segment.control
            else Segment(_HARMFUL.sub("", segment.text), segment.style, None)
            for segment in segments
        ]
