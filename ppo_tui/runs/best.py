"""Which step of a run did best, as its evaluations say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ppo_tui.runs.journal import JournalTail
from ppo_tui.runs.records import Event

if TYPE_CHECKING:
    from ppo_tui.runs.directory import RunDirectory

OBJECTIVE = "eval/objective"
"""What a run is to maximise: the mean score less the KL penalty, on held-out prompts."""


class Best:
    """The best of the evaluations that it was shown.

    Attributes:
        step: Its step; None before there is one.
        objective: What it came to.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self.objective = -math.inf

    def look(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Take in an evaluation; whether it is better than every one before."""
        objective = metrics.get(OBJECTIVE, math.nan)
        if not objective > self.objective:  # NaN is not
            return False
        self.step, self.objective = step, objective
        return True


def best_of(run: RunDirectory) -> Best:
    """The best of the evaluations in a run's journal; of none, where it cannot be read."""
    best, tail = Best(), JournalTail(run.events_path)
    try:
        while records := tail.poll().records:
            for record in records:
                event = Event.from_json(record)
                if event.kind == "eval" and event.step is not None:
                    best.look(event.step, event.metrics)
    except OSError:
        return Best()
    return best


def has_saved(run: RunDirectory) -> bool:
    """Whether a run's journal tells of a checkpoint; not where it cannot be read."""
    tail = JournalTail(run.events_path)
    try:
        while records := tail.poll().records:
            if any(record.get("kind") == "checkpoint" for record in records):
                return True
    except OSError:
        return False
    return False


def chosen_step(run: RunDirectory, chosen: str | None) -> int | None:
    """The step of the checkpoint that a user means; None for the newest.

    Args:
        run: The run.
        chosen: A step, `best` or `newest`; the newest if left out.

    Raises:
        UsageError: It is none of these.
        CheckpointError: `best`, and nothing was evaluated (`checkpoint.no_best`), or the checkpoint
            that did best is not there any more (`checkpoint.missing`).
    """
    from ppo_tui.errors import CheckpointError, UsageError
    from ppo_tui.runs.checkpoints import list_checkpoints
    from ppo_tui.runs.paths import shown

    if chosen in (None, "newest"):
        return None
    if chosen is not None and chosen.isascii() and chosen.isdecimal() and len(chosen) < 19:
        return int(chosen)
    if chosen != "best":
        raise UsageError(
            f"--checkpoint is {shown(str(chosen)[:40])}; it must be a step, best or newest."
        )
    step = best_of(run).step
    if step is None:
        raise CheckpointError(
            f"{shown(run.name)} has not been evaluated, so none of its checkpoints is the best.",
            hint="Leave out --checkpoint for the newest; eval.every=10 evaluates a run every 10 "
            "steps.",
            code="checkpoint.no_best",
        )
    present = [at for at, _ in list_checkpoints(run.checkpoints_path)]
    if step not in present:
        raise CheckpointError(
            f"The best evaluation of {shown(run.name)} was that of step {step}, whose checkpoint "
            f"was not kept; there are those of step {', '.join(map(str, sorted(present)))}.",
            hint="checkpoint.keep_best=true keeps it in the next run.",
            code="checkpoint.missing",
        )
    return step
