"""Several runs on one chart, with what differs between them and their answers side by side.

The curves come from the app's feed, one journal read for each run; settings, numbers and answers
come from `ppo_tui.runs.comparison`, as on the command line. Runs that go on keep moving here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from ppo_tui.errors import PpoTuiError, UsageError
from ppo_tui.runs.comparison import Comparer, Comparison
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.state import Observed
from ppo_tui.text.figures import number
from ppo_tui.text.plain import shortened

from .base import PpoScreen
from .curves import RunCurves
from .dialogs import Choose
from .feed import FeedPulse, RunSource, Subscription
from .literal import literal, update_changed
from .status import phase_words
from .themes import SERIES
from .widgets.chart import Chart, Curve, Plot
from .widgets.side_by_side import answers_table, figures_table, numbered, settings_table

if TYPE_CHECKING:
    from rich.console import RenderableType

LOOK_SECONDS = 0.5
"""The chart is drawn, and the runs compared, at most this often."""

FIRST_METRIC = "reward/score"
PARTS = ("settings", "numbers", "answers")

_READING_TICKS = 4

_MANY, _TALL = 3, 32
"""More runs than this are told in fewer words on a screen with fewer lines than that."""


class CompareScreen(PpoScreen[None]):
    """Two to eight runs.

    Args:
        runs: The runs, in the order in which they are numbered.
    """

    CSS_PATH = "compare.tcss"
    TITLE_WORDS = "ppo-tui  Compare"
    AUTO_FOCUS = "Chart"

    HELP = """
# Compare

Two to eight runs on one chart. Each has a number and a line of its own; the lines above the lower
part say which is which, with the value at the cursor, or else the newest, as it was measured.

`m` chooses the metric, `n` and `b` take the next one and the one before. `t` puts time instead of
steps on the axis: the time at work, pauses left out. `f` smooths the curves, or no longer. In the
chart `left` and `right` read values, `+`, `-` and `0` zoom, `y` makes the axis logarithmic.

