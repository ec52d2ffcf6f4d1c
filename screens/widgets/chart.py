"""A chart of braille dots: one curve or several over the steps, with axes, a cursor and zoom.

Draws what it is given and keeps no data of its own; built anew only when something changed, and
only when it is looked at. Colour is never all that tells curves apart: each has its own dashes, and
its name stands in the title row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from inspect import cleandoc
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from ppo_tui.text.figures import number
from ppo_tui.text.metrics import explain
from ppo_tui.text.plain import shortened

from ..themes import SERIES, series_color
from .plot import Curve, Plot, axis_label, cells_of, trend
from .raster import (
    Floats,
    braille,
    column_ranges,
    dots_of,
    limits,
)

_GUTTER = 7
_NARROW = 28
_BLANK = 0x2800
_RAW = len(SERIES)
_POINTER = _RAW + 1
_PLAIN = ""


__all__ = ["Chart", "Curve", "Plot"]


class Chart(Widget, can_focus=True):
    """One plot in the panel's size; the first line is its title with the values at the cursor.

    Attributes:
        plot: What is shown.
        window: First and last step that are shown; None shows all.
        cursor: The step that is read; None reads the newest.
    """

    HELP = """
A chart of one group of numbers over the steps. The faint line is what was measured, the strong
one its smoothed course. The title row reads the newest values or, with the cursor (`left`,
`right`), the values at that step.
"""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--title",
        "chart--axis",
        "chart--raw",
        "chart--cursor",
    }

    DEFAULT_CSS = """
    Chart { height: 1fr; width: 1fr; min-height: 3; }
    Chart > .chart--title { color: $foreground; text-style: bold; }
    Chart > .chart--axis { color: $foreground-muted; }
    Chart > .chart--raw { color: $foreground 35%; }
    Chart > .chart--cursor { color: $accent; }
    Chart:focus > .chart--title { text-style: bold reverse; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Read", id="chart.left", tooltip="Read an earlier step"),
        Binding("right", "move(1)", "Read", id="chart.right", show=False,
                tooltip="Read a later step"),
        Binding("home", "move(-1000000)", "First", id="chart.first", show=False,
                tooltip="Read the first step"),
        Binding("end", "follow", "Newest", id="chart.newest", show=False,
                tooltip="Read the newest step again, and follow it"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", id="chart.zoom_in",
                tooltip="Look at fewer steps around the cursor"),
        Binding("minus", "zoom(2)", "Wider", id="chart.zoom_out", show=False,
                tooltip="Look at more steps"),
        Binding("0", "all", "All", id="chart.all", show=False, tooltip="Look at all steps"),
        Binding("y", "logarithmic", "Log", id="chart.log", show=False,
                tooltip="Show the values on a logarithmic axis"),
    ]  # fmt: skip

    window: reactive[tuple[float, float] | None] = reactive(None, repaint=False)
    cursor: reactive[int | None] = reactive(None, repaint=False)

    class Looked(Message):
        """The user moved the cursor or the window; whoever has several charts moves them all."""

        def __init__(self, cursor: int | None, window: tuple[float, float] | None) -> None:
            super().__init__()
            self.cursor = cursor
            self.window = window

    def __init__(self, plot: Plot, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._plot = plot
        self._logarithmic = plot.logarithmic
        self._strips: list[Strip] | None = None
        self._styles_known: dict[str, Style] = {}
        self._extent = (0.0, 1.0)

    @property
    def plot(self) -> Plot:
        """What is shown."""
        return self._plot

    @plot.setter
    def plot(self, plot: Plot) -> None:
        self._plot = plot
        self._logarithmic = plot.logarithmic
        self.redraw()

    def explain(self) -> str:
        """What a chart is, and what the numbers of this one mean."""
        parts = [cleandoc(self.HELP)]
        for name in self._plot.metrics():
            about = explain(name)
            if about is not None:
                parts.append(f"**{about.title}** (`{name}`): {about.words}")
                parts.append(f"*When all is well:* {about.healthy}")
        return "\n\n".join(parts)

    def redraw(self) -> None:
        """The data changed; it is drawn when it is next looked at."""
        self._strips = None
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme: the strips hold colours."""
        super().notify_style_update()
        self._restyle()

    def watch_window(self) -> None:
        """Draw another part."""
        self.redraw()

    def watch_cursor(self) -> None:
        """Draw the cursor elsewhere."""
        self.redraw()

    def on_resize(self) -> None:
        """Another size, other dots."""
        self._strips = None

    def on_focus(self) -> None:
        """The title says who has the focus."""
        self._restyle()

    def on_blur(self) -> None:
        """The title says who has the focus."""
        self._restyle()

    def render_line(self, y: int) -> Strip:
        """A line of the chart."""
        width = self.size.width
        if self._strips is None or len(self._strips) != self.size.height:
            self._strips = self._draw(width, self.size.height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width, self._style(_PLAIN))

    # ---- keys and mouse

    def action_move(self, columns: int) -> None:
        """Move the cursor by columns of dots, at least by a step."""
        start, end = self._extent
        at = self.cursor if self.cursor is not None else end
        step = max(1.0, (end - start) / max(1, self._dot_columns() - 1))
        target = round(min(max(at + columns * step, start), end))
        self._look(int(target), self.window)

    def action_follow(self) -> None:
        """Read the newest step again."""
        self._look(None, None)

    def action_zoom(self, factor: float) -> None:
        """Look at fewer or more steps around the cursor."""
        start, end = self._extent
        first, last = self._bounds(self._plot.curves())
        around = self.cursor if self.cursor is not None else end
        half = max(2.0, (end - start) * factor / 2)
        if 2 * half >= last - first:
            self._look(self.cursor, None)
            return
        left = min(max(around - half, first), last - 2 * half)
        self._look(self.cursor if self.cursor is not None else int(end), (left, left + 2 * half))

    def action_all(self) -> None:
        """Look at all steps."""
        self._look(self.cursor, None)

    def action_logarithmic(self) -> None:
        """Show the values on a logarithmic axis, or on a linear one."""
        self._logarithmic = not self._logarithmic
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Read the step under the pointer."""
        gutter = self._gutter()
        columns = self.size.width - gutter
        if event.y < 1 or columns < 2 or event.x < gutter:
            return
        start, end = self._extent
        share = (event.x - gutter) / (columns - 1)
        self._look(round(start + share * (end - start)), self.window)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in, if the chart has the focus; otherwise the page scrolls."""
        if self.has_focus:
            event.stop()
            self.action_zoom(0.5)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out."""
        if self.has_focus:
            event.stop()
            self.action_zoom(2)

    def _look(self, cursor: int | None, window: tuple[float, float] | None) -> None:
        self.cursor = cursor
        self.window = window
        self.post_message(self.Looked(cursor, window))

    # ---- drawing

    def _gutter(self) -> int:
        return _GUTTER if self.size.width >= _NARROW else 0

    def _dot_columns(self) -> int:
        return max(2, 2 * (self.size.width - self._gutter()))

    @staticmethod
    def _bounds(curves: Sequence[Curve]) -> tuple[float, float]:
        known = [curve.x for curve in curves if len(curve.x)]
        if not known:
            return 0.0, 1.0
        first = min(float(x[0]) for x in known)
        last = max(float(x[-1]) for x in known)
        return (first, last) if last > first else (first - 0.5, first + 0.5)

    def _draw(self, width: int, height: int) -> list[Strip]:
        curves = list(self._plot.curves())
        self._extent = self.window or self._bounds(curves)
        strips = [self._title(curves, width)]
        axis = height >= 7 and width >= _NARROW
        rows = height - 1 - axis
        if rows < 1:
            return strips
        strips += self._plot_rows(curves, width, rows)
        if axis:
            strips.append(self._axis(width))
        return strips

    def _restyle(self) -> None:
        self._styles_known.clear()
        self._strips = None

    def _style(self, name: str) -> Style:
        """A style of the sheet; looked up once, as it costs more than drawing what it colours."""
        style = self._styles_known.get(name)
        if style is None:
            style = self.get_component_rich_style(name) if name else self.rich_style
            self._styles_known[name] = style
        return style

    def _series_style(self, color: int) -> Style:
        """A curve's colour, from the theme: a component class each would slow every restyling."""
        variable = SERIES[color % len(SERIES)].variable
        style = self._styles_known.get(variable)
        if style is None:
            shade = Color.parse(series_color(self.app, variable))
            style = self._style(_PLAIN) + Style(color=shade.rich_color)
            self._styles_known[variable] = style
        return style

    def _title(self, curves: Sequence[Curve], width: int) -> Strip:
        """The title, and each curve's value as far as there is room; names go before values."""
        pointer = "▸" if self.has_focus else " "
        head = [Segment(f"{pointer}{self._plot.title} ", self._style("chart--title"))]
        tail = []
        if self.cursor is not None:
            tail.append(Segment(f"  at {self.cursor}", self._style("chart--cursor")))
        if self._logarithmic:
            tail.append(Segment("  log", self._style("chart--axis")))
        room = width - sum(segment.cell_length for segment in (*head, *tail))
        for longest in (14, 7, 0):
            legend = [self._entry(curve, len(curves) == 1, longest) for curve in curves]
            if sum(cells_of(entry) for entry in legend) <= room:
                break
        while legend and sum(cells_of(entry) for entry in legend) > room:
            legend.pop()
        middle = [segment for entry in legend for segment in entry]
        return Strip([*head, *middle, *tail]).adjust_cell_length(width, self._style(_PLAIN))

    def _entry(self, curve: Curve, single: bool, longest: int) -> list[Segment]:
        """A curve's sign, its name in at most so many cells, and its value."""
        style = self._series_style(curve.color)
        value, earlier = self._values_of(curve)
        words = " "
        if not single:
            words = f" {SERIES[curve.color % len(SERIES)].mark} "
            if longest:
                words += f"{shortened(curve.label, longest)} "
        entry = [Segment(words, style), Segment(number(value), style + Style(bold=True))]
        if single and self.cursor is None and math.isfinite(value) and math.isfinite(earlier):
            entry.append(Segment(f" {trend(value, earlier)}", self._style("chart--axis")))
        return entry

    def _values_of(self, curve: Curve) -> tuple[float, float]:
        """The value that is read, and one a tenth of the course earlier, to say where it goes."""
        if not len(curve.x):
            return math.nan, math.nan
        values = curve.y if curve.smooth is None else curve.smooth
        if self.cursor is not None:
            row = int(np.searchsorted(curve.x, self.cursor, side="right")) - 1
            return (float(curve.y[row]) if row >= 0 else math.nan), math.nan
        back = max(1, len(values) // 10)
        return float(curve.y[-1]), float(values[-1 - back]) if len(values) > back else math.nan

    def _plot_rows(self, curves: Sequence[Curve], width: int, rows: int) -> list[Strip]:
        gutter = self._gutter()
        columns = width - gutter
        if columns < 1:
            return [Strip.blank(width, self._style(_PLAIN))] * rows
        start, end = self._extent
        drawn = [self._ranges(curve, start, end, 2 * columns) for curve in curves]
        log = self._logarithmic
        everything = [part for lows, highs, _, _ in drawn for part in (lows, highs)]
        if everything and self._plot.span is not None:
            everything.append(np.array(self._plot.span))
        bounds = limits(np.concatenate(everything) if everything else np.empty(0), logarithmic=log)
        if bounds is None:
            return self._nothing(width, rows)
        codes = np.full((rows, columns), _BLANK, dtype=np.uint32)
        ink = np.full((rows, columns), -1, dtype=np.int64)
        # The raw courses first, all of them, then the smoothed ones over them.
        for low, high, smooth, _ in drawn:
            if smooth is not None:
                self._lay(codes, ink, low, high, bounds, _RAW)
        for low, high, smooth, curve in drawn:
            upper = (low, high) if smooth is None else smooth
            self._lay(codes, ink, *upper, bounds, curve.color % len(SERIES))
        labels = self._labels(bounds, rows, gutter)
        cursor = self._cursor_column(columns)
        styles = [self._series_style(index) for index in range(len(SERIES))]
        styles.append(self._style("chart--raw"))
        axis, pointer = self._style("chart--axis"), self._style("chart--cursor")
        plain = self._style(_PLAIN)
        strips = []
        for row in range(rows):
            segments = [Segment(labels[row], axis)] if gutter else []
            text = codes[row].astype("<u4").tobytes().decode("utf-32-le")
            inks = ink[row]
            if cursor is not None:
                if inks[cursor] < 0:
                    text = f"{text[:cursor]}│{text[cursor + 1 :]}"
                inks = inks.copy()
                inks[cursor] = _POINTER
            edges = np.flatnonzero(np.diff(inks)) + 1
            for first, last in zip([0, *edges.tolist()], [*edges.tolist(), columns], strict=True):
                kind = int(inks[first])
                style = pointer if kind == _POINTER else plain if kind < 0 else styles[kind]
                segments.append(Segment(text[first:last].replace("⠀", " "), style))
            strips.append(Strip(segments, width))
        return strips

    def _ranges(
        self, curve: Curve, start: float, end: float, columns: int
    ) -> tuple[Floats, Floats, tuple[Floats, Floats] | None, Curve]:
        low, high = column_ranges(curve.x, curve.y, start, end, columns)
        smooth = None
        if curve.smooth is not None:
            smooth = column_ranges(curve.x, curve.smooth, start, end, columns)
        return low, high, smooth, curve

    def _lay(
        self,
        codes: np.ndarray[tuple[int, int], np.dtype[np.uint32]],
        ink: np.ndarray[tuple[int, int], np.dtype[np.int64]],
        low: Floats,
        high: Floats,
        bounds: tuple[float, float],
        color: int,
    ) -> None:
        """Lay a curve over what is drawn; a cell belongs to the last one that touches it."""
        bottom, top = bounds
        if self._logarithmic:
            with np.errstate(invalid="ignore", divide="ignore"):
                low, high = np.log(low), np.log(high)
            low = np.where(np.isfinite(low), low, math.nan)
            bottom, top = math.log(bottom), math.log(top)
        dashes = () if color == _RAW else SERIES[color].dashes
        dots = dots_of(low, high, bottom, top, 4 * len(codes), dashes)
        cells = braille(dots)
        touched = cells != _BLANK
        codes[touched] = cells[touched]
        ink[touched] = color

    def _labels(self, bounds: tuple[float, float], rows: int, gutter: int) -> list[str]:
        labels = [" " * gutter] * rows
        if not gutter:
            return labels
        bottom, top = bounds
        places = {0: top, rows - 1: bottom} if rows > 1 else {0: top}
        if rows >= 5:
            middle = math.sqrt(bottom * top) if self._logarithmic else (bottom + top) / 2
            places[rows // 2] = middle
        for row, value in places.items():
            labels[row] = f"{axis_label(value, gutter - 1):>{gutter - 1}}┤"
        return labels

    def _cursor_column(self, columns: int) -> int | None:
        if self.cursor is None:
            return None
        start, end = self._extent
        column = round((self.cursor - start) / (end - start) * (columns - 1))
        return column if 0 <= column < columns else None

    def _axis(self, width: int) -> Strip:
        gutter = self._gutter()
        start, end = self._extent
        left, right = f"{start:.0f}", f"{end:.0f}"
        room = width - gutter - len(left) - len(right)
        line = f"{'':<{gutter}}{left}{'':<{max(1, room)}}{right}"
        return Strip([Segment(line[:width], self._style("chart--axis"))]).adjust_cell_length(
            width, self._style(_PLAIN)
        )

    def _nothing(self, width: int, rows: int) -> list[Strip]:
        words = "no positive value" if self._logarithmic else "no values yet"
        strips = [Strip.blank(width, self._style(_PLAIN))] * rows
        middle = Segment(words[:width].center(width), self._style("chart--axis"))
        strips[rows // 2] = Strip([middle], width)
        return strips
