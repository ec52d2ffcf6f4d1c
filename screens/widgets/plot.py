"""What a chart shows, and the words and numbers around its curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.segment import Segment

from ppo_tui.text.figures import number

from .raster import Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn.

    Attributes:
        label: Its name in the title row.
        x: Steps, ``[N]``, ascending.
        y: Values, ``[N]``; not finite is a gap.
        smooth: The smoothed values, ``[N]``, drawn over the raw ones; None draws the raw ones.
        color: Number of its colour, from 0.
    """

    label: str
    x: Floats
    y: Floats
    smooth: Floats | None = None
    color: int = 0


@dataclass(frozen=True, slots=True)
class Plot:
    """What a chart shows: its title and its curves, read anew each time it is drawn.

    Attributes:
        title: What stands over it.
        curves: Gives the curves as they are now.
        logarithmic: Whether its axis is logarithmic at first.
        metrics: Gives the names of the metrics that it shows, for its help.
        span: Values that its axis shows in any case, so that little does not look like much.
    """

    title: str
    curves: Callable[[], Sequence[Curve]]
    logarithmic: bool = False
    metrics: Callable[[], Sequence[str]] = tuple
    span: tuple[float, float] | None = None


def cells_of(entry: Sequence[Segment]) -> int:
    """Cells that the segments take."""
    return sum(segment.cell_length for segment in entry)


def axis_label(value: float, width: int) -> str:
    """A number for an axis, in at most so many characters."""
    text = number(value)
    if len(text) <= width:
        return text
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"[:width]


def trend(value: float, earlier: float) -> str:
    """A sign for where a value goes: up, down, or nowhere."""
    if abs(value - earlier) <= 1e-3 * max(abs(value), abs(earlier)):
        return "→"
    return "▲" if value > earlier else "▼"
