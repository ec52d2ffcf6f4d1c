"""Home: all runs in a table, live, and what can be done with them.

Looks at the folder of runs once a second, in a thread, and only while it is the screen on top. What
a run's files mean is the catalog's business; how a row reads is `widgets/run_rows.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.catalog import Catalog, RunSummary
from ppo_tui.runs.comparison import FEWEST, MOST
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.phase import Phase

from .literal import literal, update_changed
from .run_deeds import RunDeeds
from .run_possible import NEEDS_RUNS, ONE_RUN, can
from .widgets.plain_input import PlainInput
from .widgets.run_rows import COLUMNS, Order, arrange, one_line, select
from .widgets.run_table import RunTable
from .widgets.welcome import welcome

BEHIND_BEATS = 3
"""Behind another screen the list looks at every so manyth beat: a person still hears of an end."""

LOOK_SECONDS = 1.0
"""How often the folder is looked at: a worker that dies is told within a second or two."""

_LONGEST = 600
"""More of an error than this has no room below the list; the run's own screen has all of it."""


class RunsScreen(RunDeeds):
    """The list of runs."""

    CSS_PATH = "runs.tcss"
    TITLE_WORDS = "ppo-tui  Runs"
    AUTO_FOCUS = "RunTable"

    HELP = """
# Runs

Every run on this machine. A run is a process of its own: it goes on when this app is closed.

`enter` opens the run under the cursor, `n` begins a new one, `c` begins a new one with the settings
of this one. `r` goes on with a run that was stopped, failed or crashed, from its last checkpoint;
`s` stops one that runs. `x` deletes a run with all that it made, after a question. `g` rates what
the run writes.

`space` marks runs, `v` compares those that are marked (two to eight).

`/` filters: words that must all fit, anywhere. `state:failed`, `model:qwen`, `preset:demo`,
`run:night` and `for:reviews` look in one place; `-` in front keeps what does not fit;
`state:live` are the runs at work. `escape` takes the filter away.

`1` to `7` order the list by a column, the same again turns it round; `o` takes the next column.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", id="runs.new", tooltip="Choose model, preset and settings"),
        Binding("enter", "open", "Open", id="runs.open", show=False,
                tooltip="Open the run under the cursor"),
        Binding("d", "demo", "Demo", id="runs.demo",
                tooltip="Train the small model that comes with ppo-tui"),
        Binding("t", "taste", "Taste", id="runs.taste",
                tooltip="Train the small model on your own ratings"),
        Binding("r", "resume", "Resume", id="runs.resume",
                tooltip="Go on with the run from its last checkpoint"),
        Binding("s", "stop", "Stop", id="runs.stop", tooltip="Stop the run; asks how"),
        Binding("c", "copy", "Copy", id="runs.copy",
                tooltip="Begin a new run with the settings of this one"),
        Binding("v", "compare", "Compare", id="runs.compare",
                tooltip="Show the marked runs side by side"),
        Binding("slash", "filter", "Filter", id="runs.filter", key_display="/",
                tooltip="Keep only the runs that fit some words"),
        Binding("x,delete", "delete", "Delete", id="runs.delete",
                tooltip="Delete the run and all that it made; asks first"),
        Binding("l", "log", "Log", id="runs.log",
                tooltip="Read what the run's worker printed"),
        Binding("e", "export", "Export", id="runs.export",
                tooltip="Take the run's adapter home"),
        Binding("p", "playground", "Playground", id="runs.playground",
                tooltip="Talk to the tuned model and to its base"),
        Binding("g", "rate", "Rate", id="runs.rate",
                tooltip="Say what you think of what the run writes"),
        Binding("o", "next_order", "Order", id="runs.order", show=False,
                tooltip="Order the list by the next column"),
        *(
            Binding(str(number), f"order_by('{column}')", f"By {column}",
                    id=f"runs.order_{column}", show=False,
                    tooltip=f"Order the list by {column}; again turns it round")
            for number, column in enumerate(COLUMNS, start=1)
        ),
    ]  # fmt: skip

    class Looked(Message):
        """What is in the folder of runs, or why it cannot be read."""

        def __init__(self, runs: Sequence[RunSummary], error: PpoTuiError | None = None) -> None:
            super().__init__()
            self.runs = runs
            self.error = error

    def __init__(self) -> None:
        super().__init__()
        self._catalog = Catalog()
        self._runs: list[RunSummary] = []
        self._looked = False
        self._looking = False
        self._told: dict[Path, tuple[Phase | None, bool]] = {}
        self._problem: PpoTuiError | None = None
        self._order = Order()
        self._possible: tuple[bool, ...] = ()
        self._beats = 0

    def compose_body(self) -> ComposeResult:
        """The filter, the table or what stands in its place, and words about one run."""
        yield PlainInput(placeholder="words, state:failed, model:qwen, -preset:demo", id="filter")
        yield RunTable(id="table")
        with Vertical(id="empty"):
            yield Static(id="welcome")
        yield Static(id="words")
        yield Static(id="place")

    def on_mount(self) -> None:
        """Look at the folder, now and every second."""
        self._arrange()
        self.set_interval(LOOK_SECONDS, self._beat)
        self.look()

    def on_screen_resume(self) -> None:
        """Show what happened meanwhile."""
        self.look()

    def _beat(self) -> None:
        """Look every second; behind another screen seldom, and only while something may end."""
        self._beats += 1
        seldom = self._beats % BEHIND_BEATS == 0
        if self.in_sight or (seldom and any(run.alive for run in self._runs)):
            self.look()

    # ---- looking

    def show_busy(self) -> None:
        """Say what is being done."""
        self._arrange()

    def did(self, words: str) -> None:
        """Say so, and show what has become of the run."""
        super().did(words)
        self.look()

    def refused(self, error: PpoTuiError) -> None:
        """Say so, and show what the run is, if it is another thing than was shown."""
        super().refused(error)
        self.look()

    def look(self) -> None:
        """Look at the folder, unless a look is under way."""
        if not self._looking:
            self._looking = True
            self._look_in_thread()

    @work(thread=True, group="look", exit_on_error=False)
    def _look_in_thread(self) -> None:
        try:
            self.post_message(self.Looked(self._catalog.look()))
        except PpoTuiError as error:
            self.post_message(self.Looked((), error))
        except Exception as error:  # the list says so, instead of standing still without a word
            wrong = PpoTuiError(f"the runs cannot be listed: {type(error).__name__}: {error}")
            self.post_message(self.Looked((), wrong))

    @on(Looked)
    def _take(self, message: Looked) -> None:
        self._looking = False
        first, self._looked = not self._looked, True
        unchanged = len(self._runs) == len(message.runs) and all(
            one is other for one, other in zip(self._runs, message.runs, strict=True)
        )
        self._runs, self._problem = list(message.runs), message.error
        if not unchanged or first:
            paths = {run.path for run in self._runs}
            self.query_one(RunTable).marked &= paths
            self._tell_of_ends()
        if self.in_sight:
            self._arrange()

    def _tell_of_ends(self) -> None:
        """A run that has ended is told once, with the bell; one with a screen tells it itself."""
        # The screen of a run is not imported for this: numpy would come with it.
        shown_runs = (getattr(screen, "run_directory", None) for screen in self.app.screen_stack)
        open_runs = {run.path for run in shown_runs if run is not None}
        for run in self._runs:
            phase, was_alive = self._told.get(run.path, (None, False))
            if run.path in open_runs or not was_alive or run.alive:
                continue
            if phase is not None and run.phase is not None:
                self.app.notifier.tell(run.name, phase, run.phase, error=run.error)
        self._told = {run.path: (run.phase, run.alive) for run in self._runs}

    def _arrange(self) -> None:
        """Filter, order and show what is known."""
        table, field = self.query_one(RunTable), self.query_one("#filter", Input)
        kept = arrange(select(self._runs, field.value), self._order)
        table.show(kept, self._order)
        nothing = self._looked and not kept
        if nothing != self.has_class("-empty"):
            self.set_class(nothing, "-empty")
            if nothing:
                self.set_focus(field if field.value else None)
            elif self.focused is None:
                table.focus()
        if nothing:
            self._explain_emptiness(field.value)
        self._tell_status(len(kept))
        self._describe(table.highlighted)
        self._refresh_keys()

    def _explain_emptiness(self, query: str) -> None:
        if self._problem is not None:
            text = literal(f"✗ {self._problem.message}")
            if self._problem.hint:
                text = text.append("\n\n").append(literal(self._problem.hint))
        elif self._runs:
            text = literal(f"None of {len(self._runs)} runs fits {query!r}. Escape shows them all.")
        else:
            text = welcome(self._catalog.root, self.busy)
        update_changed(self.query_one("#welcome", Static), text)

    def _tell_status(self, count: int) -> None:
        parts = [self.TITLE_WORDS]
        if not self._looked:
            parts.append("reading …")
        elif self._runs:
            live, marked = sum(run.alive for run in self._runs), len(self._marked())
            total = len(self._runs)
            runs = f"{total} run{'' if total == 1 else 's'}"
            parts.append(runs if count == total else f"{count} of {runs}")
            parts += [f"{live} live"] if live else []
            parts += [f"{marked} marked"] if marked else []
        if self.busy and self._runs:
            parts.append(self.busy)
        self.status.show(literal(" · ".join(parts)))

    def _describe(self, run: RunSummary | None) -> None:
        """What the row has no room for: the error in words, the description, the place."""
        words, place = Content(""), Content("")
        if run is not None:
            if run.problem:
                words = literal(f"✗ {run.problem}", "$text-error")
            elif run.error is not None:
                words = literal(f"✗ {run.error.message[:_LONGEST]}", "$text-error")
                if run.error.hint:
                    words = words.append(literal(f" {run.error.hint[:_LONGEST]}"))
            else:
                said = [run.description, run.message if run.alive else ""]
                if run.model and not run.description:
                    said.append(run.model)
                words = literal(" · ".join(one_line(text) for text in said if text))
            place = literal(str(run.path), "$foreground-muted")
        update_changed(self.query_one("#words", Static), words)
        update_changed(self.query_one("#place", Static), place)

    # ---- what can be done

    def _marked(self) -> list[RunSummary]:
        marked = self.query_one(RunTable).marked
        return [run for run in self._runs if run.path in marked and not run.problem]

    def _compared(self) -> list[RunSummary]:
        """The marked runs; if it is one, the one under the cursor beside it."""
        chosen = self._marked()
        here = self.query_one(RunTable).highlighted
        if len(chosen) == 1 and here is not None and not here.problem and here not in chosen:
            chosen.append(here)
        return chosen

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is impossible for the run under the cursor is greyed."""
        if not self.is_mounted or not self.query(RunTable):
            return True
        if action in ("demo", "taste"):
            return self._welcoming and not self.busy
        if self._welcoming and action in NEEDS_RUNS:
            return False
        if action == "compare":
            return True if FEWEST <= len(self._compared()) <= MOST else None
        if action in ONE_RUN:
            if action == "open" and self._welcoming:
                return not self.busy
            run = self.query_one(RunTable).highlighted
            return True if run is not None and can(action, run) else None
        return True

    @property
    def _welcoming(self) -> bool:
        """Whether the first start is shown: there is no run at all, and nothing is wrong."""
        return self._looked and not self._runs and self._problem is None

    def _refresh_keys(self) -> None:
        """Grey and ungrey; the footer is painted again only if that changes something."""
        actions = (*sorted(ONE_RUN), "compare", "demo", "taste")
        possible = tuple(bool(self.check_action(action, ())) for action in actions)
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()

    @on(RunTable.Highlighted)
    def _highlighted(self, message: RunTable.Highlighted) -> None:
        self._describe(message.run)
        self._refresh_keys()

    @on(RunTable.Marked)
    def _marks_changed(self) -> None:
        self._tell_status(len(self.query_one(RunTable).runs))
        self._refresh_keys()

    @on(RunTable.Headed)
    def _headed(self, message: RunTable.Headed) -> None:
        self.action_order_by(message.column)

    @on(RunTable.Opened)
    def _opened(self) -> None:
        self.action_open()

    def action_order_by(self, column: str) -> None:
        """Order by a column; by the same one the other way round."""
        self._order = self._order.turned_to(column)
        self._arrange()

    def action_next_order(self) -> None:
        """Order by the next column."""
        place = COLUMNS.index(self._order.column)
        self.action_order_by(COLUMNS[(place + 1) % len(COLUMNS)])

    # ---- the filter

    def action_filter(self) -> None:
        """Show the line for the filter, ready to be typed into."""
        self.add_class("-filtering")
        self.query_one("#filter", Input).focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        self._arrange()

    @on(Input.Submitted, "#filter")
    def _filter_submitted(self) -> None:
        if not self.query_one("#filter", Input).value.strip():
            self.action_leave()
        elif not self.has_class("-empty"):
            self.query_one(RunTable).focus()

    def action_leave(self) -> None:
        """Take the filter away; this screen itself is never left."""
        if self.has_class("-filtering"):
            self.query_one("#filter", Input).value = ""
            self.query_one(RunTable).focus()
            self.remove_class("-filtering")
            self._arrange()
        else:
            super().action_leave()

    # ---- doing it

    def _directory(self) -> RunDirectory | None:
        run = self.query_one(RunTable).highlighted
        return RunDirectory(run.path) if run is not None else None

    def action_new(self) -> None:
        """Begin a new run."""
        self.app.open_new_run()

    def action_open(self) -> None:
        """Open the run under the cursor; where there is none, start the demo."""
        if self._welcoming:
            self.action_demo()
        elif (run := self._directory()) is not None and self.check_action("open", ()):
            self.app.open_run(run)

    def action_log(self) -> None:
        """Read what the worker printed."""
        if (run := self._directory()) is not None:
            self.app.open_log(run)

    def action_export(self) -> None:
        """Take the adapter home."""
        if (run := self._directory()) is not None:
            self.app.open_export(run)

    def action_playground(self) -> None:
        """Talk to the tuned model."""
        if (run := self._directory()) is not None:
            self.app.open_playground(run)

    def action_rate(self) -> None:
        """Rate what the run writes."""
        if (run := self._directory()) is not None:
            self.app.open_rating(run)

    def action_compare(self) -> None:
        """Show the marked runs side by side."""
        self.app.open_compare([RunDirectory(run.path) for run in self._compared()])

    def action_copy(self) -> None:
        """Begin a new run with the settings of this one."""
        if (run := self._directory()) is not None:
            self.copy_settings(run)

    def action_demo(self) -> None:
        """Make and start the demo's run, then open it."""
        self.start_demo()

    def action_taste(self) -> None:
        """Make and start a run that learns from ratings, then open it."""
        self.start_taste()

    def action_resume(self) -> None:
        """Go on with the run from its last checkpoint."""
        if (run := self._directory()) is not None:
            self.resume(run)

    def action_stop(self) -> None:
        """Ask how to stop the run, then ask the run to."""
        if (run := self._directory()) is not None:
            self.ask_to_stop(run)

    def action_delete(self) -> None:
        """Delete the run, if that is really meant."""
        if (run := self._directory()) is not None:
            self.ask_to_delete(run)
