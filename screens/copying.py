"""What a run is, for its screen: its settings as the start of another run, its memory's limit.

All of it reads files and may ask the graphics driver: for threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppo_tui.config.draft import draft_of
from ppo_tui.config.resolve import ResolvedConfig
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import PpoTuiError
from ppo_tui.plan import device_budget
from ppo_tui.prepare.resume import copied_settings, stored_config
from ppo_tui.runs.directory import RunDirectory


def settings_of(run: RunDirectory, changes: Mapping[str, Any]) -> ResolvedConfig:
    """The run's settings with some of them changed.

    Args:
        run: The run.
        changes: Dotted key to value.

    Raises:
        PpoTuiError: The run's configuration cannot be read, or would not be valid.
    """
    start = copied_settings(run)
    if not changes:
        return start
    draft = draft_of(start)
    for key, value in changes.items():
        draft = draft.with_value(key, value)
    return draft.resolved()


def config_and_budget(run: RunDirectory) -> tuple[RunConfig, float | None] | None:
    """The run's configuration, and the memory of its device in GiB; None if it cannot be read."""
    try:
        config = stored_config(run)
    except PpoTuiError:  # of a newer version, say; the worker is the one to complain
        return None
    budget = device_budget(config.device)
    return config, None if budget is None else budget / 2**30
