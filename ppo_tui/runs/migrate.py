"""What a checkpoint's `state.json` lacked in older versions, added one version at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppo_tui.config.migrate import Step, migrated

CHECKPOINT_VERSION = 2
"""What is written today; also the version of the manifest beside it."""


def _with_what_came_later(state: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: version 1 grew without a number, so what its first ppo-tui did not save is added.

    None stands for "not known": the engine's bounds are chosen anew, and generators that a reward
    of the user's draws from stay as they are.
    """
    trainer, extra = dict(state["trainer"]), dict(state["extra"])
    trainer.setdefault("engine", None)
    extra.setdefault("pool_offset", 0)
    extra.setdefault("base_answered", False)
    taste = state.get("taste")
    if taste is not None:
        taste = {"lesson": None, **taste}
    return {
        **state,
        "v": 2,
        "trainer": trainer,
        "extra": extra,
        "reward_rng": state.get("reward_rng"),
        "taste": taste,
    }


CHECKPOINT_STEPS: Mapping[int, Step] = {1: _with_what_came_later}


def migrated_checkpoint(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's `state.json` in the form of today.

    Raises:
        NewerVersion: A newer ppo-tui wrote it.
        ValueError, KeyError, TypeError: It is no such file.
    """
    return migrated(state, state["v"], CHECKPOINT_VERSION, CHECKPOINT_STEPS)
