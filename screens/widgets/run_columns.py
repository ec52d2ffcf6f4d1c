"""The columns of the list of runs for a given width; a run's name is the last to be left out.

Pure functions, for the table and its tests; nothing here draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MARGIN = 3
"""Cells before the first column: the pointer, the mark, and a space."""

_ROOMY = 110
_LONGEST_NAME = 34
_SHORTEST_MODEL, _LONGEST_MODEL = 11, 28
_MORE_CURVE = 24
_DISPENSABLE = ("curve", "model", "age", "reward", "step")
"""What is left out where there is no room, in this order: a run without a name is of no use."""
_LEAST_FOR_BOTH, _LEAST_FOR_NAME = 16, 8


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table of some width: their names and widths; `curve` is the sparkline."""

    names: tuple[str, ...]
    widths: tuple[int, ...]

    @property
    def rest(self) -> int:
        """Cells behind the first two columns."""
        return sum(self.widths[2:]) + len(self.widths) - 3

    def column_at(self, x: int) -> str:
        """The column under a cell; empty if there is none."""
        edge = MARGIN
        for name, width in zip(self.names, self.widths, strict=True):
            edge += width + 1
            if x < edge:
                return name
        return ""


def layout_for(width: int, longest_name: int) -> Layout:
    """The columns that fit a width; name and model share what the others leave."""
    roomy = width >= _ROOMY
    widths = {
        "state": 13 if roomy else 11,
        "run": 0,
        "model": 0,
        **({"preset": 14} if roomy else {}),
        "reward": 7,
        "curve": 16 if roomy else 8,
        "step": 13 if roomy else 9,
        "age": 4,
    }
    for name in _DISPENSABLE:
        if _room(width, widths) < (_LEAST_FOR_BOTH if "model" in widths else _LEAST_FOR_NAME):
            del widths[name]
    if _room(width, widths) < _LEAST_FOR_NAME:
        widths["state"] = 1  # its sign
    room = max(0, _room(width, widths))
    if "model" in widths:
        longest = min(max(8, longest_name), _LONGEST_NAME)
        widths["run"] = min(longest, room - min(_SHORTEST_MODEL, room // 2))
        model = room - widths["run"]
        widths["model"] = min(model, _LONGEST_MODEL)
        if "curve" in widths:
            widths["curve"] += min(model - widths["model"], _MORE_CURVE)
        widths["run"] += max(0, model - _LONGEST_MODEL - _MORE_CURVE)
    else:
        widths["run"] = room
    return Layout(tuple(widths), tuple(widths.values()))


def _room(width: int, widths: Mapping[str, int]) -> int:
    """What columns leave of a width, with one cell between every two of them."""
    return width - MARGIN - sum(widths.values()) - (len(widths) - 1)
