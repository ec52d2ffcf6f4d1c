"""What can be found wrong with a configuration before a run is made, without torch."""

from __future__ import annotations

from pathlib import Path

from ppo_tui.config.rewards import AdapterTerm, HumanTerm
from ppo_tui.config.schema import RunConfig
from ppo_tui.errors import ModelError, RewardError
from ppo_tui.runs.paths import shown


def check(config: RunConfig, *, starts: bool = True) -> None:
    """Raise what the worker would only find out after it has loaded.

    Args:
        config: The run.
        starts: It is to be started: code that it names must have been confirmed.

    Raises:
        ConfigError: It names code that the user has not confirmed (`trust.reward_file`,
            `trust.model`).
        DataError: The prompts cannot be read.
        ModelError: The model is not there, is no model, or is damaged.
        ResourceError: A reward file or a reward that was made before is not there.
        RewardError: A reward that was made before is damaged, of another kind or another base.
        RunError: Ratings that are to be used are not there.
    """
    from ppo_tui.data import load_prompts
    from ppo_tui.plan import read_architecture
    from ppo_tui.runs.rating_files import ratings_at
    from ppo_tui.trust import named_code, require

    codes = named_code(config)
    if starts:
        require(codes)
    load_prompts(config.data)
    for path in config.ratings.use:
        ratings_at(Path(path))
    try:
        read_architecture(config.model)
    except ModelError as error:
        # An architecture that cannot be planned for may load all the same; the worker will say.
        if error.code != "model.unsupported":
            raise
    _check_rewards(config)


def _check_rewards(config: RunConfig) -> None:
    """Refuse rewards that were learnt on another base, as far as the base is known here."""
    places = [(t.source, "human") for t in config.reward.terms if isinstance(t, HumanTerm)]
    places += [(t.path, "adapter") for t in config.reward.terms if isinstance(t, AdapterTerm)]
    made_before = [(place, kind) for place, kind in places if place is not None]
    if not made_before:
        return
    from ppo_tui.plan.identity import base_identity
    from ppo_tui.taste.artefact import check_base, load_artefact

    artefacts = []
    for place, kind in made_before:
        artefacts.append(load_artefact(Path(place)))
        if artefacts[-1].kind != kind:
            option = "path" if kind == "human" else "from"
            raise RewardError(
                f"{shown(place)} holds a reward of kind {artefacts[-1].kind}; name it with "
                f"kind: {artefacts[-1].kind} and {option}.",
                code="reward.artefact_kind",
            )
    try:
        base = base_identity(config.model)
    except ModelError:
        return  # not downloaded yet; the worker looks again
    for artefact in artefacts:
        check_base(artefact, base, config.model.name)
