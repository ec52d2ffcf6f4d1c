"""From a configured term to the reward that scores it.

Rewards of other packages join by entry point. In the package's pyproject.toml::

    [project.entry-points."ppo_tui.rewards"]
    politeness = "their_package.rewards:Politeness"

The object named there is called with the term's options as keyword arguments and returns a
`Reward`. It is imported here and nowhere else, once a run really uses it.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ppo_tui.config.rewards import (
    ENTRY_POINT_GROUP,
    AdapterTerm,
    HumanTerm,
    KeywordsTerm,
    LengthTerm,
    PluginTerm,
    PythonTerm,
    RegexTerm,
    RepetitionTerm,
    RewardTerm,
    SentimentTerm,
    reward_kinds,
)
from ppo_tui.errors import ResourceError, RewardError, did_you_mean
from ppo_tui.rewards.adapter import AdapterReward
from ppo_tui.rewards.foreign import foreign_code
from ppo_tui.rewards.human import Human
from ppo_tui.rewards.keywords import Keywords
from ppo_tui.rewards.length import Length
from ppo_tui.rewards.protocol import Reward
from ppo_tui.rewards.python_file import PythonFile
from ppo_tui.rewards.regex import Regex
from ppo_tui.rewards.repetition import Repetition
from ppo_tui.rewards.sentiment import Sentiment


def build(term: RewardTerm) -> Reward:
    """The reward that a term of the configuration names, ready to be called.

    Raises:
        ResourceError: A file or package that the term needs is missing.
        RewardError: It is there but cannot be used.
    """
    match term:
        case SentimentTerm():
            return Sentiment(term)
        case LengthTerm():
            return Length(term)
        case RegexTerm():
            return Regex(term)
        case KeywordsTerm():
            return Keywords(term)
        case RepetitionTerm():
            return Repetition(term)
        case PythonTerm():
            return PythonFile(term)
        case HumanTerm():
            return Human(term)
        case AdapterTerm():
            return AdapterReward(term)
        case PluginTerm():
            return _plugin(term)
        case _:
            raise TypeError(f"no reward is built from a {type(term).__name__}")


def _plugin(term: PluginTerm) -> Reward:
    point = _entry_point(term.kind)
    source = f"{point.value} (package {point.dist.name})" if point.dist else point.value
    with foreign_code(
        f"The reward {term.kind!r} of {source} cannot be imported:", code="reward.plugin"
    ):
        factory: Any = point.load()
    with foreign_code(
        f"The reward {term.kind!r} of {source} cannot be made with the options given:",
        code="reward.plugin",
    ):
        reward: Reward = factory(**term.options)
    if not callable(reward):
        raise RewardError(
            f"The reward {term.kind!r} of {source} made a {type(reward).__name__}, "
            f"which cannot be called with samples.",
            code="reward.plugin",
        )
    return reward


def _entry_point(kind: str) -> EntryPoint:
    # The same package may be seen twice, installed and on the path.
    found = {point.value: point for point in entry_points(group=ENTRY_POINT_GROUP, name=kind)}
    if not found:
        raise ResourceError(
            f"No installed package provides the reward {kind!r} "
            f"({did_you_mean(kind, reward_kinds())}).",
            code="reward.plugin_missing",
        )
    if len(found) > 1:
        raise RewardError(
            f"More than one installed package provides the reward {kind!r}: "
            f"{', '.join(sorted(found))}.",
            hint="Uninstall all but one of them.",
            code="reward.plugin",
        )
    return next(iter(found.values()))
