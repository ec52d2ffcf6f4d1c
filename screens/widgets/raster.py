"""From numbers to braille: which dots of a grid a curve covers. Pure functions on numpy arrays.

A character of braille is 2 dots wide and 4 high. A curve with more points than dot columns is drawn
as the smallest and largest value of each column, so that no spike is lost; one with fewer points as
straight lines between them. Values that are not finite leave a gap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Dots = npt.NDArray[np.bool_]

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)


class Smoother:
    """Exponential moving average with the bias of its start removed; gaps stay gaps.

    ``m_t = w·m_{t-1} + (1-w)·x_t``, shown as ``m_t / (1 - w^t)`` (Adam's correction,
    arXiv:1412.6980), so that a constant stays that constant and the first value is the first point.
    Takes points as they come and does not look back: what is drawn of the past never moves.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._mean = 0.0
        self._count = 0
        self._values = np.empty(256)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> Floats:
        """The smoothed series so far, one value a point; a view."""
        return self._values[: self._length]

    def extend(self, values: Floats) -> None:
        """Take further points."""
        end = self._length + len(values)
        if end > len(self._values):
            larger = np.empty(max(end, 2 * len(self._values)))
            larger[: self._length] = self._values[: self._length]
            self._values = larger
        weight, mean, count = self.weight, self._mean, self._count
        smoothed: list[float] = []
        for value in values.tolist():
            if math.isfinite(value):
                count += 1
                mean = weight * mean + (1 - weight) * value
                smoothed.append(mean / (1 - weight**count) if weight else value)
            else:
                smoothed.append(math.nan)
        self._values[self._length : end] = smoothed
        self._mean, self._count, self._length = mean, count, end


def column_ranges(
    x: Floats, y: Floats, start: float, end: float, columns: int
) -> tuple[Floats, Floats]:
    """The smallest and largest value that a curve takes in each dot column.

    Args:
        x: Where the points lie, ``[N]``, ascending.
        y: Their values, ``[N]``; not finite means a gap.
        start: What the left edge stands for.
        end: What the right edge stands for, above `start`.
        columns: Dot columns, C.

    Returns:
        Low and high, ``[C]`` each, NaN where the curve has a gap or has not come to.
    """
    low = np.full(columns, math.nan)
    high = np.full(columns, math.nan)
    first = max(0, int(np.searchsorted(x, start)) - 1)
    last = min(len(x), int(np.searchsorted(x, end, side="right")) + 1)
    x, y = x[first:last], y[first:last]
    if not len(x):
        return low, high
    scale = (columns - 1) / (end - start)
    place = (x - start) * scale
    index = np.rint(place)
    inside = (index >= 0) & (index < columns) & np.isfinite(y)
    if inside.any():
        at, values = index[inside].astype(np.intp), y[inside]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(at)) + 1))
        low[at[starts]] = np.minimum.reduceat(values, starts)
        high[at[starts]] = np.maximum.reduceat(values, starts)
    _bridge(place, y, low, high)
    return low, high


def _bridge(place: Floats, y: Floats, low: Floats, high: Floats) -> None:
    """Draw straight lines over the columns that lie between two neighbouring points."""
    columns = len(low)
    if len(place) < 2:
        return
    empty = np.isnan(low)
    if not empty.any():
        return
    at = np.flatnonzero(empty).astype(np.float64)
    right = np.searchsorted(place, at)
    between = (right > 0) & (right < len(place))
    at, right = at[between], right[between]
    left = right - 1
    span = place[right] - place[left]
    with np.errstate(invalid="ignore", divide="ignore"):
        line = y[left] + (at - place[left]) / span * (y[right] - y[left])
    known = np.isfinite(line)
    target = at[known].astype(np.intp)
    target = target[(target >= 0) & (target < columns)]
    low[target] = line[known]
    high[target] = line[known]


def dots_of(
    low: Floats,
    high: Floats,
    bottom: float,
    top: float,
    rows: int,
    dashes: Sequence[int] = (),
) -> Dots:
    """The dots that a curve covers, ``[rows, C]``, the first row at the top.

    Args:
        low: From `column_ranges`, ``[C]``.
        high: Likewise.
        bottom: What the lowest row stands for.
        top: What the highest row stands for, above `bottom`.
        rows: Dot rows.
        dashes: Dot columns drawn, left out, drawn, …, over and over; empty is a solid line.
    """
    columns = len(low)
    known = np.isfinite(low)
    dots = np.zeros((rows, columns), dtype=np.bool_)
    if not known.any():
        return dots
    scale = (rows - 1) / (top - bottom)
    upper = np.full(columns, rows, dtype=np.int64)
    lower = np.full(columns, -1, dtype=np.int64)
    upper[known] = np.clip(np.rint((top - high[known]) * scale), 0, rows - 1)
    lower[known] = np.clip(np.rint((top - low[known]) * scale), 0, rows - 1)
    # Neighbours are joined: a steep line has no holes.
    both = known[1:] & known[:-1]
    joined_upper, joined_lower = upper.copy(), lower.copy()
    down = both & (upper[1:] > lower[:-1] + 1)
    joined_upper[1:][down] = lower[:-1][down] + 1
    up = both & (lower[1:] < upper[:-1] - 1)
    joined_lower[1:][up] = upper[:-1][up] - 1
    row = np.arange(rows)[:, None]
    dots = (row >= joined_upper) & (row <= joined_lower)
    if not dashes:
        return dots
    drawn = np.repeat(np.arange(len(dashes)) % 2 == 0, dashes)
    return dots & np.resize(drawn, columns)


def braille(dots: Dots) -> npt.NDArray[np.uint32]:
    """The dots as code points of braille, ``[rows / 4, C / 2]``; an empty one is U+2800."""
    rows, columns = dots.shape
    cells = dots.reshape(rows // 4, 4, columns // 2, 2).astype(np.uint32)
    codes: npt.NDArray[np.uint32] = 0x2800 + np.einsum("ijkl,jl->ik", cells, _BITS)
    return codes


def limits(values: Floats, *, logarithmic: bool = False) -> tuple[float, float] | None:
    """Bottom and top of an axis that shows all finite values; None if there are none.

    Values that are all alike lie in the middle. A logarithmic axis shows positive values only.
    """
    known = values[np.isfinite(values)]
    if logarithmic:
        known = known[known > 0]
    if not len(known):
        return None
    bottom, top = float(known.min()), float(known.max())
    if top - bottom <= 1e-12 * max(abs(top), abs(bottom)):
        margin = abs(top) * 0.5 or 1.0
        if logarithmic:
            return bottom / 2, top * 2
        return bottom - margin, top + margin
    return bottom, top
