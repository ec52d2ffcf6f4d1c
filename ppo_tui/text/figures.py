"""Numbers, durations and curves in the few characters that a terminal has for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from ppo_tui.text.plain import plain

ABSENT = "–"
_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-:=+*#"


def number(value: float | None) -> str:
    """About three digits; `–` for what is absent or not a number."""
    if value is None or math.isnan(value):
        return ABSENT
    if value == 0 or 5e-4 <= abs(value) < 1e5:
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 100 else 0
        text = f"{value:.{digits}f}"
        return text.removeprefix("-") if float(text) == 0 else text
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if exponent else mantissa


def percent(value: float | None) -> str:
    """A share as a percentage."""
    if value is None or math.isnan(value):
        return ABSENT
    return f"{100 * value:.0f} %"


def compact(value: float | None) -> str:
    """A large number with a k or an M."""
    if value is None or math.isnan(value):
        return ABSENT
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """`0:42`, `12:05`, `3:20:00` or `2 d 4 h`."""
    if seconds is None or math.isnan(seconds):
        return "–:––"
    whole = max(0, round(seconds))
    if whole >= 172_800:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


def ago(seconds: float) -> str:
    """How long ago, in one word and a half."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def size(count: float) -> str:
    """Bytes in GiB or MiB."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """The curve in `width` characters, each the mean of its share of the values; gaps for NaN."""
    bars = _ASCII_BARS if ascii_only else _BARS
    if width <= 0 or not values:
        return ""
    cells = [_mean(part) for part in _parts(values, min(width, len(values)))]
    known = [cell for cell in cells if math.isfinite(cell)]
    if not known:
        return " " * len(cells)
    low, high = min(known), max(known)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(
        bars[round((cell - low) * scale)] if math.isfinite(cell) else " " for cell in cells
    )


def named(path: object) -> str:
    """A path as it stands in a sentence."""
    return plain(str(path))


def _parts(values: Sequence[float], count: int) -> list[Sequence[float]]:
    edges = [len(values) * i // count for i in range(count + 1)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
