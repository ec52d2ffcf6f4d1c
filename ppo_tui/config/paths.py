"""Paths in a configuration, made absolute before it is stored.

A run may be resumed from another folder than it was started from. What stands in a file is meant
relative to that file; what was typed, and what a preset says, relative to the current folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from ppo_tui.config.resolve import COMMAND_LINE, DEFAULT, ResolvedConfig
from ppo_tui.config.rewards import AdapterTerm, HumanTerm, PythonTerm, RewardTerm
from ppo_tui.config.schema import BUNDLED

_PATHS = {PythonTerm: "path", HumanTerm: "source", AdapterTerm: "path"}
"""The attribute of a reward term that is a path."""


def with_absolute_paths(resolved: ResolvedConfig, folder: Path | None = None) -> ResolvedConfig:
    """The configuration with the paths of prompts, model, ratings and rewards made absolute.

    Args:
        resolved: What `resolve` made.
        folder: What typed paths are relative to; the current folder if left out.
    """
    config, current = resolved.config, folder or Path.cwd()

    def absolute(path: str, *keys: str) -> str:
        origin = next((resolved.origins[key] for key in keys if key in resolved.origins), DEFAULT)
        base = _base_of(origin, current)
        return os.path.abspath(os.path.join(base, os.path.expanduser(path)))

    data, model, reward = config.data, config.model, config.reward
    if data.prompts != BUNDLED:
        prompts = absolute(data.prompts, "data.prompts", "data")
        data = data.model_copy(update={"prompts": prompts})
    if model.name != BUNDLED:
        path = absolute(model.name, "model.name", "model")
        if os.path.exists(path) or _is_meant_as_path(model.name):
            model = model.model_copy(update={"name": path})

    def absolute_in(number: int, term: RewardTerm) -> RewardTerm:
        attribute = _PATHS.get(type(term))
        path = getattr(term, attribute) if attribute else None
        if attribute is None or path is None:
            return term
        place = f"reward.terms.{number}"
        option = type(term).model_fields[attribute].alias or attribute
        keys = (f"{place}.{option}", place, "reward.terms", "reward")
        return term.model_copy(update={attribute: absolute(path, *keys)})

    terms = tuple(absolute_in(number, term) for number, term in enumerate(reward.terms))
    reward = reward.model_copy(update={"terms": terms})
    use = tuple(absolute(path, "ratings.use", "ratings") for path in config.ratings.use)
    ratings = config.ratings.model_copy(update={"use": use})
    changed = config.model_copy(
        update={"data": data, "model": model, "reward": reward, "ratings": ratings}
    )
    return ResolvedConfig(changed, resolved.name, resolved.origins)


def _base_of(origin: str, current: Path) -> str:
    if origin in (DEFAULT, COMMAND_LINE) or origin.startswith("preset "):
        return str(current)
    return os.path.join(current, os.path.dirname(origin))


def _is_meant_as_path(name: str) -> bool:
    return name.startswith((".", "~", os.sep))