Below: `1` the settings that differ, `2` the numbers of the last step and of the last evaluation,
`3` the answers to the same prompts. `tab` goes there, to scroll.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "metric", "Metric", id="compare.metric", tooltip="Choose what is drawn"),
        Binding("n", "next_metric(1)", "Next", id="compare.next_metric",
                tooltip="Draw the next metric"),
        Binding("b", "next_metric(-1)", "Before", id="compare.previous_metric", show=False,
                tooltip="Draw the metric before"),
        Binding("t", "time", "Time", id="compare.time",
                tooltip="Time at work instead of steps on the axis, or steps again"),
        Binding("f", "smooth", "Smooth", id="compare.smooth",
                tooltip="Smooth the curves, or no longer"),
        Binding("1", "part('settings')", "Settings", id="compare.settings", show=False,
                tooltip="The settings that differ"),
        Binding("2", "part('numbers')", "Numbers", id="compare.numbers", show=False,
                tooltip="The last step and the last evaluation"),
        Binding("3", "part('answers')", "Answers", id="compare.answers", show=False,
                tooltip="Answers to the same prompts"),
    ]  # fmt: skip

    class Compared(Message):
        """The runs have been compared again."""

        def __init__(self, comparison: Comparison) -> None:
            super().__init__()
            self.comparison = comparison

    class Failed(Message):
        """They could not be compared."""

        def __init__(self, error: PpoTuiError) -> None:
            super().__init__()
            self.error = error

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        super().__init__()
        self._error: UsageError | None = None
        try:
            self._comparer: Comparer | None = Comparer(runs)
        except UsageError as error:
            self._comparer, self._error = None, error
        self._runs = self._comparer.runs if self._comparer else ()
        self._names = self._comparer.names if self._comparer else ()
        self._curves = [RunCurves() for _ in self._runs]
        self._seen: list[Observed | None] = [None] * len(self._runs)
        self._problems = [""] * len(self._runs)
        self._subscriptions: list[Subscription] = []
        self._comparison: Comparison | None = None
        self._metric = FIRST_METRIC
        self._metrics: tuple[str, ...] = ()
        self._by_time = False
        self._smoothed = True
        self._part = PARTS[0]
        self._drawn_for: tuple[object, ...] = ()
        self._dirty = True
        self._ticks = 0
        self._to_compare = True
        self._comparing = False
        self._timer: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """The metrics and the chart, which line is which, and the lower part."""
        with Horizontal(id="upper"):
            yield OptionList(id="metrics")
            with Vertical(id="drawing"):
                yield Chart(self._plot(), id="chart")
        yield Static(id="legend")
        yield Static(id="parts")
        with VerticalScroll(id="lower", can_focus=True):
            yield Static(id="part")

    def on_mount(self) -> None:
        """Follow the runs."""
        if self._error is not None:
            self.app.show_error(self._error)
            return
        self._subscriptions = [self.app.feed.subscribe(RunSource(run), self) for run in self._runs]
        self._timer = self.set_interval(LOOK_SECONDS, self.tick)
        self.tick()

    def on_unmount(self) -> None:
        """Follow them no more."""
        for subscription in self._subscriptions:
            subscription.end()

    def on_screen_suspend(self) -> None:
        """What nobody sees is not drawn."""
        if self._timer is not None:
            self._timer.pause()

    def on_screen_resume(self) -> None:
        """Draw what came meanwhile."""
        if self._timer is not None:
            self._timer.resume()
            self.tick()

    # ---- what is new

    @on(FeedPulse)
    def _pulse(self, message: FeedPulse) -> None:
        index = self._subscriptions.index(message.subscription)
        pulse = message.pulse
        if pulse.batch is not None:
            self._curves[index].take(pulse.batch)
        self._seen[index] = pulse.seen or self._seen[index]
        self._problems[index] = pulse.problem
        message.taken()
        self._dirty = self._to_compare = True

    def tick(self) -> None:
        """Draw, and compare again, if there is anything new."""
        self._ticks += 1
        # A glance has shown the whole course already: while the rest is read, drawing can wait.
        reading = not all(curves.complete for curves in self._curves)
        if self._dirty and (not reading or self._ticks % _READING_TICKS == 1):
            self._dirty = False
            self._draw()
        if self._to_compare and not self._comparing and self._comparer is not None:
            self._to_compare, self._comparing = False, True
            self._compare_in_thread(self._comparer)

    @work(thread=True, group="compare", exit_on_error=False)
    def _compare_in_thread(self, comparer: Comparer) -> None:
        try:
            self.post_message(self.Compared(comparer.look()))
        except PpoTuiError as error:
            self.post_message(self.Failed(error))
        except Exception as error:  # the screen says so, instead of standing still without a word
            wrong = f"the runs cannot be compared: {type(error).__name__}: {error}"
            self.post_message(self.Failed(PpoTuiError(wrong)))

    @on(Compared)
    def _compared(self, message: Compared) -> None:
        self._comparing = False
        if message.comparison != self._comparison:
            self._comparison = message.comparison
            self._show_part()

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        self._comparing = False
        update_changed(self.query_one("#part", Static), literal(f"✗ {message.error.message}"))

    # ---- the chart

    def _plot(self) -> Plot:
        axis = "seconds at work" if self._by_time else "step"
        smoothed = ", smoothed" if self._smoothed and self._weight else ""
        return Plot(shortened(f"{self._metric} by {axis}{smoothed}", 48), self._lines)

    @property
    def _weight(self) -> float:
        return self.app.settings.smoothing if self.is_attached else 0.0

    def _lines(self) -> list[Curve]:
        weight = self._weight if self._smoothed else 0.0
        return [
            Curve(
                str(index + 1),
                curves.axis(by_time=self._by_time),
                curves.values(self._metric, weight),
                None,
                index,
            )
            for index, curves in enumerate(self._curves)
        ]

    def _draw(self) -> None:
        names = tuple(sorted({name for curves in self._curves for name in curves.names}))
        if names != self._metrics:
            self._metrics = names
            self._list_metrics()
        chart = self.query_one(Chart)
        chart.redraw()
        self._show_legend()
        live = sum(seen is not None and seen.alive for seen in self._seen)
        words = f"{self.TITLE_WORDS} · {len(self._runs)} runs"
        self.status.show(Content(f"{words} · {live} live" if live else words))

    def _list_metrics(self) -> None:
        metrics = self.query_one("#metrics", OptionList)
        with self.prevent(OptionList.OptionHighlighted):
            metrics.clear_options()
            metrics.add_options(Option(literal(shortened(name, 60))) for name in self._metrics)
            if self._metric in self._metrics:
                metrics.highlighted = self._metrics.index(self._metric)

    def _show_legend(self) -> None:
        """Which line is which run, its state, and its value at the cursor or the newest."""
        brief = len(self._runs) > _MANY and self.size.height < _TALL
        entries = [self._entry(index, brief=brief) for index in range(len(self._runs))]
        update_changed(self.query_one("#legend", Static), in_columns(entries, self.size.width - 2))

    def _entry(self, index: int, *, brief: bool) -> Content:
        name, curves, line = self._names[index], self._curves[index], SERIES[index % len(SERIES)]
        cursor = self.query_one(Chart).cursor
        value = number(curves.read(self._metric, cursor, by_time=self._by_time))
        seen, problem = self._seen[index], self._problems[index]
        state = "✗ unusable" if problem else phase_words(seen.phase) if seen else "… reading"
        return Content.assemble(
            Content.styled(f"{line.mark} {line.sample} ", f"${line.variable}"),
            literal(numbered(index, name, 24 if brief else 36)),
            Content.styled(f" {value} ", "bold"),
            literal(state[:1] if brief else f"{state} {curves.last_step}", "$foreground-muted"),
        )

    @on(Chart.Looked)
    def _looked(self) -> None:
        self._show_legend()

    def _redraw(self) -> None:
        chart = self.query_one(Chart)
        chart.plot = self._plot()
        self._show_legend()

    def _take_metric(self, name: str) -> None:
        if name != self._metric and name in self._metrics:
            self._metric = name
            self._redraw()
            metrics = self.query_one("#metrics", OptionList)
            with self.prevent(OptionList.OptionHighlighted):
                metrics.highlighted = self._metrics.index(name)

    @on(OptionList.OptionHighlighted, "#metrics")
    def _metric_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_list.has_focus and event.option_index < len(self._metrics):
            self._take_metric(self._metrics[event.option_index])

    def action_metric(self) -> None:
        """Choose the metric from a list."""
        if not self._metrics:
            return

        def take(name: str | None) -> None:
            if name is not None:
                self._take_metric(name)

        answers = [(name, name) for name in self._metrics]
        self.app.push_screen(Choose("What is to be drawn?", answers, chosen=self._metric), take)

    def action_next_metric(self, by: int) -> None:
        """Draw the metric after this one, or before it."""
        if self._metrics:
            known = self._metric in self._metrics
            place = self._metrics.index(self._metric) + by if known else 0
            self._take_metric(self._metrics[place % len(self._metrics)])

    def action_time(self) -> None:
        """Put time on the axis, or steps again."""
        self._by_time = not self._by_time
        chart = self.query_one(Chart)
        chart.cursor, chart.window = None, None  # they were places on the other axis
        self._redraw()

    def action_smooth(self) -> None:
        """Smooth the curves, or no longer."""
        self._smoothed = not self._smoothed
        self._redraw()

    # ---- the lower part

    def action_part(self, part: str) -> None:
        """Show another part below."""
        self._part = part
        self.query_one("#lower", VerticalScroll).scroll_home(animate=False)
        self._show_part()

    def on_resize(self) -> None:
        """Another width, other columns."""
        self._show_part()
        if self._runs:
            self._show_legend()

    def _show_part(self) -> None:
        compared = self._comparison
        counts = ("", "", "")
        if compared is not None:
            counts = (f" ({len(compared.settings)})", "", f" ({len(compared.prompts)})")
        titles = ("settings that differ", "numbers", "answers to the same prompts")
        tabs = [
            Content.styled(
                f" {number_}  {title}{count} ", "bold reverse" if part == self._part else ""
            )
            for number_, (part, title, count) in enumerate(
                zip(PARTS, titles, counts, strict=True), start=1
            )
        ]
        update_changed(self.query_one("#parts", Static), Content(" ").join(tabs))
        if compared is None:
            return
        width = max(20, self.size.width - 4)
        shown: RenderableType
        match self._part:
            case "settings":
                shown = settings_table(compared, width)
            case "numbers":
                shown = figures_table(compared, width)
            case _:
                shown = answers_table(compared, width)
        # Answers change seldom and numbers often: what is not looked at is not built.
        content = (self._part, width, repr(self._relevant(compared)))
        if content != self._drawn_for:
            self._drawn_for = content
            self.query_one("#part", Static).update(shown)

    def _relevant(self, compared: Comparison) -> object:
        match self._part:
            case "settings":
                return compared.names, compared.problems, compared.settings
            case "numbers":
                return compared.figures
            case _:
                return compared.prompts


def in_columns(entries: Sequence[Content], width: int) -> Content:
    """As many entries in a line as fit a width, in columns of the same width."""
    longest = max((entry.cell_length for entry in entries), default=1) + 2
    columns = max(1, min(len(entries), (width + 2) // longest))
    lines = []
    for start in range(0, len(entries), columns):
        row = entries[start : start + columns]
        lines.append(Content("").join(e.pad_right(longest - e.cell_length) for e in row))
    return Content("\n").join(lines)
