"""A run in one line: state, step, time left, reward, KL, memory; and its trouble in a few more."""

from __future__ import annotations

from textual.content import Content

from ppo_tui.runs.diagnosis import Finding
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.records import ErrorInfo
from ppo_tui.runs.state import Observed
from ppo_tui.text.figures import duration, number
from ppo_tui.text.plain import shortened

from .literal import literal
from .story import RunStory

SIGNS = {
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
"""A sign for each state that is not simply working."""

WORKING = "●"

FEWEST_STILL_SECONDS = 30.0
STILL_STEPS = 5
"""A run that has not moved for so long, or for so many of its steps, is said to stand still."""

LONGEST_WAITING = 200
"""Characters of what a run waits for; beyond, it is cut."""

WORKING_PHASES = (Phase.ROLLOUT, Phase.SCORING, Phase.UPDATE)

_STYLES = {
    Phase.FINISHED: "$text-success",
    Phase.FAILED: "$text-error",
    Phase.CRASHED: "$text-error",
    Phase.PAUSED: "$text-warning",
    Phase.STOPPED: "$text-warning",
    Phase.STOPPING: "$text-warning",
    Phase.AWAITING_RATINGS: "$text-warning",
}


def phase_words(phase: Phase) -> str:
    """A state in words, with its sign."""
    return f"{SIGNS.get(phase, WORKING)} {phase.value.replace('_', ' ')}"


def status_of(
    name: str,
    seen: Observed | None,
    story: RunStory,
    width: int,
    *,
    asked: str = "",
    replay: float | None = None,
    looking_at: int | None = None,
    problem: bool = False,
) -> Content:
    """The first line of the training screen; what matters least is left out where room is short.

    Args:
        name: The run's name.
        seen: How it is doing; None if nobody has been able to look.
        story: What its journal tells.
        width: Cells that there are.
        asked: What the worker was asked and has not answered.
        replay: How many times as fast it is played again.
        looking_at: The step under the cursor.
        problem: Whether the run cannot be read.
    """
    if seen is None:
        words = "✗ cannot be read" if problem else "reading …"
        return Content.assemble(literal(name, "bold"), f"  {words}")
    metrics = story.history.last()
    step, total = _steps(seen, story)
    state = Content.styled(phase_words(seen.phase), f"bold {_STYLES.get(seen.phase, '')}".strip())
    parts: list[tuple[int, Content]] = [(0, state)]
    if seen.suspended:
        parts.append((0, Content.styled("suspended", "bold $text-warning")))
    done = f" {100 * min(step, total) // total}%" if total else ""
    parts.append((0, Content(f"step {step}/{total or '?'}{done}")))
    if seen.alive and (left := story.seconds_left(total)) is not None:
        parts.append((1, Content(f"{duration(left)} left")))
    if metrics:
        parts.append((1, Content(f"reward {number(metrics.get('reward/score'))}")))
        parts.append((3, Content(f"KL {number(metrics.get('kl/ref'))}")))
        parts.append((2, Content(f"{number(metrics.get('memory/peak_gib'))} GiB")))
    share = story.share_of_optimum
    if share is not None:
        parts.append((2, Content(f"{100 * share:.0f}% of the optimum")))
    if replay is not None:
        parts.insert(1, (0, Content.styled(f"replay {replay:g}×", "bold")))
    if asked:
        parts.append((0, literal(f"asked: {asked}", "italic")))
    if looking_at is not None:
        parts.append((0, Content.styled(f"looking at step {looking_at}", "bold underline")))
    if story.read < 1 and len(story.history):
        parts.append((1, Content(f"reading {100 * story.read:.0f}%")))
    known = [part for _, part in parts]
    for rank in (3, 2):
        if _width(known) + 14 <= width:
            break
        known = [part for worth, part in parts if worth < rank]
    room = max(8, width - _width(known) - 4)
    title = Content.styled(shortened(name, min(room, 40)), "bold")
    return Content("  ").join([title, *known])


def _steps(seen: Observed, story: RunStory) -> tuple[int, int]:
    return max(seen.state.step, story.history.last_step), seen.state.total


def _width(parts: list[Content]) -> int:
    return sum(part.cell_length + 2 for part in parts)


def standstill(seen: Observed | None, story: RunStory) -> str:
    """That nothing moves though a worker is there, in words; empty while something does."""
    if seen is None:
        return ""
    still = story.seconds_still(seen.state.updated)
    if not seen.alive or seen.suspended or seen.phase not in WORKING_PHASES:
        return ""
    rate = story.seconds_per_step
    if still < max(FEWEST_STILL_SECONDS, STILL_STEPS * (rate or 60.0)):
        return ""
    how_long = f"{still // 60:.0f} min" if still >= 60 else "half a minute"
    usual = f", and a step takes {duration(rate)}" if rate is not None else ""
    return f"Nothing has moved for {how_long}{usual}. Its process may be halted or stuck."


def waiting_of(seen: Observed | None) -> str:
    """What a run waits for, as its worker says it; empty unless it waits for ratings."""
    if seen is None or seen.phase is not Phase.AWAITING_RATINGS:
        return ""
    return shortened(seen.state.message.strip(), LONGEST_WAITING) or "ratings"


def resting_line(seen: Observed | None, still: str, keys: dict[str, str]) -> Content | None:
    """Why nothing moves, and the key that does something about it; None if something does.

    Args:
        seen: How the run is doing.
        still: That nothing moves though it should, in words.
        keys: Action to the key that does it.
    """
    if seen is not None and (words := seen.suspended_words):
        return literal(f"▲ {words[:1].upper()}{words[1:]}. [{keys['stop']}: end it]")
    if waiting := waiting_of(seen):
        said = Content.styled("? It waits for your ratings: ", "bold")
        doings = f"[{keys['rate']}: rate   {keys['continue']}: go on]"
        return Content.assemble(said, literal(f"{waiting} "), literal(doings, "bold"))
    if still:
        return literal(f"▲ {still} [{keys['log']}: log   {keys['stop']}: stop]")
    return None


def trouble_of(error: ErrorInfo, *, can_resume: bool, keys: dict[str, str]) -> Content:
    """Why a run failed or crashed, and what can be done now.

    Args:
        error: What is known of it.
        can_resume: Whether a key resumes the run.
        keys: Action to the key that does it.
    """
    message = error.message if error.message[-1:] in ".!?" else f"{error.message}."
    words = [Content.styled("✗ ", "bold"), literal(message, "bold")]
    if error.hint:
        words += [Content(" "), literal(error.hint)]
    doings = [f"{keys['log']}: its log"]
    if can_resume:
        doings.insert(0, f"{keys['resume']}: resume")
    words.append(Content.styled(f"  [{'   '.join(doings)}]", "bold"))
    return Content.assemble(*words)


def finding_line(finding: Finding, more: int, keys: dict[str, str]) -> Content:
    """A finding in a line: what, why, and the key that does something about it."""
    sign = "✗" if finding.level == "error" else "▲"
    parts = [
        literal(f"{sign} {finding.title}: ", "bold"),
        literal(finding.cause),
        Content(" "),
    ]
    if finding.change is not None:
        remedy = change_words(finding)
        parts.append(literal(f"[{keys['apply']}: {remedy}] ", "bold"))
    else:
        parts.append(literal(finding.remedy, "italic"))
        parts.append(Content(" "))
    parts.append(Content(f"[{keys['findings']}: {'all' if more else 'more'}]"))
    if more:
        parts.append(Content(f" +{more}"))
    return Content.assemble(*parts)


def change_words(finding: Finding) -> str:
    """What a finding's change would set, in a few words."""
    change = finding.change
    assert change is not None
    value = number(change.value) if isinstance(change.value, float) else str(change.value)
    names = {"kl_coef": "KL coefficient", "lr": "learning rate"}
    where = "" if change.live else " in a new run"
    return f"{names.get(change.key, change.key)} → {value}{where}"
