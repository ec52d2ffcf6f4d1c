"""Foreign text as Textual's `Content`: shown literally, and harmless for the terminal.

Text of models, prompts, files and configurations may hold markup, escape sequences and control
characters. Textual's widgets parse strings as markup, so a string never reaches one here: what is
shown goes through `literal`; `update_changed` puts it into a widget that is often told the same.
"""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from ppo_tui.text.plain import plain

MOST_CHARACTERS = 20_000
"""More of one text than this fits no screen; drawing it would only be slow."""


def literal(text: str, style: str = "", *, lines: bool = False) -> Content:
    """The text as it is, with control characters spelled out.

    Args:
        text: Anything.
        style: Style of the whole.
        lines: Keep line ends; otherwise a line end is shown as a sign.
    """
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]}… ({len(text):,} characters)"
    # A tab has no width of its own that a layout could count on.
    return Content.styled(plain(text, lines=lines).replace("\t", "    "), style)


def update_changed(widget: Static, content: Content) -> None:
    """Let a widget show a content; nothing is painted if it shows the same already."""
    known = widget.content
    if not isinstance(known, Content) or known != content or known.spans != content.spans:
        widget.update(content)
