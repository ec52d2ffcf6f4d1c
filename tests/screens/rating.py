"""A run with candidates, and the app with its rating screen in front."""

import sys
from pathlib import Path

from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.pool import Candidate
from ppo_tui.runs.strict_json import dumps
from ppo_tui.screens import app as app_module
from ppo_tui.screens.app import PpoTuiApp
from ppo_tui.screens.rating import RatingScreen
from ppo_tui.screens.rating_pace import Pace

from .conftest import LONG_AGO

STAND_IN = Path(__file__).with_name("adviser_stand_in.py")

PROMPTS = ("The soup was", "The room had", "We waited", "The film")
RESPONSES = (
    " cold, and I left it.",
    " warm, and I would go again.",
    " a long story of its own.",
)


def candidate(number: int, prompt: str, response: str, step: int = 0) -> Candidate:
    return Candidate(f"r{step}-{number}", step, prompt, response, 9, True, time=LONG_AGO)


def add_to_pool(run: RunDirectory, *candidates: Candidate) -> None:
    with run.pool_path.open("a", encoding="utf-8") as file:
        for one in candidates:
            file.write(dumps(one.to_json()) + "\n")


def fill_pool(run: RunDirectory) -> None:
    """Three answers to each of four prompts."""
    for step, response in enumerate(RESPONSES):
        add_to_pool(
            run, *(candidate(n, prompt, response, step) for n, prompt in enumerate(PROMPTS))
        )


class Host(PpoTuiApp):
    """The app with one rating screen on an empty stack."""

    CSS_PATH = Path(app_module.__file__).with_name("app.tcss")

    def __init__(
        self,
        run: RunDirectory,
        mode: str = "ready",
        rater: str = "ada",
        pace: Pace | None = None,
    ) -> None:
        super().__init__()
        self.rating = self.screen_of(run, mode, rater, pace)

    @staticmethod
    def screen_of(
        run: RunDirectory, mode: str, rater: str, pace: Pace | None = None
    ) -> RatingScreen:
        def start(run: RunDirectory, rater: str) -> list[str]:
            return [sys.executable, str(STAND_IN), mode, str(run.path), rater]

        # A test is quicker than a person.
        return RatingScreen(run, rater, start, pace or Pace(0, 0, 0))

    def open_home(self) -> None:
        self.push_screen(self.rating)
