"""The table of runs: one line a run, a cursor that stays on its run, marks, an order by column.

A widget of its own and no DataTable: a line is painted again only if its words changed, so that a
list of hundreds of runs costs a slow terminal nothing while nothing happens.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ppo_tui.runs.catalog import RunSummary
from ppo_tui.runs.phase import Phase
from ppo_tui.text.figures import sparkline

from .cells import fitted
from .run_columns import MARGIN, layout_for
from .run_rows import (
    Order,
    age,
    one_line,
    problem_words,
    reward_words,
    short_model,
    state_words,
    step_words,
)

POINTER, MARK = "▸", "*"
_RIGHT = frozenset({"reward", "step", "age"})
_BAD = frozenset({None, Phase.FAILED, Phase.CRASHED})


@dataclass(frozen=True, slots=True)
class Row:
    """One line's words, as long as their columns are wide, and how bad things are."""

    cells: tuple[str, ...]
    bad: bool
    live: bool


class RunTable(ScrollView, can_focus=True):
    """All runs, one a line.

    Attributes:
        order: By which column; shown in the head.
        marked: The paths of the runs that are marked.
    """

    HELP = """
The list of all runs. `up` and `down` choose one, `enter` opens it, `space` marks it, and `v`
compares what is marked. The keys `1` to `7`, or a click on a column's head, order the list by that
column; the same again turns it round (▲ smallest first, ▼ largest first).
"""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "run-table--head",
        "run-table--cursor",
        "run-table--cursor-blurred",
        "run-table--bad",
        "run-table--live",
        "run-table--marked",
        "run-table--muted",
    }

    DEFAULT_CSS = """
    RunTable { height: 1fr; width: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }
    RunTable > .run-table--head { color: $foreground-muted; text-style: underline; }
    RunTable > .run-table--cursor {
        background: $block-cursor-background;
        color: $block-cursor-foreground;
        text-style: $block-cursor-text-style;
    }
    RunTable > .run-table--cursor-blurred {
        background: $block-cursor-blurred-background;
        color: $block-cursor-blurred-foreground;
        text-style: $block-cursor-blurred-text-style;
    }
    RunTable > .run-table--bad { color: $text-error; }
    RunTable > .run-table--live { color: $text-success; }
    RunTable > .run-table--marked { color: $text-accent; text-style: bold; }
    RunTable > .run-table--muted { color: $foreground-muted; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", id="runs.up", show=False, tooltip="The run above"),
        Binding("down,j", "move(1)", "Down", id="runs.down", show=False, tooltip="The run below"),
        Binding("pageup", "page(-1)", "Page up", id="runs.page_up", show=False,
                tooltip="A page up"),
        Binding("pagedown", "page(1)", "Page down", id="runs.page_down", show=False,
                tooltip="A page down"),
        Binding("home", "first", "First", id="runs.first", show=False, tooltip="The first run"),
        Binding("end", "last", "Last", id="runs.last", show=False, tooltip="The last run"),
        Binding("space", "mark", "Mark", id="runs.mark", key_display="space", show=False,
                tooltip="Mark the run, to compare it with others"),
    ]  # fmt: skip

    class Highlighted(Message):
        """Another run is under the cursor, or the same one changed; None if there is none."""

        def __init__(self, run: RunSummary | None) -> None:
            super().__init__()
            self.run = run

    class Opened(Message):
        """A run was clicked twice."""

        def __init__(self, run: RunSummary) -> None:
            super().__init__()
            self.run = run

    class Headed(Message):
        """The head of a column was clicked."""

        def __init__(self, column: str) -> None:
            super().__init__()
            self.column = column

    class Marked(Message):
        """A run was marked, or is marked no longer."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.order = Order()
        self.marked: set[Path] = set()
        self._runs: list[RunSummary] = []
        self._rows: list[Row] = []
        self._cursor = 0
        self._layout = layout_for(80, 20)
        self._drawn: dict[int, Strip] = {}
        self._known: dict[Path, tuple[RunSummary, tuple[bool, str], Row]] = {}

    # ---- what is shown

    @property
    def highlighted(self) -> RunSummary | None:
        """The run under the cursor."""
        return self._runs[self._cursor] if self._runs else None

    @property
    def runs(self) -> Sequence[RunSummary]:
        """The runs in the order in which they stand."""
        return self._runs

    def show(self, runs: Sequence[RunSummary], order: Order, *, now: float | None = None) -> None:
        """Show runs in the order given; the cursor stays on its run, wherever that is now.

        Args:
            runs: The runs, as they shall stand.
            order: What they are ordered by, for the head.
            now: Unix seconds, to tell their age.
        """
        before, at = self.highlighted, self._cursor
        longest = max((cell_len(one_line(run.name)) for run in runs), default=0)
        layout = layout_for(self._width, longest)
        layout_changed = layout != self._layout
        head_changed = layout_changed or order != self.order
        self.order, self._layout, self._runs = order, layout, list(runs)
        self._place_cursor(before)
        moment = time.time() if now is None else now
        if layout_changed:
            self._known.clear()
        rows = [self._known_row(run, moment) for run in self._runs]
        old, self._rows = self._rows, rows
        if len(old) != len(rows):
            self.virtual_size = Size(self._width, len(rows) + 1)
        if head_changed or len(old) != len(rows):
            self._repaint()
        else:
            self._repaint_changed(old, {at, self._cursor} if at != self._cursor else set())
        if before is not self.highlighted:
            if before is None or self.highlighted is None or before.path != self.highlighted.path:
                self._keep_in_view()
            self.post_message(self.Highlighted(self.highlighted))

    def _place_cursor(self, before: RunSummary | None) -> None:
        paths = [run.path for run in self._runs]
        if before is not None and before.path in paths:
            self._cursor = paths.index(before.path)
        else:
            self._cursor = max(0, min(self._cursor, len(paths) - 1))

    def _repaint_changed(self, old: list[Row], also: set[int]) -> None:
        for y, (was, row) in enumerate(zip(old, self._rows, strict=True)):
            if was != row or y in also:
                self._repaint_row(y)

    def _known_row(self, run: RunSummary, now: float) -> Row:
        """The row of a run; made only if the run, its mark or its age is another than before."""
        key = (run.path in self.marked, age(run, now))
        known = self._known.get(run.path)
        if known is not None and known[0] is run and known[1] == key:
            return known[2]
        row = self._row(run, now)
        self._known[run.path] = (run, key, row)
        return row

    def _row(self, run: RunSummary, now: float) -> Row:
        marked = MARK if run.path in self.marked else " "
        sign, word = state_words(run)
        widths = dict(zip(self._layout.names, self._layout.widths, strict=True))
        state = f"{sign} {word}" if widths["state"] > 1 else sign
        cells = {"state": state, "run": one_line(run.name)}
        if run.problem:
            # Nothing is known of it but why: that takes the room of all other columns.
            widths = {"state": widths["state"], "run": widths["run"], "problem": self._layout.rest}
            cells["problem"] = problem_words(run)
        else:
            cells |= {
                "model": short_model(run.model, widths.get("model", 0)),
                "preset": one_line(run.preset),
                "reward": reward_words(run),
                "curve": sparkline(run.rewards, widths.get("curve", 0)),
                "step": step_words(run, widths.get("step", 0)),
                "age": age(run, now),
            }
        texts = (fitted(cells[name], width, right=name in _RIGHT) for name, width in widths.items())
        return Row((marked, *texts), bad=run.phase in _BAD, live=run.alive)

    # ---- cursor and marks

    def move_to(self, index: int) -> None:
        """Put the cursor on a line."""
        index = max(0, min(index, len(self._runs) - 1))
        if not self._runs or index == self._cursor:
            return
        before, self._cursor = self._cursor, index
        self._repaint_row(before)
        self._repaint_row(index)
        self._keep_in_view()
        self.post_message(self.Highlighted(self.highlighted))

    def action_move(self, by: int) -> None:
        """Move the cursor by lines."""
        self.move_to(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.move_to(self._cursor + by * max(1, self.size.height - 2))

    def action_first(self) -> None:
        """Move the cursor to the first line."""
        self.move_to(0)

    def action_last(self) -> None:
        """Move the cursor to the last line."""
        self.move_to(len(self._runs) - 1)

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away; then go on to the next."""
        run = self.highlighted
        if run is None:
            return
        self.marked ^= {run.path}
        self._rows[self._cursor] = self._row(run, time.time())
        self._repaint_row(self._cursor)
        self.post_message(self.Marked())
        self.action_move(1)

    def on_click(self, event: events.Click) -> None:
        """A click chooses a run, a second one opens it; on a head it orders the list."""
        if event.y == 0:
            column = self._layout.column_at(event.x)
            if column:
                self.post_message(self.Headed("reward" if column == "curve" else column))
            return
        index = event.y - 1 + round(self.scroll_y)
        if index >= len(self._runs):
            return
        self.move_to(index)
        if event.x < MARGIN:
            self.action_mark()
        elif event.chain == 2:
            self.post_message(self.Opened(self._runs[index]))

    def _keep_in_view(self) -> None:
        visible = max(1, self.size.height - 1)
        top = round(self.scroll_y)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + visible:
            self.scroll_to(y=self._cursor - visible + 1, animate=False)

    # ---- drawing

    @property
    def _width(self) -> int:
        # The scrollbar's column is always left free, so that it may come and go.
        return max(0, self.outer_size.width - 1)

    def on_resize(self) -> None:
        """Other columns; and the cursor stays in view."""
        self.virtual_size = Size(self._width, len(self._runs) + 1)
        self.show(self._runs, self.order)
        self._keep_in_view()

    def on_focus(self) -> None:
        """The cursor says whether keys go to the table."""
        self._repaint_row(self._cursor)

    def on_blur(self) -> None:
        """The cursor says whether keys go to the table."""
        self._repaint_row(self._cursor)

    def notify_style_update(self) -> None:
        """Another theme: what is drawn has the colours of the one before."""
        super().notify_style_update()
        self._drawn.clear()

    def _repaint(self) -> None:
        self._drawn.clear()
        self.refresh()

    def _repaint_row(self, row: int) -> None:
        self._drawn.pop(row, None)
        y = row + 1 - round(self.scroll_y)
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """The head, or a line of the list."""
        width = self.size.width
        if y == 0:
            return self._head().adjust_cell_length(width)
        row = y - 1 + round(self.scroll_y)
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        if row not in self._drawn:
            self._drawn[row] = self._line(row, width)
        return self._drawn[row].adjust_cell_length(width)

    def _head(self) -> Strip:
        cells = []
        for name, width in zip(self._layout.names, self._layout.widths, strict=True):
            title = "" if name == "curve" else name
            if name == self.order.column:
                title += "▼" if self.order.falling else "▲"
            cells.append(fitted(title, width, right=name in _RIGHT))
        text = " " * MARGIN + " ".join(cells)
        return Strip([Segment(text, self.rich_style + self._style("head"))])

    def _line(self, index: int, width: int) -> Strip:
        row = self._rows[index]
        mark, state, *rest = row.cells
        if index == self._cursor:
            style = self._style("cursor" if self.has_focus else "cursor-blurred")
            text = f"{POINTER}{mark} {' '.join((state, *rest))}"
            return Strip([Segment(fitted(text, width), style)])
        plain = self.rich_style
        tone = "bad" if row.bad else "live" if row.live else "muted"
        return Strip(
            [
                Segment(f" {mark} ", plain + self._style("marked")),
                Segment(f"{state} ", plain + self._style(tone)),
                Segment(" ".join(rest), plain),
            ]
        )

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"run-table--{name}", partial=True)
