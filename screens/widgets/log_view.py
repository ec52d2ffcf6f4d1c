"""Many lines of foreign text, drawn as they come into view: literal, wrapped or not, searched in.

Drawing costs what is on the screen, however many lines there are; a line of any length is laid out
once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, NamedTuple

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip


class Row(NamedTuple):
    """A row of the screen: characters `start` to `end` of a line."""

    line: int
    start: int
    end: int


class Broken(NamedTuple):
    """A line as it is laid out: where its rows begin and the last ends, and its cells."""

    edges: tuple[int, ...]
    cells: int


def broken(text: str, width: int | None) -> Broken:
    """A line cut into rows of `width` cells; None leaves it whole."""
    ascii_only = text.isascii()
    cells = len(text) if ascii_only else cell_len(text)
    if width is None or cells <= width:
        return Broken((0, len(text)), cells)
    if ascii_only:
        return Broken((*range(0, cells, width), cells), cells)
    return Broken((0, *accumulate(map(len, chop_cells(text, width)))), cells)


class LogView(ScrollView, can_focus=True):
    """A view of lines that stays at their end while more come, unless it was scrolled away."""

    HELP = """
    The end of what the worker printed. The view follows as it grows; scrolling up looks back, and
    `f` follows again. `/` searches, `n` and `p` go from match to match.
    """

    class Scrolled(Message):
        """Another part is in view."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--match", "log--here"}
    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        scrollbar-size: 1 1;
        overflow-x: hidden;
        overflow-y: scroll;
        background: $surface;
        padding: 0 1;
    }
    LogView .log--match {
        text-style: underline bold;
    }
    LogView .log--here {
        text-style: reverse bold;
    }
    """

    def __init__(self, *, wrap: bool = True, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._wrap = wrap
        self.styles.overflow_x = "hidden" if wrap else "auto"
        self._lines: Sequence[str] = ()
        self._first = self._generation = 0
        self._broken: list[Broken] = []
        self._starts: list[int] = [0]
        self._width = 0
        self._needle = ""
        self._matches: list[int] = []
        self._here = -1

    # ---- what is shown

    def show(self, lines: Sequence[str], first: int = 0, generation: int = 0) -> None:
        """Show other lines; harmless ones, without line ends.

        Args:
            lines: All of them.
            first: How many came before the first: what was shown already is not laid out again.
            generation: Another one means that nothing of what was shown is known to be the same.
        """
        at_end = self.follows
        gone = first - self._first
        if generation != self._generation or gone < 0:
            gone = len(self._broken)
        elif gone and not at_end:
            # What is looked at stays where it is, while lines above it are forgotten.
            rows = self._starts[min(gone, len(self._broken))]
            self.scroll_to(y=self.scroll_offset.y - rows, animate=False, immediate=True)
        # The very last line may have grown.
        kept = self._broken[gone:-1]
        self._here = self._here - gone if self._here >= gone else -1
        self._lines, self._first, self._generation = lines, first, generation
        self._search()
        self._lay_out(kept, at_end=at_end)

    @property
    def lines(self) -> Sequence[str]:
        """What is shown."""
        return self._lines

    @property
    def follows(self) -> bool:
        """Whether the end is in view, and stays so."""
        return self.scroll_offset.y >= self.max_scroll_y

    @property
    def wrap(self) -> bool:
        """Whether long lines are broken; else they go on to the right."""
        return self._wrap

    @wrap.setter
    def wrap(self, wrap: bool) -> None:
        at_end, line = self.follows, self._line_on_top()
        self._wrap = wrap
        self.styles.overflow_x = "hidden" if wrap else "auto"
        self._lay_out([], at_end=at_end, line=line)

    def follow(self) -> None:
        """Go to the end, and stay there."""
        self.scroll_end(animate=False, immediate=True)

    # ---- search

    def find(self, needle: str) -> int:
        """Mark the lines that hold a text, whatever its case; how many there are."""
        self._needle = needle.casefold()
        self._search()
        self.refresh()
        return len(self._matches)

    @property
    def found(self) -> tuple[int, int]:
        """Which match is in view, counted from 1 (0: none), and how many there are."""
        if self._here in self._matches:
            return self._matches.index(self._here) + 1, len(self._matches)
        return 0, len(self._matches)

    def go_to_match(self, step: int) -> bool:
        """Go to the next match (1) or the one before (-1), round the end; whether there is one."""
        if not self._matches:
            return False
        if self._here in self._matches:
            index = self._matches.index(self._here) + step
        else:
            index = bisect_left(self._matches, self._line_on_top()) - (step < 0)
        self._here = self._matches[index % len(self._matches)]
        row = self._starts[self._here]
        height = self.scrollable_content_region.height
        self.scroll_to(y=max(0, row - height // 2), animate=False, immediate=True)
        self.refresh()
        return True

    def go_to_last_match(self) -> bool:
        """Go to the newest match; whether there is one."""
        self._here = self._matches[0] if self._matches else -1
        return self.go_to_match(-1)

    def _search(self) -> None:
        needle = self._needle
        self._matches = (
            [i for i, line in enumerate(self._lines) if needle in line.casefold()] if needle else []
        )
        if self._here >= len(self._lines):
            self._here = -1

    # ---- layout

    def on_resize(self) -> None:
        """Break the lines for another width."""
        width = self.scrollable_content_region.width
        if width != self._width:
            self._lay_out([], at_end=self.follows or not self._width, line=self._line_on_top())

    def _line_on_top(self) -> int:
        return self._row(self.scroll_offset.y).line

    def row_count(self) -> int:
        """Rows of all lines."""
        return self._starts[-1]

    def _row(self, index: int) -> Row:
        if index >= self.row_count():
            return Row(max(0, len(self._broken) - 1), 0, 0)
        line = bisect_right(self._starts, index) - 1
        edges, part = self._broken[line].edges, index - self._starts[line]
        return Row(line, edges[part], edges[part + 1])

    def _lay_out(self, kept: list[Broken], *, at_end: bool, line: int | None = None) -> None:
        self._width = self.scrollable_content_region.width
        if not self._width:
            self._broken, self._starts = [], [0]
            return
        width = self._width if self._wrap else None
        kept = kept[: len(self._lines)]
        self._broken = kept + [broken(text, width) for text in self._lines[len(kept) :]]
        rows = accumulate((len(one.edges) - 1 for one in self._broken), initial=0)
        self._starts = list(rows)
        widest = max((one.cells for one in self._broken), default=0)
        self.virtual_size = Size(
            self._width if self._wrap else max(self._width, widest), self.row_count()
        )
        if at_end:
            self.call_after_refresh(self.follow)
        elif line is not None and line < len(self._broken):
            self.call_after_refresh(
                self.scroll_to, y=self._starts[line], animate=False, immediate=True
            )
        self.refresh()

    # ---- drawing

    def render_line(self, y: int) -> Strip:
        """One row."""
        left, top = self.scroll_offset
        width = self.scrollable_content_region.width
        style = self.rich_style
        index = top + y
        if index >= self.row_count():
            return Strip.blank(width, style)
        row = self._row(index)
        text = self._lines[row.line]
        segments = [
            Segment(text[start:end], style + self.get_component_rich_style(name, partial=True))
            if name
            else Segment(text[start:end], style)
            for start, end, name in self._parts(row, text)
        ]
        strip = Strip(segments).crop_extend(left, left + width, style)
        return strip.apply_offsets(left, index)

    def _parts(self, row: Row, text: str) -> list[tuple[int, int, str]]:
        """The row cut where matches begin and end, each with its component class."""
        needle = self._needle
        folded = text.casefold() if needle else ""
        # Folding may lengthen a text, as ß does; then no character is where it was.
        if not needle or len(folded) != len(text) or needle not in folded:
            return [(row.start, row.end, "")]
        name = "log--here" if row.line == self._here else "log--match"
        parts, at = [], row.start
        found = folded.find(needle)
        while 0 <= found < row.end:
            start, end = max(found, row.start), min(found + len(needle), row.end)
            if start < end:
                parts += [(at, start, ""), (start, end, name)]
                at = end
            found = folded.find(needle, found + len(needle))
        return [*parts, (at, row.end, "")]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell the screen whether the end is in view."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Scrolled())
