"""What can be done with a run of the list of runs, as far as the list knows the run."""

from __future__ import annotations

from ppo_tui.runs.catalog import RunSummary
from ppo_tui.runs.phase import Phase

ONE_RUN = frozenset(
    {"open", "resume", "stop", "copy", "delete", "log", "export", "playground", "rate"}
)
"""Actions on the run under the cursor."""

NEEDS_RUNS = ONE_RUN - {"open"} | {"compare", "filter"}
"""Actions that mean nothing while there is no run at all."""

_RESUMABLE = frozenset({Phase.CREATED, Phase.STOPPED, Phase.FAILED, Phase.CRASHED})


def can(action: str, run: RunSummary) -> bool:
    """Whether an action of `ONE_RUN` is possible with a run."""
    match action:
        case "resume":
            return run.phase in _RESUMABLE and not run.alive
        case "stop":
            return run.alive
        case "delete":
            return not run.alive
        case "export" | "playground":
            return run.saved is not None
        case _:
            return not run.problem
