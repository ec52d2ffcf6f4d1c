"""What can be found wrong with a configuration before a run is made, without torch."""

from __future__ import annotations

import os

from ppo_tui.config.rewards import PythonTerm
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import ModelError, ResourceError
from ppo_tui.runs.paths import shown


def check(config: RunConfig) -> None:
    """Raise what the worker would only find out after it has loaded.

    Raises:
        DataError: The prompts cannot be read.
        ModelError: The model is not there, is no model, or is damaged.
        ResourceError: A reward file is not there.
    """
    from ppo_tui.data import load_prompts
    from ppo_tui.plan import read_architecture

    load_prompts(config.data)
    for term in config.reward.terms:
        if isinstance(term, PythonTerm) and not os.path.isfile(term.path):
            raise ResourceError(
                f"The reward file {shown(term.path)} does not exist.",
                code="reward.file_missing",
            )
    try:
        read_architecture(config.model)
    except ModelError as error:
        # An architecture that cannot be planned for may load all the same; the worker will say.
        if error.code != "model.unsupported":
            raise
