"""The states that a run can be in; the words are a contract with scripts."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """What a run is doing, or how it ended."""

    CREATED = "created"
    LOADING = "loading"
    ROLLOUT = "rollout"
    SCORING = "scoring"
    UPDATE = "update"
    EVALUATING = "evaluating"
    SAVING = "saving"
    PAUSED = "paused"
    AWAITING_RATINGS = "awaiting_ratings"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    """Concluded by a viewer from the lock and the process; never written."""


TERMINAL = frozenset({Phase.STOPPED, Phase.FINISHED, Phase.FAILED, Phase.CRASHED})
"""The run has ended; only a new worker (resume) can move it on."""

ACTIVE = frozenset(Phase) - TERMINAL - {Phase.CREATED}
"""A worker must be alive; if none is, the run has crashed."""
