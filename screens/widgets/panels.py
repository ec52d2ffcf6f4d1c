"""The panels of the training screen: which numbers stand together, and the grid they stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.events import Resize
from textual.message import Message

from ..story import RunStory
from .chart import Chart, Curve, Plot

NARROW_COLUMN = 34
SHORT_ROW = 6
MOST_COLUMNS = 3
MOST_ROWS = 4


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart of the training screen.

    Attributes:
        key: What it is called in the settings.
        title: What stands over it.
        metrics: Its numbers; one that ends in `/` stands for all that begin so.
        labels: Their names in the title row, where there are several.
        smoothed: Whether smoothing makes sense for it.
    """

    key: str
    title: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    smoothed: bool = True


PANELS = (
    Panel("reward", "Reward", ("reward/score", "reward/")),
    Panel("kl", "KL to the base", ("kl/ref", "kl/ref_k3"), ("k1", "k3")),
    Panel("value_explained", "Value explained", ("value/explained_variance",)),
    Panel("entropy", "Entropy", ("policy/entropy",)),
    Panel("length", "Response length", ("response/length",)),
    Panel("eos", "Ended by itself", ("response/eos_rate",)),
    Panel("clip", "Clip fraction", ("policy/clip_fraction", "value/clip_fraction"),
          ("policy", "value")),
    Panel("policy_loss", "Policy loss", ("policy/loss",)),
    Panel("value_loss", "Value loss", ("value/loss",)),
    Panel("lr", "Learning rate", ("optim/lr",), smoothed=False),
    Panel("speed", "Tokens a second", ("throughput/tokens_per_s",)),
    Panel("memory", "Memory, GiB",
          ("memory/peak_gib", "memory/planned_gib", "load/gpu_memory", "load/resident"),
          ("peak", "planned", "card", "process"), smoothed=False),
    Panel("machine", "Machine busy", ("load/gpu", "load/cpu"), ("GPU", "CPUs"), smoothed=False),
    Panel("ratings", "Your ratings", ("human/mean", "human/std", "human/outside",
          "human/agreement"), ("expected", "unsure by", "unrated", "agreement")),
    Panel("distinct", "Distinct word pairs", ("response/distinct_2",)),
    Panel("update_kl", "KL of an update", ("policy/approx_kl",)),
    Panel("grad_norm", "Gradient norm", ("optim/grad_norm",)),
    Panel("kl_coef", "KL coefficient", ("kl/coef",), smoothed=False),
    Panel("ratio", "First ratio", ("policy/ratio_first",), smoothed=False),
    Panel("gap", "Sampler gap", ("rollout/logprob_gap", "rollout/logprob_gap_max"),
          ("mean", "largest"), smoothed=False),
    Panel("time", "Seconds of a step", ("time/",)),
)  # fmt: skip
"""All panels, in their order; a reader of PPO looks at the first ones first."""

KEYS = tuple(panel.key for panel in PANELS)
SHOWN_AT_FIRST = KEYS[:13]

_TOTALS = ("reward/score", "reward/total")


def metrics_of(panel: Panel, story: RunStory) -> list[tuple[str, str]]:
    """The metrics of a panel that the run has, each with its label."""
    labels = dict(zip(panel.metrics, panel.labels, strict=False))
    found: dict[str, str] = {}
    names = story.names
    for metric in panel.metrics:
        if metric.endswith("/"):
            parts = [name for name in names if name.startswith(metric) and name not in _TOTALS]
            # One term is the score itself, and two lines on one another say nothing.
            if panel.key != "reward" or len(parts) > 1:
                found.update((name, name.removeprefix(metric)) for name in parts)
        elif metric in names:
            found[metric] = labels.get(metric, metric.rpartition("/")[2])
    return list(found.items())


def plot_of(panel: Panel, story: RunStory, weight: Callable[[], float]) -> Plot:
    """The plot of a panel over a run's story, smoothed with `weight()`."""

    def curves() -> list[Curve]:
        made = []
        for color, (name, label) in enumerate(metrics_of(panel, story)):
            x, y = story.series(name)
            smooth = story.smooth(name, weight()) if panel.smoothed else None
            made.append(Curve(label, x, y, smooth, color))
        return made

    return Plot(panel.title, curves, metrics=lambda: [name for name, _ in metrics_of(panel, story)])


