r"""Text that ppo-tui did not write (of models, prompts, files), made harmless for a terminal.

A model can write an escape sequence that recolours, retitles or rewrites the screen; here every
character that is not meant to be seen is spelled out, such as `\x1b`. Markup is not a matter of
this module: foreign text is printed as it is or as `rich.text.Text`, never as a markup string.
"""

from __future__ import annotations

import re
import unicodedata

_KEPT = frozenset(
    "\u200d\ufe0e\ufe0f"
)  # they join and shape emoji and scripts, and do nothing else

LINE_END = "⏎"

MOST_MARKS = 8
"""Marks above and below one letter; no script needs more, and a pile of them covers other lines."""

_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILE = re.compile(f"({_MARK}{{{MOST_MARKS}}})({_MARK}+)")


def plain(text: str, *, lines: bool = False) -> str:
    """The text with control and format characters spelled out.

    Args:
        text: Anything.
        lines: Keep line ends and tabs as they are; otherwise a line end is shown as `⏎`.
    """
    text = text.replace("\r\n", "\n")
    if not lines:
        text = text.replace("\n", LINE_END)
    if text.isascii():
        if text.isprintable():
            return text
    else:
        text = _PILE.sub(lambda pile: pile[1] + ascii(pile[2])[1:-1], text)
        if text.isprintable():
            return text
    return "".join(char if char.isprintable() else _spelled(char, lines) for char in text)


def shortened(text: str, limit: int) -> str:
    """The text in one harmless line of at most `limit` characters."""
    text = plain(text)
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


def _spelled(char: str, lines: bool) -> str:
    if char in _KEPT or (lines and char in "\n\t"):
        return char
    if unicodedata.category(char) == "Zs":  # a space that is not the ASCII one
        return " "
    return ascii(char)[1:-1]
