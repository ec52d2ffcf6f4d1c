"""Progress as plain lines, for pipes, files and terminals that cannot be drawn on."""

from __future__ import annotations

import math

from ppo_tui.cli.answer import say
from ppo_tui.cli.frame import WORDS
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.progress import Progress
from ppo_tui.runs.records import Event
from ppo_tui.text.figures import duration, number
from ppo_tui.text.plain import plain

SECONDS_BETWEEN = 5.0
"""A step is told when so much of the run's own time has passed since the last that was told."""

_TOLD = frozenset(
    {Phase.LOADING, Phase.EVALUATING, Phase.PAUSED, Phase.AWAITING_RATINGS, Phase.STOPPING}
)


def rate_words(name: str) -> str:
    """How a run that waits for ratings gets them."""
    return f"Rate in another terminal, with `ppo-tui rate {name}` or in the app."


class Lines:
    """Tells a run's events one line each, steps now and then.

    Args:
        total: Steps that are planned.
        name: The run's name.
    """

    def __init__(self, total: int, name: str = "last") -> None:
        self._total = total
        self._name = plain(name)
        self._last = -math.inf
        self._untold: Event | None = None
        self._phase: Phase | None = None

    def tell_phase(self, progress: Progress, phase: Phase) -> None:
        """Print that the run does something else now, if that is worth a line."""
        if phase is not self._phase and phase in _TOLD:
            self._tell_step(progress)
            say(f"{WORDS[phase]} ...")
            if phase is Phase.AWAITING_RATINGS:
                say(rate_words(self._name))
        self._phase = phase

    def tell(self, progress: Progress) -> None:
        """Print what is new."""
        for event in progress.take_news():
            match event.kind:
                case "step":
                    self._untold = event
                    if event.time - self._last >= SECONDS_BETWEEN:
                        self._tell_step(progress)
                case "health":
                    hint = event.payload.get("hint") or ""
                    level = event.payload.get("level") or "note"
                    say(f"{plain(str(level))}: {plain(event.message)} {plain(str(hint))}".rstrip())
                case "log":
                    say(plain(event.message))

    def end(self, progress: Progress) -> None:
        """Print the last step, if it was passed over."""
        self.tell(progress)
        self._tell_step(progress)

    def _tell_step(self, progress: Progress) -> None:
        event, self._untold = self._untold, None
        if event is None:
            return
        self._last = event.time
        metrics = event.metrics
        left = progress.seconds_left(self._total)
        rate = progress.seconds_per_step
        parts = [
            f"step {event.step}/{self._total or '?'}",
            f"reward {number(metrics.get('reward/score'))}",
            f"kl {number(metrics.get('kl/ref'))}",
            f"length {number(metrics.get('response/length'))}",
        ]
        if rate is not None:
            parts += [f"{number(rate)} s/step", f"{duration(left)} to go"]
        say("  ".join(parts))
