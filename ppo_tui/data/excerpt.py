"""Text from a file, made fit to stand in an error's sentence."""

from __future__ import annotations

LENGTH = 60


def excerpt(text: str, length: int = LENGTH) -> str:
    """The text escaped and shortened, in quotes."""
    return f"'{escaped(text, length)}'"


def escaped(text: str, length: int = LENGTH) -> str:
    """The text with control characters escaped, shortened in the middle to about `length`."""
    if len(text) > length:
        half = length // 2
        text = f"{text[:half]}…{text[-half:]}"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
