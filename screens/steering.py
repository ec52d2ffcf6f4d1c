"""Requests to a run's worker, and the words for what became of them.

Posting waits for the disk, so it is done in a thread; the answer comes with the run's journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.control import post
from ppo_tui.text.figures import number

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

    from .base import PpoScreen
    from .story import RunStory

WORDS = {
    "pause": "pause after this step",
    "continue": "go on",
    "checkpoint": "save a checkpoint after this step",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for its answer."""

    id: str
    words: str


class Steering:
    """Asks the worker, remembers what it was asked, and tells when it has answered."""

    def __init__(self, screen: PpoScreen[None], run: RunDirectory) -> None:
        self._screen = screen
        self._run = run
        self._asked: list[Asked] = []

    @property
    def waiting(self) -> str:
        """What the worker was asked and has not answered yet, in words; empty if nothing."""
        return ", ".join(dict.fromkeys(asked.words for asked in self._asked))

    def ask(self, kind: str, words: str = "", **args: Any) -> None:
        """Leave a request for the worker; what goes wrong is shown on the screen."""
        said = words or WORDS.get(kind, kind)
        self._screen.run_worker(
            lambda: self._post(kind, said, args), thread=True, group="steering", exit_on_error=False
        )

    def stop(self, mode: str) -> None:
        """Ask for the end: `save` finishes the step and saves, `now` does neither."""
        self.ask("stop", "save and stop" if mode == "save" else "stop now", mode=mode)

    def set(self, key: str, value: float) -> None:
        """Ask for another KL coefficient or learning rate."""
        names = {"kl_coef": "KL coefficient", "lr": "learning rate"}
        self.ask("set", f"{names.get(key, key)} {number(value)}", key=key, value=value)

    def heard(self, story: RunStory) -> list[str]:
        """The answers that have come since the last call, in words."""
        answered = [asked for asked in self._asked if asked.id in story.answers]
        self._asked = [asked for asked in self._asked if asked.id not in story.answers]
        return [story.answers[asked.id] for asked in answered]

    def forget(self) -> None:
        """Nobody is left to answer."""
        self._asked.clear()

    def _post(self, kind: str, words: str, args: dict[str, Any]) -> None:
        try:
            request = post(self._run, kind, **args)
        except PpoTuiError as error:
            self._screen.app.call_later(self._screen.app.show_error, error)
            return
        self._asked.append(Asked(request, words))


def number_above_zero(text: str, *, zero: bool) -> str:
    """What is wrong with a typed number, in a sentence; empty if nothing is.

    Args:
        text: As it was typed.
        zero: Whether 0 is allowed.
    """
    try:
        value = float(text)
    except ValueError:
        return "A number, such as 0.05 or 1e-4." if text.strip() else ""
    if not (value >= 0 if zero else value > 0) or value == float("inf"):
        return "A number, 0 or more." if zero else "A number above 0."
    return ""
