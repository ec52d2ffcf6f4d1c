"""The rating screen's words: its first line, what is good to know, and why nothing is asked."""

from __future__ import annotations

from textual.content import Content

from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import Observed
from ppo_tui.taste.stock import Kind
from ppo_tui.text.plain import shortened

from .literal import literal
from .rating_desk import Facts, Look
from .status import WORKING, WORKING_PHASES, phase_words, waiting_of

LEAST_NAME, LONGEST_NAME = 16, 40
LONGEST_WAITING = 40
"""More of what a run waits for stands in the line below."""

BEGIN = (
    "Nothing yet. Say how you like the texts, by your own taste alone; from the fifth answer on, "
    "what you taught stands here."
)


def status_of_rating(name: str, look: Look | None, kind: Kind, width: int) -> Content:
    """The first line: what is rated, how much was, and what the run waits for.

    Args:
        name: The run's name.
        look: What the files say; None before the first look.
        kind: Whether texts are rated or pairs compared.
        width: Cells that there are; the name gives way.
    """
    for brief in (False, True):
        rest = Content("  ").join(literal(part) for part in _parts(look, kind, brief=brief))
        room = width - rest.cell_length - len("Rate    ")
        if room >= LEAST_NAME:
            break
    room = max(LEAST_NAME, min(LONGEST_NAME, room))
    return Content.assemble("Rate  ", literal(shortened(name, room), "bold"), "  ", rest)


def _parts(look: Look | None, kind: Kind, *, brief: bool) -> list[str]:
    """What the first line says after the name; in brief, what is also to be seen elsewhere goes."""
    parts = ["pairs"] if kind == "pair" else [] if brief else ["single texts"]
    if look is None:
        return [*parts, "reading …"]
    waiting = waiting_of(look.seen)
    if waiting:
        parts.insert(0, f"? waits for you: {shortened(waiting, LONGEST_WAITING)}")
    by_you = f", {look.mine} by you" if look.raters and not brief else ""
    parts.append(f"{look.total} given{by_you}")
    if look.raters > 1:
        parts.append(f"{look.raters} people")
    if look.seen is not None and not waiting:
        parts.append(_doing(look.seen))
    return parts


def _doing(seen: Observed) -> str:
    """What the run does, in few words that do not change with every part of a step."""
    if seen.phase in WORKING_PHASES:
        return f"{WORKING} trains, step {seen.state.step}/{seen.state.total or '?'}"
    return phase_words(seen.phase)


def notice_of(look: Look | None, facts: Facts | None, broken: str, failed: str) -> Content | None:
    """What is wrong, or good to know; None if nothing is.

    Args:
        look: What the files say; None before the first look.
        facts: What the run is; None until that is known.
        broken: Why there is no adviser; empty if there is one.
        failed: Why the last answer was not kept; empty if it was.
    """
    if failed:
        return Content.assemble("✗ ", literal(failed, "bold"), " Your answer is still asked for.")
    if look is not None and look.problem:
        return Content.assemble("✗ ", literal(look.problem, "bold"))
    said = []
    if broken:
        said.append(
            f"{broken} Questions are chosen simply, and all you say is kept. "
            "Coming back to this screen starts it anew."
        )
    if look is not None and look.seen is not None:
        waiting = waiting_of(look.seen)
        said.append(waiting if len(waiting) > LONGEST_WAITING else "")
        said.append(_who_listens(look.seen, facts))
    words = " ".join(filter(None, said))
    return literal(f"▲ {words}" if broken else f"  {words}") if words else None


def _who_listens(seen: Observed, facts: Facts | None) -> str:
    """Whether a run learns from what is rated now."""
    learns = facts is None or facts.uses_ratings is not False
    if not learns:
        return "This run's reward is another; your ratings serve `ppo-tui reward fit`."
    if seen.alive:
        trains = facts is not None and facts.uses_ratings and seen.phase in WORKING_PHASES
        if not trains:
            return ""
        return "It trains on what was rated. Rate on if you like; escape leads back."
    if seen.phase is Phase.FINISHED:
        return "The run is over; your ratings serve `ppo-tui reward fit`."
    return "No worker listens; your ratings count when the run is resumed."


def no_lesson(look: Look | None, broken: bool) -> str:
    """What stands in the place of a lesson before there is one."""
    if broken:
        return "Nothing is worked out while there is no adviser."
    if look is None or not look.total:
        return BEGIN
    return "Working out what the ratings have taught …"


def nothing_to_ask(look: Look | None, kind: Kind) -> str:
    """Why there is no question."""
    if look is None:
        return "Reading the run …"
    if look.problem:
        return "There is nothing to ask while the run cannot be read."
    if not look.texts:
        return "There is no text yet. The run's first texts come with its first step" + (
            ", and it is working on it." if look.seen is not None and look.seen.alive else "."
        )
    if kind == "pair":
        return (
            "There are no two answers to one prompt that you have not compared.\n"
            "x goes back to single texts; new texts are asked about as they come."
        )
    return (
        "You have judged every text there is.\n"
        "New ones are asked about as they come; x compares two answers to one prompt."
    )
