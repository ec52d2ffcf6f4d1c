"""What must hold of a run directory between a kill and the next worker."""

from __future__ import annotations

from ppo_tui.errors import PpoTuiError
from ppo_tui.runs.checkpoints import list_checkpoints, verify_checkpoint
from ppo_tui.runs.directory import RunDirectory
from ppo_tui.runs.journal import read_journal
from ppo_tui.runs.phase import Phase
from ppo_tui.runs.state import observe


def broken(run: RunDirectory) -> list[str]:
    """What does not hold of a run whose worker was just killed, a sentence each.

    - Every folder called like a checkpoint is a whole one.
    - `state.json` can be read, and a viewer concludes that the run crashed, unless its worker had
      already said how it ended.
    - Every line of the journals that has an end is a record.
    """
    problems = []
    for _, path in list_checkpoints(run.checkpoints_path):
        try:
            verify_checkpoint(path)
        except PpoTuiError as error:
            problems.append(error.message)
    journals = (run.events_path, run.samples_path, run.pool_path)
    problems += [
        f"{journal.name} has {damaged} damaged lines"
        for journal in journals
        if journal.exists() and (damaged := read_journal(journal).damaged)
    ]
    try:
        seen = observe(run)
    except PpoTuiError as error:
        return [*problems, error.message]
    if seen.alive or seen.phase not in (Phase.CRASHED, Phase.FINISHED):
        problems.append(f"a viewer takes the run for {seen.phase.value}")
    return problems