class PanelGrid(VerticalScroll, can_focus=False):
    """The charts, as many in a row as have room; one of them enlarged, if the user wishes."""

    DEFAULT_CSS = """
    PanelGrid { height: 1fr; width: 1fr; }
    PanelGrid > Grid { height: auto; width: 100%; grid-gutter: 0 1; }
    PanelGrid > Grid > Chart { height: 100%; }
    PanelGrid.-alone > Grid { height: 100%; }
    PanelGrid.-alone Chart { display: none; }
    PanelGrid.-alone Chart.-enlarged { display: block; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,z", "enlarge", "Enlarge", id="panels.enlarge",
                tooltip="Show this chart alone, or all of them again"),
        Binding("up", "step(-1, True)", "Chart", id="panels.up", show=False,
                tooltip="The chart above"),
        Binding("down", "step(1, True)", "Chart", id="panels.down", show=False,
                tooltip="The chart below"),
    ]  # fmt: skip

    class Enlarged(Message):
        """A chart was enlarged, or all are shown again."""

        def __init__(self, chart: Chart | None) -> None:
            super().__init__()
            self.chart = chart

    def __init__(self, story: RunStory, weight: Callable[[], float]) -> None:
        super().__init__(id="panels")
        self._story = story
        self._weight = weight
        self._grid = Grid()
        self._columns = 1

    def compose(self) -> Iterable[Grid]:
        """The grid; its charts come with `show`."""
        yield self._grid

    @property
    def charts(self) -> list[Chart]:
        """The charts in their order."""
        return list(self._grid.query(Chart))

    @property
    def enlarged(self) -> Chart | None:
        """The chart that is shown alone."""
        return next((chart for chart in self.charts if chart.has_class("-enlarged")), None)

    async def show(self, keys: Sequence[str]) -> None:
        """Show these panels and no others."""
        self._restore()
        await self._grid.remove_children()
        await self._grid.mount_all(
            Chart(plot_of(panel, self._story, self._weight), id=f"panel-{panel.key}")
            for panel in PANELS
            if panel.key in keys
        )
        self._arrange()

    def redraw(self) -> None:
        """The numbers changed."""
        for chart in self.charts:
            chart.redraw()

    def look(self, cursor: int | None, window: tuple[float, float] | None) -> None:
        """Move the cursor and the window of all charts."""
        for chart in self.charts:
            chart.cursor = cursor
            chart.window = window

    def on_resize(self, event: Resize) -> None:
        """Another size, another grid."""
        self._arrange()

    def action_enlarge(self) -> None:
        """Show the chart in focus alone, or all of them again."""
        focused = self.screen.focused
        if self.enlarged is not None:
            self._restore()
            self.post_message(self.Enlarged(None))
        elif isinstance(focused, Chart) and focused in self.charts:
            focused.add_class("-enlarged")
            self.add_class("-alone")
            self._arrange()
            self.post_message(self.Enlarged(focused))

    def action_step(self, rows: int, whole_rows: bool = False) -> None:
        """Go to the chart above or below."""
        charts = self.charts
        focused = self.screen.focused
        if not isinstance(focused, Chart) or focused not in charts or self.enlarged is not None:
            return
        place = charts.index(focused) + rows * (self._columns if whole_rows else 1)
        if 0 <= place < len(charts):
            charts[place].focus()

    def _restore(self) -> None:
        for chart in self.charts:
            chart.remove_class("-enlarged")
        self.remove_class("-alone")
        self._arrange()

    def _arrange(self) -> None:
        width, height = self.size.width, self.size.height
        if not width or not height:
            return
        grid = self._grid.styles
        if self.enlarged is not None:
            grid.grid_size_columns, grid.grid_size_rows = 1, 1
            grid.grid_rows, grid.height = "1fr", height
            return
        count = len(self.charts)
        self._columns = max(1, min(MOST_COLUMNS, width // NARROW_COLUMN, count or 1))
        rows = -(-count // self._columns)
        visible = max(1, min(height // SHORT_ROW, MOST_ROWS, rows or 1))
        # Whole rows of charts fill the height, so that none is cut off at the lower edge.
        tall, over = divmod(height, visible)
        heights = [tall + (row % visible < over) for row in range(rows)]
        grid.grid_size_columns = self._columns
        grid.grid_size_rows = rows
        grid.grid_rows = " ".join(map(str, heights)) or "1fr"
        grid.height = sum(heights)
