"""The app: settings, themes, keys and the way from screen to screen; no logic of a screen.

Screens are imported when they are first opened, so that the first picture comes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.screen import Screen

from ppo_tui.config.settings import AppSettings, load_settings
from ppo_tui.errors import ConfigError, PpoTuiError, StorageError
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.paths import home, shown

from . import themes
from .dialogs import Confirm, ShowError
from .feed import Feed
from .harmless import Harmless

if TYPE_CHECKING:
    from ppo_tui.config.resolve import ResolvedConfig

    from .notify import Notifier

UNCLEAN_EXIT = 1


@dataclass(frozen=True, slots=True)
class Opening:
    """What the app shows first.

    Attributes:
        run: The run to look at; None opens the list of runs.
        replay: Play the run again, so many times as fast as it was.
        note: A sentence that is told once the app stands.
    """

    run: RunDirectory | None = None
    replay: float | None = None
    note: str = ""


class PpoTuiApp(App[None]):
    """ppo-tui on a terminal; a viewer of run directories.

    Attributes:
        settings: Of this user; replaced as a whole by `use_settings`.
        feed: The one thread that reads runs.
    """

    CSS_PATH = "app.tcss"
    TITLE = "ppo-tui"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (150, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,f1",
            "explain",
            "Help",
            id="app.help",
            tooltip="Explain what is in focus, and list the keys",
        ),
        Binding(
            "ctrl+p",
            "command_palette",
            "Commands",
            id="app.palette",
            tooltip="Find a command by its name",
            show=False,
        ),
        Binding(
            "q",
            "leave_app",
            "Quit",
            id="app.quit",
            tooltip="Close the app; runs go on by themselves",
        ),
        Binding(
            "ctrl+q,ctrl+c",
            "quit",
            "Quit at once",
            id="app.quit_now",
            tooltip="Close the app without a question; runs go on by themselves",
            show=False,
            priority=True,
        ),
        Binding(
            "f9",
            "settings",
            "Settings",
            id="app.settings",
            tooltip="Theme, refresh rate, bell, keys, folders",
            show=False,
        ),
        Binding(
            "f10",
            "doctor",
            "Doctor",
            id="app.doctor",
            tooltip="What this machine can do, and what is wrong",
            show=False,
        ),
        Binding(
            "ctrl+l",
            "redraw",
            "Redraw",
            id="app.redraw",
            tooltip="Paint the whole screen anew",
            show=False,
        ),
    ]

    def __init__(self, opening: Opening | None = None) -> None:
        self._opening = opening or Opening()
        self._complaints: list[str] = [self._opening.note] if self._opening.note else []
        try:
            self.settings = load_settings()
        except ConfigError as error:
            self.settings = AppSettings()
            self._complaints.append(f"{error.message} The defaults are used.")
        super().__init__()
        # Textual has no public way to look at every line before it is written.
        self._filters.append(Harmless())
        self.feed = Feed(self.settings.refresh_hz)
        self._notifier: Notifier | None = None
        self._clashes: set[str] = set()
        self.broken_by: BaseException | None = None

    # ---- start and end

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The variables of our style sheets that Textual's own themes do not have."""
        return {**super().get_theme_variable_defaults(), **themes.VARIABLE_DEFAULTS}

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What turns colours into greys where `NO_COLOR` is set, and leaves nothing out."""
        filters = super().get_line_filters()
        return themes.tolerant(filters) if self.no_color else filters

    def get_default_screen(self) -> Screen[Any]:
        """The first screen of the stack, which is never seen: home stands on it."""
        return Screen(id="_default")

    def on_mount(self) -> None:
        """Dress, then open the first screen."""
        themes.register(self)
        self.use_settings(self.settings)
        if self._opening.run is not None:
            # Home comes when it is asked for: a run that was named is what is to be seen.
            self.open_run(self._opening.run, replay=self._opening.replay)
        else:
            self.open_home()
        for complaint in self._complaints:
            self.tell(complaint, severity="warning", seconds=12)
        if self.settings.keymap:
            self._check_keymap()

    def on_ready(self) -> None:
        """The first picture is there: collect garbage from now on, but not what was loaded."""
        gc.freeze()
        gc.enable()
        # A terminal that is left raw is no terminal; not every system has these signals.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)

    def on_unmount(self) -> None:
        """Read nothing more."""
        self.feed.close()
        if self._notifier is not None:
            self._notifier.close()

    def use_settings(self, settings: AppSettings) -> None:
        """Put settings into effect at once; saving them is the caller's."""
        self.settings = settings
        self.theme = settings.theme
        self.feed.hertz = settings.refresh_hz
        self.animation_level = "full" if settings.animations else "none"
        self._clashes = set()
        self.set_keymap(dict(settings.keymap))

    @property
    def notifier(self) -> Notifier:
        """What reaches a person who looks elsewhere."""
        if self._notifier is None:
            from .notify import Notifier

            self._notifier = Notifier(self)
        return self._notifier

    def _handle_exception(self, error: Exception) -> None:
        """A fault of ours: one sentence for the user, the traceback into a file.

        Textual would print the traceback over the terminal.
        """
        self.broken_by = self.broken_by or error
        self._return_code = UNCLEAN_EXIT
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        place = home() / "app-error.log"
        written = f" The details are in {shown(place)}; please report them."
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        except OSError:
            written = ""
        self._exit_renderables[:] = []
        self.panic(
            f"ppo-tui: the app broke ({type(error).__name__}); your runs go on by themselves."
            f"{written}"
        )

    # ---- words to the user

    def tell(self, words: str, *, severity: str = "information", seconds: float = 5) -> None:
        """Show a note for a moment; literally, whatever it holds."""
        from ppo_tui.text.plain import plain

        self.notify(
            plain(words, lines=True),
            severity=severity,  # type: ignore[arg-type]
            timeout=seconds,
            markup=False,
        )

    def show_error(self, error: PpoTuiError) -> None:
        """Show what went wrong until it is read."""
        self.push_screen(ShowError(error))

    # ---- from screen to screen

    def open_home(self) -> None:
        """The list of runs."""
        from .runs import RunsScreen

        self.push_screen(RunsScreen())

    def go_home(self) -> None:
        """The list of runs in place of the only screen there is, unless it is that already."""
        from .runs import RunsScreen

        if not isinstance(self.screen, RunsScreen):
            self.switch_screen(RunsScreen())

    def open_run(self, run: RunDirectory, *, replay: float | None = None) -> None:
        """A run: its charts and samples, live."""
        from .training import TrainingScreen

        self.push_screen(TrainingScreen(run, replay))

    def open_new_run(self, start: ResolvedConfig | None = None, note: str = "") -> None:
        """The form for a new run, filled in from `start` if there is one."""
        from .new_run import NewRunScreen

        self.push_screen(NewRunScreen(start, note))

    def open_compare(self, runs: Sequence[RunDirectory]) -> None:
        """Several runs on one chart."""
        from .compare import CompareScreen

        self.push_screen(CompareScreen(runs))

    def open_playground(self, run: RunDirectory) -> None:
        """Talk to the tuned model and its base."""
        from .playground import PlaygroundScreen

        self.push_screen(PlaygroundScreen(run))

    def open_rating(self, run: RunDirectory) -> None:
        """Rate what the model writes."""
        from .rating import RatingScreen

        self.push_screen(RatingScreen(run))

    def open_log(self, run: RunDirectory) -> None:
        """What the worker printed."""
        from .log import LogScreen

        self.push_screen(LogScreen(run))

    def open_export(self, run: RunDirectory) -> None:
        """Take the adapter home."""
        from .export import ExportScreen

        self.push_screen(ExportScreen(run))

    def open_doctor(self) -> None:
        """What this machine can do."""
        from .doctor import DoctorScreen

        self.push_screen(DoctorScreen())

    def open_settings(self) -> None:
        """Theme, keys and the rest."""
        from .settings import SettingsScreen

        self.push_screen(SettingsScreen())

    # ---- keys

    def action_explain(self) -> None:
        """Open the help of what is in focus."""
        from .help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen, self.screen.focused))

    def action_settings(self) -> None:
        """Open the settings, unless they stand in front already."""
        from .settings import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.open_settings()

    def action_doctor(self) -> None:
        """Open the doctor, unless it stands in front already."""
        from .doctor import DoctorScreen

        if not isinstance(self.screen, DoctorScreen):
            self.open_doctor()

    def action_leave_app(self) -> None:
        """Close the app; ask first if something is running, so that nobody fears for it."""
        alive = self._names_of_running()
        if not alive:
            self.exit()
            return
        names = ", ".join(alive[:3]) + (", …" if len(alive) > 3 else "")
        go_on = "goes" if len(alive) == 1 else "go"
        question = Confirm(
            "Close the app?",
            f"{names} {go_on} on without it. `ppo-tui` shows it again; `ppo-tui stop` ends a run.",
            yes="Close",
            no="Stay",
        )
        self.push_screen(question, self._leave)

    def _leave(self, yes: bool | None) -> None:
        if yes:
            self.exit()

    def _names_of_running(self) -> list[str]:
        """Names of the runs that are alive; none if they cannot be listed."""
        from ppo_tui.runs.catalog import list_runs

        with contextlib.suppress(PpoTuiError):
            return [run.name for run in list_runs() if run.alive]
        return []

    def action_command_palette(self) -> None:
        """Find a command, a run or a theme by its name."""
        from .palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette())

    def action_redraw(self) -> None:
        """Paint everything anew, as after another program wrote over the screen."""
        self.screen.refresh(repaint=True, layout=True)
        self.refresh(repaint=True)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        """Say once which keys of the user's keymap mean two things."""
        from .keys import lost

        for clash in lost(node, self.settings.keymap):
            if clash.sentence not in self._clashes:
                self._clashes.add(clash.sentence)
                self.tell(clash.sentence, severity="warning", seconds=10)

    @work(thread=True, group="keymap", exit_on_error=False)
    def _check_keymap(self) -> None:
        """Say what is wrong with the user's keys, on whichever screen; needs all screens."""
        from .keys import all_commands, complaints

        for sentence in complaints(all_commands(), self.settings.keymap):
            if sentence not in self._clashes:
                self._clashes.add(sentence)
                self.tell(sentence, severity="warning", seconds=10)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Nothing of Textual's own: what there is comes from the bindings."""
        return ()

    def save_settings(self, settings: AppSettings) -> bool:
        """Put settings into effect and keep them; whether they could be written."""
        from ppo_tui.config.settings import save_settings

        self.use_settings(settings)
        try:
            kept = save_settings(settings)
        except StorageError as error:
            self.show_error(error)
            return False
        if kept is not None:
            self.tell(f"The unreadable settings file was kept as {shown(kept)}.")
        return True


def run_app(opening: Opening) -> int:
    """Run the app on this terminal; its exit code."""
    # Journals are parsed in a thread; with Python's 5 ms the screen would wait for it too long.
    sys.setswitchinterval(0.001)
    app = PpoTuiApp(opening)
    app.run()
    return app.return_code or 0
