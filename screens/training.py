"""The training screen: a run's charts, its samples, its health, and the keys that steer it.

A viewer: everything comes from the run directory by the feed, everything asked goes into it by
`Steering`. Shows a run that is going on, one that is over, or one that is played again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize, ScreenResume, ScreenSuspend
from textual.message import Message
from textual.widgets import Static

from ppo_tui.runs.diagnosis import Finding
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.launch import last_launch
from ppo_tui.runs.records import Sample
from ppo_tui.runs.samples import Order, Ranking, SampleBook
from ppo_tui.runs.state import Observed

from .feed import FeedPulse, RunSource, Source, Subscription
from .findings import PanelsScreen
from .literal import literal
from .replay import ReplaySource
from .run_actions import RunActions
from .status import finding_line, resting_line, standstill, status_of, trouble_of
from .story import RunStory
from .widgets.answers import Answers
from .widgets.chart import Chart
from .widgets.panels import SHOWN_AT_FIRST, PanelGrid
from .widgets.sample_list import SampleList

if TYPE_CHECKING:
    from ppo_tui.config.schema import RunConfig

CURVES_SECONDS = 0.45
"""Curves are drawn no more often: eight cost more than all the rest, and no eye follows faster."""

_NAMED_KEYS = ("resume", "log", "apply", "findings", "stop", "rate", "continue")

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97)
"""Weights that the key goes through."""


class TrainingScreen(RunActions):
    """A run, live.

    Args:
        run: The run.
        replay: Play it again from its journal, so many times as fast as it was.
    """

    CSS_PATH = "training.tcss"
    TITLE_WORDS = "reading the run …"
    HELP = """
The charts of a run, and what the model writes. The first line says what the run is doing; the line
under it speaks up when something goes wrong, with the key that does something about it.

`tab` goes from chart to chart, `enter` enlarges one, `left` and `right` read earlier steps: the
samples then are those of that step, and `f` follows the newest again. `1`, `2` and `3` show charts,
samples and answers where there is no room for all. `r` rates what the model writes.

