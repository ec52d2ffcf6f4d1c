"""A list of samples: one line each, with its numbers and the beginning of the response.

Knows nothing of where the samples come from. Rows are made when they come into view, from the first
few hundred characters of a response, so that the length of a list and of its texts costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ppo_tui.runs.records import Sample
from ppo_tui.text.figures import number
from ppo_tui.text.plain import plain

from .cells import fitted

Order = Literal["newest", "best", "worst", "longest"]

ORDERS: tuple[Order, ...] = ("newest", "best", "worst", "longest")

WHOLE, CUT = "✓", "…"
"""Whether a response ended by itself or was cut off at its longest."""

_LOOKED_AT = 1000
_HEAD = 2


class SampleList(ScrollView, can_focus=True):
    """Samples, one a line.

    Attributes:
        order: How they are ordered.
    """

    HELP = f"""
What the model wrote. Each line is a response with its score, its KL to the base model in nats, its
length in tokens, whether it ended by itself ({WHOLE}) or was cut off ({CUT}), and `*` where it was
recorded token by token. `↑` and `↓` choose one, `enter` or two clicks open it, `d` changes the
order: newest, best, worst, longest.
"""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sample-list--title",
        "sample-list--head",
        "sample-list--cursor",
        "sample-list--cursor-blurred",
        "sample-list--good",
        "sample-list--bad",
        "sample-list--muted",
    }

    DEFAULT_CSS = """
    SampleList { height: 1fr; width: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }
    SampleList > .sample-list--title { color: $text-primary; text-style: bold; }
    SampleList > .sample-list--head { color: $foreground-muted; text-style: underline; }
    SampleList > .sample-list--cursor {
        background: $block-cursor-background;
        color: $block-cursor-foreground;
        text-style: $block-cursor-text-style;
    }
    SampleList > .sample-list--cursor-blurred {
        background: $block-cursor-blurred-background;
        color: $block-cursor-blurred-foreground;
        text-style: $block-cursor-blurred-text-style;
    }
    SampleList > .sample-list--good { color: $text-success; }
    SampleList > .sample-list--bad { color: $text-error; }
    SampleList > .sample-list--muted { color: $foreground-muted; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", id="samples.up", show=False, tooltip="The sample above"),
        Binding("down", "move(1)", "Down", id="samples.down", show=False,
                tooltip="The sample below"),
        Binding("pageup", "page(-1)", "Page up", id="samples.page_up", show=False,
                tooltip="A page up"),
        Binding("pagedown", "page(1)", "Page down", id="samples.page_down", show=False,
                tooltip="A page down"),
        Binding("home", "first", "First", id="samples.first", show=False,
                tooltip="The first sample"),
        Binding("end", "last", "Last", id="samples.last", show=False, tooltip="The last sample"),
        Binding("enter", "choose", "Open", id="samples.open",
                tooltip="Open the sample: all of it, token by token where it was recorded so"),
        Binding("d", "order", "Order", id="samples.order",
                tooltip="Change the order: newest, best, worst, longest"),
    ]  # fmt: skip

    class Chosen(Message):
        """A sample is to be opened."""

        def __init__(self, sample_list: SampleList, sample: Sample) -> None:
            super().__init__()
            self.sample_list = sample_list
            self.sample = sample

        @property
        def control(self) -> SampleList:
            """The list, for `on` with a selector."""
            return self.sample_list

    class Ordered(Message):
        """Another order was chosen; for a screen that has more samples than it has shown."""

        def __init__(self, order: Order) -> None:
            super().__init__()
            self.order = order

    def __init__(
        self,
        title: str = "Samples",
        order: Order = "newest",
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self.order: Order = order
        self._title = title
        self._note = ""
        self._step: int | None = None
        self._given: tuple[Sample, ...] = ()
        self._samples: list[Sample] = []
        self._many_steps = False
        self._cursor = 0
        self._drawn: dict[int, Strip] = {}
        self._drawn_width = 0

    # ---- what is shown

    @property
    def highlighted(self) -> Sample | None:
        """The sample under the cursor."""
        return self._samples[self._cursor] if self._samples else None

    @property
    def samples(self) -> Sequence[Sample]:
        """The samples in the order in which they stand."""
        return self._samples

    def show(self, samples: Sequence[Sample], step: int | None = None, note: str = "") -> None:
        """Show samples; the cursor stays on its sample if that is still there.

        Args:
            samples: In the order of the journal.
            step: Of which step they are, for the title; None if of several.
            note: More for the title, in few words, such as how many samples were looked at.
        """
        given = tuple(samples)
        if given == self._given and (step, note) == (self._step, self._note):
            return
        self._given, self._step, self._note = given, step, note
        self._many_steps = step is None and len({sample.step for sample in given}) > 1
        self._arrange()

    def set_order(self, order: Order) -> None:
        """Show them in another order, from its first."""
        self.order = order
        self._cursor = 0
        self._arrange(keep=False)

    def _arrange(self, *, keep: bool = True) -> None:
        before = self.highlighted
        self._samples = arranged(self._given, self.order)
        ids = {sample.id: row for row, sample in reversed(list(enumerate(self._samples)))}
        if keep and before is not None:
            self._cursor = ids.get(before.id, self._cursor)
        self._cursor = max(0, min(self._cursor, len(self._samples) - 1))
        self._lay_out()
        # The list's new height has to be known before it can be scrolled to.
        self.call_after_refresh(self._keep_in_view)

    # ---- cursor

    def move_to(self, row: int) -> None:
        """Put the cursor on a row."""
        row = max(0, min(row, len(self._samples) - 1))
        if not self._samples or row == self._cursor:
            return
        before, self._cursor = self._cursor, row
        self._repaint_row(before)
        self._repaint_row(row)
        self._keep_in_view()

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.move_to(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.move_to(self._cursor + by * max(1, self.size.height - _HEAD - 1))

    def action_first(self) -> None:
        """Move the cursor to the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """Move the cursor to the last row."""
        self.move_to(len(self._samples) - 1)

    def action_choose(self) -> None:
        """Open the sample under the cursor."""
        if self.highlighted is not None:
            self.post_message(self.Chosen(self, self.highlighted))

    def action_order(self) -> None:
        """Go on to the next order."""
        self.set_order(ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)])
        self.post_message(self.Ordered(self.order))

    def on_click(self, event: events.Click) -> None:
        """A click chooses a sample, a second one opens it; on the head it changes the order."""
        if event.y < _HEAD:
            self.action_order()
            return
        row = event.y - _HEAD + round(self.scroll_y)
        if row < len(self._samples):
            self.move_to(row)
            if event.chain == 2:
                self.action_choose()

    def _keep_in_view(self) -> None:
        visible = max(1, self.size.height - _HEAD)
        top = round(self.scroll_y)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + visible:
            self.scroll_to(y=self._cursor - visible + 1, animate=False)

    # ---- drawing

    def _lay_out(self) -> None:
        # The scrollbar's column is always left free, so that it may come and go.
        width = max(0, self.outer_size.width - 1)
        self.virtual_size = Size(width, len(self._samples) + _HEAD)
        self._drawn.clear()
        self.refresh()

    def on_resize(self) -> None:
        """Other widths; and the cursor stays in view."""
        self._lay_out()
        self._keep_in_view()

    def on_focus(self) -> None:
        """The cursor says whether keys go to the list."""
        self._repaint_row(self._cursor)

    def on_blur(self) -> None:
        """The cursor says whether keys go to the list."""
        self._repaint_row(self._cursor)

    def notify_style_update(self) -> None:
        """Another theme: what is drawn has the colours of the one before."""
        super().notify_style_update()
        self._drawn.clear()

    def _repaint_row(self, row: int) -> None:
        self._drawn.pop(row, None)
        y = row + _HEAD - round(self.scroll_y)
        if _HEAD <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """The title, the head, or a row."""
        width = self.scrollable_content_region.width
        if y == 0:
            return self._strip(self._title_words(), "title", width)
        if y == 1:
            none = "nothing has been written yet" if self._step is None else "none can be read"
            words = self._head_words() if self._samples else none
            return self._strip(words, "head" if self._samples else "muted", width)
        row = y - _HEAD + round(self.scroll_y)
        if row >= len(self._samples):
            return Strip.blank(width, self.rich_style)
        if width != self._drawn_width:  # a scrollbar has come or gone
            self._drawn.clear()
            self._drawn_width = width
        if row not in self._drawn:
            self._drawn[row] = self._row(row, width)
        return self._drawn[row]

    def _strip(self, words: str, name: str, width: int) -> Strip:
        return Strip([Segment(fitted(words, width), self.rich_style + self._style(name))])

    def _title_words(self) -> str:
        parts = [self._title]
        if self._step is not None:
            parts[0] += f" of step {self._step:,}"
        if self._samples:
            parts.append(f"{len(self._samples):,}")
            parts.append(f"{self.order} first")
        if self._note:
            parts.append(plain(self._note))
        return " · ".join(parts)

    def _head_words(self) -> str:
        step = f"{'step':>6} " if self._many_steps else ""
        return f"{step} {'score':>7} {'KL':>6} {'tok':>4} ?  response"

    def _row(self, row: int, width: int) -> Strip:
        sample = self._samples[row]
        step = f"{sample.step:>6} " if self._many_steps else ""
        score = f"{_sign(sample.score)}{number(sample.score):>7} "
        length = f"{sample.length}" if sample.length < 10_000 else f"{sample.length // 1000}k"
        facts = f"{number(sample.kl):>6} {length:>4} "
        ended = f"{WHOLE if sample.finished else CUT}{'*' if sample.tokens else ' '} "
        taken = len(step) + len(score) + len(facts) + len(ended)
        text = fitted(first_line(sample.response), max(0, width - taken))
        if row == self._cursor:
            style = self._style("cursor" if self.has_focus else "cursor-blurred")
            return Strip([Segment(fitted(f"{step}{score}{facts}{ended}{text}", width), style)])
        base = self.rich_style
        tone = "good" if sample.score > 0 else "bad" if sample.score < 0 else "muted"
        return Strip(
            [
                Segment(step, base + self._style("muted")),
                Segment(score, base + self._style(tone)),
                Segment(facts + ended, base + self._style("muted")),
                Segment(text, base),
            ]
        )

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"sample-list--{name}", partial=True)


def arranged(samples: Sequence[Sample], order: Order) -> list[Sample]:
    """The samples in an order; of equals the newer first. A score that is no number comes last."""
    newest = sorted(samples, key=lambda sample: sample.step)[::-1]
    if order == "newest":
        return newest
    if order == "longest":
        return sorted(newest, key=lambda sample: -sample.length)
    sign = -1 if order == "best" else 1

    def rank(sample: Sample) -> float:
        return math.inf if math.isnan(sample.score) else sign * sample.score

    return sorted(newest, key=rank)


def first_line(text: str) -> str:
    """The first line that says something, harmless; cut long before it could be slow."""
    return plain(text[:_LOOKED_AT].strip().partition("\n")[0])


def _sign(score: float) -> str:
    return "▲" if score > 0 else "▼" if score < 0 else " "
