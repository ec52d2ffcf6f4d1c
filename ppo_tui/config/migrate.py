"""Files of older versions, brought to the form of today: one function a version, in their order.

The walk is here, for whatever carries a version, and so are the steps of configurations (presets,
files of the user's own, each run's `config.yaml`) and of the app's settings. Those of checkpoints
are in `ppo_tui.runs.migrate`. Whoever raises a version adds the step that leads to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Step = Callable[[dict[str, Any]], dict[str, Any]]
"""From the content of one version to that of the next; what it is given, it may change."""

CONFIG_STEPS: Mapping[int, Step] = {}
"""Steps of configurations by the version that they start from. Settings that were added since the
first version have defaults, so that files without them are read as they are."""

SETTINGS_STEPS: Mapping[int, Step] = {}
"""Steps of the app's settings, likewise."""


class NewerVersion(ValueError):
    """A newer ppo-tui wrote it."""


def migrated(
    content: Mapping[str, Any], version: Any, newest: int, steps: Mapping[int, Step]
) -> dict[str, Any]:
    """The content in the form of version `newest`; what was given is left as it is.

    Args:
        content: What the file holds.
        version: The version that it says it has.
        newest: The version that this ppo-tui writes.
        steps: One step for every version below `newest`.

    Raises:
        NewerVersion: A newer ppo-tui wrote it.
        ValueError: It is no version that any ppo-tui wrote.
    """
    if type(version) is not int or version < 1:
        raise ValueError("a version is a whole number from 1")
    if version > newest:
        raise NewerVersion("a newer ppo-tui wrote it")
    result = dict(content)
    for known in range(version, newest):
        result = steps[known](result)
    return result
