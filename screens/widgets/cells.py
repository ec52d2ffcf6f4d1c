"""Text in a given number of terminal cells, for the lists that draw their own lines."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells, cut with an ellipsis if it must be."""
    length = cell_len(text)
    if length > width:
        return f"{set_cell_size(text, width - 1)}…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)
