"""The rows of the list of runs: their words, which of them a filter keeps, and their order.

Pure functions of what the catalog found, for the table and its tests; nothing here draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ppo_tui.runs.catalog import RunSummary
from ppo_tui.runs.paths import shown
from ppo_tui.runs.phase import Phase
from ppo_tui.text.figures import number
from ppo_tui.text.plain import plain

COLUMNS = ("state", "run", "model", "preset", "reward", "step", "age")
"""What a list can be ordered by, in the order in which the columns stand."""

LONGEST = 300
"""More characters of a name than this fit no terminal."""

_SIGNS = {
    Phase.CREATED: "○",
    Phase.LOADING: "◌",
    Phase.PAUSED: "‖",
    Phase.AWAITING_RATINGS: "?",
    Phase.STOPPING: "◐",
    Phase.STOPPED: "■",
    Phase.FINISHED: "✓",
    Phase.FAILED: "✗",
    Phase.CRASHED: "✗",
}
_WORKING = "●"
_WORDS = {Phase.AWAITING_RATINGS: "rate it"}
_UNUSABLE = "unusable"
_SEARCHED = ("state", "run", "model", "preset", "for")


@dataclass(frozen=True, slots=True)
class Order:
    """By which column a list is ordered; `falling` puts the largest first."""

    column: str = "age"
    falling: bool = False

    def turned_to(self, column: str) -> Order:
        """The order after its column was chosen: a second choice of the same one turns it round."""
        if column == self.column:
            return Order(column, not self.falling)
        return Order(column, falling=column in ("reward", "step"))


def state_words(run: RunSummary) -> tuple[str, str]:
    """A sign and a word for how a run is doing."""
    if run.phase is None:
        return "✗", _UNUSABLE
    word = "suspended" if run.suspended else _WORDS.get(run.phase, run.phase.value)
    return _SIGNS.get(run.phase, _WORKING), word


def one_line(text: str) -> str:
    """Foreign text, harmless and of a length that can be laid out."""
    return plain(text[:LONGEST]).strip()


def short_model(name: str, room: int) -> str:
    """A model's name in `room` cells: without its owner or folder if it takes that."""
    name = one_line(name)
    return name if len(name) <= room else name.rstrip("/").rpartition("/")[2] or name


def step_words(run: RunSummary, room: int) -> str:
    """`12/100`, or what of it fits."""
    if run.phase is None:
        return ""
    whole = f"{run.step}/{run.total}" if run.total else str(run.step)
    if len(whole) <= room or not run.total:
        return whole
    return f"{100 * run.step / run.total:.0f} %"


def reward_words(run: RunSummary) -> str:
    """The reward of the last step."""
    return "" if run.phase is None else number(run.reward)


def problem_words(run: RunSummary) -> str:
    """Why a directory is no use, without its path, which stands elsewhere."""
    return one_line(run.problem.removeprefix(shown(run.path)))


def age(run: RunSummary, now: float) -> str:
    """How long ago the run was made, in four characters."""
    if not run.started:
        return ""
    seconds = now - run.started
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "now"


def select(runs: Sequence[RunSummary], query: str) -> list[RunSummary]:
    """The runs that a filter keeps.

    Args:
        runs: All.
        query: Words that all must fit, each somewhere in the run's state, name, model, preset or
            description, whatever its case. `state:`, `run:`, `model:`, `preset:` and `for:` look
            in one of them; `-` in front keeps what does not fit. `live` and `ended` are states too.
    """
    tests = [_test(word) for word in query.casefold().split()]
    return [run for run in runs if all(test(run) for test in tests)]


def _test(word: str) -> Callable[[RunSummary], bool]:
    unwanted = word.startswith("-")
    word = word.removeprefix("-")
    place, colon, wanted = word.partition(":")
    places = (place,) if colon and place in _SEARCHED else _SEARCHED
    wanted = wanted if places is not _SEARCHED else word
    if not wanted:  # still being typed
        return lambda run: True
    return lambda run: any(wanted in _searched(run, place) for place in places) != unwanted


def _searched(run: RunSummary, place: str) -> str:
    match place:
        case "state":
            kind = "live" if run.alive else "ended"
            found = f"{run.phase.value} {kind}" if run.phase else _UNUSABLE
        case "run":
            found = run.name
        case "model":
            found = run.model
        case "preset":
            found = run.preset
        case _:
            found = run.description
    return found.casefold()


def arrange(runs: Sequence[RunSummary], order: Order) -> list[RunSummary]:
    """The runs in an order; equal ones stay as they were, and what has no value comes last."""

    def value_of(run: RunSummary) -> float | str:
        match order.column:
            case "state":
                return state_words(run)[1]
            case "run":
                return run.name.casefold()
            case "model":
                return run.model.casefold()
            case "preset":
                return run.preset.casefold()
            case "reward":
                return math.nan if run.reward is None else run.reward
            case "step":
                return float(run.step) if run.phase else math.nan
            case _:
                return -run.started if run.started else math.nan

    valued = [(value_of(run), run) for run in runs]
    known = [pair for pair in valued if pair[0] == pair[0] and pair[0] != ""]
    rest = [run for value, run in valued if value != value or value == ""]
    # Texts and numbers never meet: a column has the one or the other.
    ordered = sorted(known, key=lambda pair: pair[0], reverse=order.falling)
    return [run for _, run in ordered] + rest
