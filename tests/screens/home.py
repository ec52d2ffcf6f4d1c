"""The app on its home screen, which notes where it is asked to go instead of going there."""

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from ppo_tui.config.resolve import ResolvedConfig
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.runs import RunsScreen
from ppo_tui.screens.widgets.run_table import RunTable


class Home(PpoTuiApp):
    """The app, which notes where it is asked to go instead of going there."""

    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(self) -> None:
        super().__init__()
        self.went: list[Any] = []

    @property
    def home(self) -> RunsScreen:
        return next(screen for screen in self.screen_stack if isinstance(screen, RunsScreen))

    @property
    def table(self) -> RunTable:
        return self.home.query_one(RunTable)

    def open_run(self, run: RunDirectory, **_: Any) -> None:
        self.went.append(("run", run.name))

    def open_new_run(self, start: ResolvedConfig | None = None, note: str = "") -> None:
        self.went.append(("new", start, note))

    def open_compare(self, runs: Any) -> None:
        self.went.append(("compare", [run.name for run in runs]))

    def open_log(self, run: RunDirectory) -> None:
        self.went.append(("log", run.name))

    def open_export(self, run: RunDirectory) -> None:
        self.went.append(("export", run.name))

    def open_playground(self, run: RunDirectory) -> None:
        self.went.append(("playground", run.name))


async def settle(pilot: Pilot[Any]) -> None:
    """Until what was begun in threads has been done and shown."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def look(pilot: Pilot[Any]) -> None:
    """Look at the folder now instead of within a second."""
    app = pilot.app
    assert isinstance(app, Home)
    app.home.look()
    await settle(pilot)


def can(app: Home, action: str) -> bool | None:
    return app.home.check_action(action, ())