Closing the app changes nothing for the run: it is a process of its own.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", id="training.follow",
                tooltip="Look at the newest step again, and follow it"),
        Binding("1", "pane('charts')", "Charts", id="training.charts", tooltip="Go to the charts"),
        Binding("2", "pane('samples')", "Samples", id="training.samples",
                tooltip="Go to what the model writes"),
        Binding("3", "pane('answers')", "Answers", id="training.answers",
                tooltip="Go to the same prompts answered by base and now"),
        Binding("w", "scope", "Whole run", id="training.scope", show=False,
                tooltip="Show the best, worst or longest samples of the whole run, or one step's"),
        Binding("m", "smoothing", "Smooth", id="training.smoothing",
                tooltip="Smooth the curves more, or not at all"),
        Binding("v", "panels", "Panels", id="training.panels",
                tooltip="Choose which charts are shown"),
        Binding("right_square_bracket", "speed(2)", "Faster", id="training.faster",
                tooltip="Play the replay twice as fast"),
        Binding("left_square_bracket", "speed(0.5)", "Slower", id="training.slower",
                tooltip="Play the replay half as fast"),
    ]  # fmt: skip

    class SamplesRead(Message):
        """The samples of a step, read by a thread."""

        def __init__(self, step: int, samples: list[Sample]) -> None:
            super().__init__()
            self.step, self.samples = step, samples

    class RankingRead(Message):
        """The best, worst or longest samples of the run, found by a thread."""

        def __init__(self, ranking: Ranking) -> None:
            super().__init__()
            self.ranking = ranking

    class ConfigRead(Message):
        """The run's configuration and the memory it may use, read by a thread."""

        def __init__(self, config: RunConfig, budget_gib: float | None) -> None:
            super().__init__()
            self.config, self.budget_gib = config, budget_gib

    def __init__(self, run: RunDirectory, replay: float | None = None) -> None:
        launched = last_launch(run)
        super().__init__(run, RunStory(launched.time if launched else 0.0))
        self._replay = ReplaySource(run, replay) if replay is not None else None
        self.replayed = self._replay is not None
        self._book = SampleBook(run.samples_path)
        self._subscription: Subscription | None = None
        self.smoothing = 0.0
        self._problem = ""
        self._still = ""
        self._told: set[str] = set()
        self._samples_of = 0
        self._whole_run = False
        self._cursor: int | None = None
        self._data_dirty = False
        self._drawn = -CURVES_SECONDS

    # ---- start and end

    def compose_body(self) -> ComposeResult:
        """The health line; charts beside samples and answers."""
        yield Static(id="trouble")
        with Horizontal(id="body"):
            yield PanelGrid(self.story, lambda: self.smoothing)
            with Vertical(id="side"):
                yield SampleList(id="samples")
                yield Answers(id="answers")

    async def on_mount(self) -> None:
        """Begin to read."""
        self.smoothing = self.app.settings.smoothing
        self.set_class(True, "-charts")
        self.query_one("#trouble").display = False
        panels = self.query_one(PanelGrid)
        await panels.show(SHOWN_AT_FIRST)
        if panels.charts:
            panels.charts[0].focus()
        source: Source = self._replay or RunSource(self.run_directory)
        self._subscription = self.app.feed.subscribe(source, self)
        self.set_interval(1 / self.app.settings.refresh_hz, self._paint)
        self._read_config()

    def on_unmount(self) -> None:
        """Read no more."""
        if self._subscription:
            self._subscription.end()

    def on_screen_suspend(self, event: ScreenSuspend) -> None:
        """Another screen stands in front: its title is another's."""
        self.app.notifier.retitle(None)

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Draw what came in the meantime."""
        self.dirty = self._data_dirty = True
        self._drawn = -CURVES_SECONDS
        self._paint()

    def on_resize(self, event: Resize) -> None:
        """What fits into the first line depends on its width."""
        self.dirty = True
        self._paint()

    # ---- what comes from the run

    def on_feed_pulse(self, event: FeedPulse) -> None:
        """Take in what is new; it is drawn with the next beat."""
        event.stop()
        event.taken()
        pulse = event.pulse
        first = self.seen is None
        self._problem = pulse.problem
        if pulse.batch is not None:
            self.story.take(pulse.batch)
            self._data_dirty = True
        if pulse.load is not None:
            self.story.take_load(pulse.load)
            self._data_dirty = True
        if pulse.seen is not None:
            self._observe(pulse.seen)
        self.dirty = True
        if first:
            self._paint()

    def _observe(self, seen: Observed) -> None:
        before, rested = self.seen, self.rests
        self.seen = seen
        if not seen.alive:
            self.steering.forget()
        changed = before is None or (before.alive, before.ended) != (seen.alive, seen.ended)
        if changed:
            launched = last_launch(self.run_directory)
            self.story.session_began = launched.time if launched else 0.0
        if changed or rested != self.rests:
            self.refresh_bindings()
        if self._replay is None:
            old = before.phase if before is not None else None
            self.app.notifier.tell(self.run_directory.name, old, seen.phase, error=seen.error)

    def _paint(self) -> None:
        """Draw what has changed since the last beat, if anybody looks."""
        before, self._still = self._still, standstill(self.seen, self.story)
        self.dirty |= before != self._still
        if not self.dirty or not self.in_sight or not self.is_mounted:
            return
        self.dirty = False
        for words in self.steering.heard(self.story):
            self.app.tell(words)
        self._paint_status()
        self._paint_trouble()
        if not self._data_dirty:
            return
        now = time.monotonic()
        if now - self._drawn < CURVES_SECONDS:
            self.dirty = True  # the curves come with a later beat
        else:
            self._data_dirty, self._drawn = False, now
            self.query_one(PanelGrid).redraw()
            self.query_one(Answers).show_answers(self.story.base, self.story.now)
            if self._cursor is None:
                self._show_samples(self._newest_step())

    def _paint_status(self) -> None:
        self.status.show(
            status_of(
                self.run_directory.name,
                self.seen,
                self.story,
                self.size.width - 2,
                asked=self.steering.waiting,
                replay=self._replay.speed if self._replay is not None else None,
                looking_at=self._cursor,
                problem=bool(self._problem),
            )
        )
        if self.seen is not None and self._replay is None:
            state = self.seen.state
            step = max(state.step, self.story.history.last_step)
            reward = self.story.history.last().get("reward/score")
            self.app.notifier.retitle(
                self.seen.phase, step, state.total, reward, self.run_directory.name
            )

    def _paint_trouble(self) -> None:
        content, grave = self._trouble()
        line = self.query_one("#trouble", Static)
        line.display = content is not None
        line.set_class(grave, "-grave")
        if content is not None and content != line.content:
            line.update(content)

    def _trouble(self) -> tuple[Content | None, bool]:
        if self._problem:
            return Content.assemble("✗ ", literal(self._problem)), True
        seen = self.seen
        if seen is not None and seen.error is not None and self._replay is None:
            can_resume = self.check_action("resume", ()) is True
            return trouble_of(seen.error, can_resume=can_resume, keys=self._keys()), True
        if resting := resting_line(None if self.replayed else seen, self._still, self._keys()):
            return resting, False
        findings = self.story.findings()
        self._tell_new(findings)
        if findings:
            grave = findings[0].level == "error"
            return finding_line(findings[0], len(findings) - 1, self._keys()), grave
        begins = seen is not None and seen.alive and not len(self.story.history)
        if begins and self.story.said:
            return Content.assemble("  ", literal(self.story.said)), False
        return None, False

    def _tell_new(self, findings: tuple[Finding, ...]) -> None:
        """Interrupt for what is grave and new, once, and only while it happens."""
        grave = {finding.code for finding in findings if finding.level == "error"}
        new = [f for f in findings if f.code in grave - self._told]
        self._told = grave
        if new and self.seen is not None and self.seen.alive and self.story.read >= 1:
            self.app.notifier.tell(
                self.run_directory.name, self.seen.phase, self.seen.phase, findings=new
            )

    def _keys(self) -> dict[str, str]:
        """What the line of trouble names, each with its key as the user has it."""
        shown = {
            active.id: self.app.get_key_display(active)
            for _, active, _, _ in self.active_bindings.values()
        }
        return {name: shown.get(f"training.{name}", "?") for name in _NAMED_KEYS}

    # ---- samples

    def _newest_step(self) -> int:
        return self._replay.step if self._replay is not None else self.story.history.last_step

    def _show_samples(self, step: int) -> None:
        if step and step != self._samples_of and not self._whole_run:
            self._samples_of = step
            self._read_samples(step)

    def action_scope(self) -> None:
        """Show the samples of the whole run in their order, or those of a step again."""
        self._whole_run = not self._whole_run
        samples = self.query_one(SampleList)
        if self._whole_run and samples.order == "newest":
            samples.set_order("best")
        self._rank_or_read()

    @on(SampleList.Ordered)
    def _rank_or_read(self) -> None:
        order = self.query_one(SampleList).order
        if self._whole_run and order != "newest":
            self._samples_of = 0
            self._read_ranking(order)
        else:
            self._whole_run = False
            self._show_samples(self._newest_step() if self._cursor is None else self._cursor)

    @work(thread=True, exclusive=True, group="samples", exit_on_error=False)
    def _read_ranking(self, order: Order) -> None:
        try:
            ranking = self._book.ranked(order)
        except OSError:  # the run is being deleted; the feed says so
            return
        self.post_message(self.RankingRead(ranking))

    def on_training_screen_ranking_read(self, event: RankingRead) -> None:
        """Show the ranking, unless a step is looked at by now."""
        if self._whole_run:
            share = event.ranking.share
            note = "whole run" if share >= 1 else f"{100 * share:.0f} % of run"
            self.query_one(SampleList).show(event.ranking.samples, None, note)

    @work(thread=True, exclusive=True, group="samples", exit_on_error=False)
    def _read_samples(self, step: int) -> None:
        try:
            samples = self._book.of_step(step)
        except OSError:  # the run is being deleted; the feed says so
            samples = []
        self.post_message(self.SamplesRead(step, samples))

    def on_training_screen_samples_read(self, event: SamplesRead) -> None:
        """Show the samples, unless another step is looked at by now."""
        if event.step == self._samples_of:
            self.query_one(SampleList).show(event.samples, event.step)

    @on(SampleList.Chosen)
    def _open_sample(self, event: SampleList.Chosen) -> None:
        from .sample import SampleScreen

        self.app.push_screen(SampleScreen(self.run_directory, event.sample))

    # ---- looking

    @on(Chart.Looked)
    def _look(self, event: Chart.Looked) -> None:
        self._look_at(event.cursor, event.window)

    def _look_at(self, cursor: int | None, window: tuple[float, float] | None) -> None:
        self._cursor = cursor
        self.query_one(PanelGrid).look(cursor, window)
        self._show_samples(self._newest_step() if cursor is None else cursor)
        self.refresh_bindings()
        self._paint_status()

    def action_follow(self) -> None:
        """Look at the newest step again."""
        self._look_at(None, None)

    def action_leave(self) -> None:
        """Give up the enlarged chart, then the look back, then the screen."""
        panels = self.query_one(PanelGrid)
        if panels.enlarged is not None:
            panels.action_enlarge()
        elif self._cursor is not None:
            self.action_follow()
        else:
            super().action_leave()

    def action_pane(self, pane: str) -> None:
        """Go to charts, samples or answers; alone, where there is no room for more."""
        for name in ("charts", "samples", "answers"):
            self.set_class(name == pane, f"-{name}")
        if pane == "charts":
            charts = self.query_one(PanelGrid).charts
            if charts:
                charts[0].focus()
        else:
            widget = self.query_one(SampleList if pane == "samples" else Answers)
            self.call_after_refresh(self.screen.set_focus, widget)

    def action_smoothing(self) -> None:
        """Smooth the curves more, or not at all."""
        further = [weight for weight in SMOOTHINGS if weight > self.smoothing + 1e-9]
        self.smoothing = further[0] if further else SMOOTHINGS[0]
        self.query_one(PanelGrid).redraw()
        words = f"Smoothing {self.smoothing:g}" if self.smoothing else "No smoothing"
        self.app.tell(words, seconds=2)

    def action_panels(self) -> None:
        """Choose which charts are shown."""
        charts = self.query_one(PanelGrid).charts
        shown_now = [str(chart.id).removeprefix("panel-") for chart in charts]
        self.app.push_screen(PanelsScreen(shown_now), self._choose_panels)

    async def _choose_panels(self, keys: tuple[str, ...] | None) -> None:
        if keys:
            panels = self.query_one(PanelGrid)
            await panels.show(keys)
            self.action_follow()
            self.action_pane("charts")

    def action_speed(self, factor: float) -> None:
        """Play the replay faster or slower."""
        if self._replay is not None:
            self._replay.speed = min(max(self._replay.speed * factor, 0.25), 1e6)
            self._paint_status()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey out what cannot be done now; hide what belongs to a replay."""
        if action == "speed":
            return self._replay is not None
        if action == "follow":
            return True if self._cursor is not None else None
        return super().check_action(action, parameters)

    # ---- what the run is

    @work(thread=True, exclusive=True, group="config", exit_on_error=False)
    def _read_config(self) -> None:
        """What the findings need to fit the run; a run of a newer version does without."""
        from .copying import config_and_budget

        found = config_and_budget(self.run_directory)
        if found is not None:
            self.post_message(self.ConfigRead(*found))

    def on_training_screen_config_read(self, event: ConfigRead) -> None:
        """Let the findings know what the run is."""
        self.story.describe(event.config, event.budget_gib)
        self.dirty = True
